// Masked moves and gathers of AVX and AVX2: SDM vol. 2, VMASKMOV, VPMASKMOV, VPGATHERDD to
// VGATHERQPD; vol. 1, 14.1. An element that is not chosen is not touched, and cannot fault; and
// none is ever checked for alignment.
//
// Not modelled: a trap that comes before the fault of a gather's later element.
//
// Where the TLB has all of a vector, the elements are accessed there; else one by one.

import { c32, c64, call, type Fn, type I32, type I64, i32, i64, type V128 } from '../wasm/expr.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { i32x4, i64x2, v128 } from '../wasm/simd.ts';
import { isWide, source, writeRegister } from './avx-operand.ts';
import type { Context, Semantic, SemanticTable } from './context.ts';
import { Faults } from './faults.ts';
import type { MemoryRuntime } from './runtime.ts';
import { forEachBit } from './sse-move.ts';
import { ZERO } from './sse-operand.ts';
import { S, TLB_ALIGNED } from './state.ts';

type ElementBytes = 4 | 8;
type ByElement<T> = Readonly<Record<ElementBytes, T>>;

/** Accesses to elements that no alignment check applies to. */
export interface ElementRuntime {
  /** (cpu, linear) -> value; S.faultVector tells of a fault. */
  readonly load: ByElement<Fn<'i64'>>;
  /** (cpu, linear) -> non-zero and a fault if a store there would fault. */
  readonly probe: ByElement<Fn<'i32'>>;
  /** (cpu, linear, value) -> non-zero on a fault. */
  readonly store: ByElement<Fn<'i32'>>;
}

/** 1 while accesses are checked, as the TLB in use says. */
const checksAlignment = (cpu: I32): I32 =>
  i32.eq(i32.load(cpu, S.tlb), i32.add(cpu, c32(TLB_ALIGNED)));

/** Defines {@link ElementRuntime}: while alignment is checked they go byte by byte. */
export function defineElements(m: ModuleBuilder, memory: MemoryRuntime): ElementRuntime {
  const at = (linear: I64, i: number): I64 => i64.add(linear, c64(i));
  const bytesOf = (bytes: ElementBytes): number[] => Array.from({ length: bytes }, (_, i) => i);
  const load = (bytes: ElementBytes): Fn<'i64'> =>
    m.function(`loadElement${8 * bytes}`, ['i32', 'i64'], 'i64', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      f.if(i32.eqz(checksAlignment(cpu)), () => f.returnCall(memory.load[bytes], cpu, linear));
      const value = f.local('i64');
      for (const i of bytesOf(bytes)) {
        const byte = f.let(call(memory.load[1], cpu, at(linear, i)));
        new Faults(f, cpu, c64(0)).check();
        f.set(value, i64.or(value, i64.shl(byte, c64(8 * i))));
      }
      f.return(value);
    });
  const probe = (bytes: ElementBytes): Fn<'i32'> =>
    m.function(`probeElement${8 * bytes}`, ['i32', 'i64'], 'i32', (f) => {
      const [cpu, linear] = [f.param(0, 'i32'), f.param(1, 'i64')];
      const faults = new Faults(f, cpu);
      faults.attempt(memory.probeWrite, cpu, linear, c32(1));
      // Where an element crosses into another page, this is that page's first byte, as CR2 has it.
      const last = i64.and(at(linear, bytes - 1), c64(-bytes));
      faults.attempt(memory.probeWrite, cpu, last, c32(1));
      f.return(c32(0));
    });
  const store = (bytes: ElementBytes): Fn<'i32'> =>
    m.function(`storeElement${8 * bytes}`, ['i32', 'i64', 'i64'], 'i32', (f) => {
      const [cpu, linear, value] = [f.param(0, 'i32'), f.param(1, 'i64'), f.param(2, 'i64')];
      const isFree = i32.eqz(checksAlignment(cpu));
      f.if(isFree, () => f.returnCall(memory.store[bytes], cpu, linear, value));
      const faults = new Faults(f, cpu);
      for (const i of bytesOf(bytes)) {
        const byte = i64.shr_u(value, c64(8 * i));
        faults.attempt(memory.store[1], cpu, at(linear, i), byte);
      }
      f.return(c32(0));
    });
  return {
    load: { 4: load(4), 8: load(8) },
    probe: { 4: probe(4), 8: probe(8) },
    store: { 4: store(4), 8: store(8) },
  };
}

/** The element at `linear`, a segment's checks passed; no alignment check applies to it. */
export function loadElement(x: Context, bytes: ElementBytes, linear: I64): I64 {
  const { f, cpu } = x;
  const value = f.unset('i64');
  x.whenMapped(
    linear,
    bytes,
    false,
    (host) => f.set(value, bytes === 4 ? i64.load32_u(host) : i64.load(host)),
    () => {
      f.set(value, call(x.runtime.avx.elements.load[bytes], cpu, linear));
      x.faultIf(i32.ne(i32.load(cpu, S.faultVector), c32(-1)));
    },
  );
  return value;
}

/** Stores an element at `linear`, as {@link loadElement} loads one: all of it, or nothing. */
export function storeElement(x: Context, bytes: ElementBytes, linear: I64, value: I64): void {
  const { elements } = x.runtime.avx;
  x.whenMapped(
    linear,
    bytes,
    true,
    (host) => x.f.storeLow(bytes, host, value),
    () => {
      x.attempt(elements.probe[bytes], x.cpu, linear);
      x.attempt(elements.store[bytes], x.cpu, linear, value);
    },
  );
}

interface Lanes {
  readonly bytes: ElementBytes;
  /** All ones in negative lanes, zero in others. */
  signs(a: V128): V128;
  bitmask(a: V128): I32;
}

const DWORDS: Lanes = {
  bytes: 4,
  signs: (a) => i32x4.shr_s(a, c32(31)),
  bitmask: i32x4.bitmask,
};
const QWORDS: Lanes = {
  bytes: 8,
  signs: (a) => i64x2.shr_s(a, c32(63)),
  bitmask: i64x2.bitmask,
};

/** A masked move's mask, operand 1: as vectors, and as a bit for each element. */
function maskOf(x: Context, lanes: Lanes): { low: V128; high: V128 | undefined; bits: I32 } {
  const { f } = x;
  const { low, high } = source(x, 1);
  const first = lanes.bitmask(low);
  const second = high && i32.shl(lanes.bitmask(high), c32(16 / lanes.bytes));
  const bits = f.let(second ? i32.or(first, second) : first);
  return { low: f.let(lanes.signs(low)), high: high && f.let(lanes.signs(high)), bits };
}

/**
 * Emits `whole` for a vector that the TLB has, given its place in linear memory, and `each` for
 * others and where segments have limits, which hold for each element. `each` gets the address of an
 * element by its offset.
 */
function accessVector(
  x: Context,
  isWrite: boolean,
  whole: (host: I32) => void,
  each: (linearOf: (offset: I32, bytes: number) => I64) => void,
): void {
  const { f } = x;
  const size = isWide(x) ? 32 : 16;
  const effective = x.effectiveAddress();
  const slow = (): void =>
    each((offset, bytes) => {
      const element = f.let(i64.add(effective, i64.extend_u(offset)));
      return x.sourceAddress(element, bytes, isWrite);
    });
  if (x.variant.addressing === 'checked') {
    slow();
    return;
  }
  const linear = x.sourceAddress(effective, size, isWrite);
  x.whenMapped(linear, size, isWrite, (host) => whole(f.let(host)), slow);
}

const offsetOf = (bit: I32, { bytes }: Lanes): I32 => i32.mul(bit, c32(bytes));

/** VMASKMOV from memory: elements that are not chosen are zero. */
function maskedLoad(x: Context, lanes: Lanes): void {
  const { f, cpu } = x;
  const mask = maskOf(x, lanes);
  const low = f.unset('v128');
  const high = f.unset('v128');
  accessVector(
    x,
    false,
    (host) => {
      f.set(low, v128.and(v128.load(host), mask.low));
      if (mask.high) f.set(high, v128.and(v128.load(host, 16), mask.high));
    },
    (linearOf) => {
      f.storeV128(cpu, ZERO, S.lanes);
      f.storeV128(cpu, ZERO, S.lanes + 16);
      forEachBit(x, mask.bits, (bit) => {
        const offset = f.let(offsetOf(bit, lanes));
        const value = loadElement(x, lanes.bytes, linearOf(offset, lanes.bytes));
        f.storeLow(lanes.bytes, i32.add(cpu, offset), value, S.lanes);
      });
      f.set(low, v128.load(cpu, S.lanes));
      f.set(high, v128.load(cpu, S.lanes + 16));
    },
  );
  writeRegister(x, 0, low, mask.high ? high : undefined);
}

/** VMASKMOV to memory: all that is to be written is probed before any of it is. */
function maskedStore(x: Context, lanes: Lanes): void {
  const { f, cpu } = x;
  const { elements } = x.runtime.avx;
  const { bytes } = lanes;
  const mask = maskOf(x, lanes);
  const data = source(x, 2);
  f.storeV128(cpu, data.low, S.lanes);
  if (data.high) f.storeV128(cpu, data.high, S.lanes + 16);
  const element = (offset: I32): I64 => {
    const place = i32.add(cpu, offset);
    return bytes === 4 ? i64.load32_u(place, S.lanes) : i64.load(place, S.lanes);
  };
  accessVector(
    x,
    true,
    (host) =>
      forEachBit(x, mask.bits, (bit) => {
        const offset = f.let(offsetOf(bit, lanes));
        f.storeLow(bytes, i32.add(host, offset), element(offset));
      }),
    (linearOf) => {
      forEachBit(x, mask.bits, (bit) => {
        const linear = linearOf(f.let(offsetOf(bit, lanes)), bytes);
        x.attempt(elements.probe[bytes], cpu, linear);
      });
      forEachBit(x, mask.bits, (bit) => {
        const offset = f.let(offsetOf(bit, lanes));
        x.attempt(elements.store[bytes], cpu, linearOf(offset, bytes), element(offset));
      });
    },
  );
}

const maskedMove =
  (lanes: Lanes): Semantic =>
  (x) => {
    if (x.inMemory(0)) maskedStore(x, lanes);
    else maskedLoad(x, lanes);
  };

/** State address of byte `offset` of a vector register whose halves are at `low` and `high`. */
function laneAddress(x: Context, low: I32, high: I32, offset: I32): I32 {
  const { f } = x;
  const isHigh = f.let(i32.ge_u(offset, c32(16)));
  const address = f.let(i32.add(low, offset));
  f.if(isHigh, () => f.set(address, i32.add(high, i32.sub(offset, c32(16)))));
  return address;
}

/**
 * Gathers: elements at addresses of which the index has `indexBytes`. They work on the registers in
 * the state: an element that has been loaded is in its register, and its mask cleared, before the
 * next one may fault.
 */
const gather =
  (indexBytes: ElementBytes, lanes: Lanes): Semantic =>
  (x) => {
    const { f } = x;
    const { bytes } = lanes;
    const count = (isWide(x) ? 32 : 16) / Math.max(indexBytes, bytes);
    const index = x.indexAddress();
    const indexHigh = f.let(i32.add(index, c32(S.ymmHigh - S.xmm)));
    const result = [x.xmmAddress(0), x.ymmAddress(0)] as const;
    const mask = [x.xmmAddress(2), x.ymmAddress(2)] as const;
    // A mask becomes all ones or zeros first, which a fault shows; of as many bits as VEX.L says.
    const low = f.let(lanes.signs(v128.load(mask[0])));
    const high = isWide(x) ? f.let(lanes.signs(v128.load(mask[1]))) : undefined;
    f.storeV128(mask[0], low);
    f.storeV128(mask[1], high ?? ZERO);
    const first = lanes.bitmask(low);
    const both = high ? i32.or(first, i32.shl(lanes.bitmask(high), c32(16 / bytes))) : first;
    forEachBit(x, i32.and(both, c32((1 << count) - 1)), (bit) => {
      const lane = laneAddress(x, index, indexHigh, f.let(i32.mul(bit, c32(indexBytes))));
      const number = indexBytes === 4 ? i64.load32_s(lane) : i64.load(lane);
      const linear = x.sourceAddress(x.elementAddress(f.let(number)), bytes, false);
      const value = loadElement(x, bytes, linear);
      const offset = f.let(offsetOf(bit, lanes));
      f.storeLow(bytes, laneAddress(x, result[0], result[1], offset), value);
      f.storeLow(bytes, laneAddress(x, mask[0], mask[1], offset), c64(0));
    });
    const written = count * bytes;
    if (written === 8) f.store64(result[0], c64(0), 8);
    if (written < 32) f.storeV128(result[1], ZERO);
    f.storeV128(mask[0], ZERO);
    f.storeV128(mask[1], ZERO);
  };

/** Semantics by mnemonic. */
export const avxMemorySemantics: SemanticTable = {
  vmaskmovps: maskedMove(DWORDS),
  vmaskmovpd: maskedMove(QWORDS),
  vpmaskmovd: maskedMove(DWORDS),
  vpmaskmovq: maskedMove(QWORDS),
  vpgatherdd: gather(4, DWORDS),
  vpgatherdq: gather(4, QWORDS),
  vpgatherqd: gather(8, DWORDS),
  vpgatherqq: gather(8, QWORDS),
  vgatherdps: gather(4, DWORDS),
  vgatherdpd: gather(4, QWORDS),
  vgatherqps: gather(8, DWORDS),
  vgatherqpd: gather(8, QWORDS),
};
