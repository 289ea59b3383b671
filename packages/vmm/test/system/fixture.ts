// The system half of the processor alone, for tests: its helper functions in a module of their own,
// on the real memory functions, with a state and guest RAM that tests fill by hand.
//
// Guest-physical memory is 2 MiB at RAM. Paging is off at first; `enterLongMode` maps it one to
// one.

import { defineMmu, type Mmu } from '../../src/cpu/mmu.ts';
import { LEAF_ENTRIES, PhysicalMap } from '../../src/cpu/physical-map.ts';
import type { SystemRuntime } from '../../src/cpu/runtime.ts';
import {
  AR_UNUSABLE,
  S,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  STATE_BYTES,
  segmentBase,
  segmentCache,
} from '../../src/cpu/state.ts';
import { defineSystem } from '../../src/cpu/system-runtime.ts';
import type { Fn } from '../../src/wasm/expr.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';

const PAGE = 4096;
export const RAM_BYTES: number = 2 << 20;
const CPU = 0x10000;
const RAM = 0x100000;

type Exported = (...args: (number | bigint)[]) => number | bigint | undefined;

interface Host {
  readMsr(index: number): number;
  writeMsr(index: number): number;
  nowNs: number;
}

/** Every function of the runtime under its dotted name: `far.jump`, `deliver`. */
function exportAll(m: ModuleBuilder, prefix: string, value: object): void {
  for (const [name, member] of Object.entries(value) as [string, Fn | object][]) {
    if ('typeIndex' in member) m.export(prefix + name, member as Fn);
    else exportAll(m, `${prefix}${name}.`, member);
  }
}

function build(): WebAssembly.Module {
  const m = new ModuleBuilder();
  m.importMemory('env', 'memory', 1, 65536);
  const now = m.importFunction('host', 'now', [], 'f64');
  const random = m.importFunction('host', 'random', [], 'i32');
  const cpuid = m.importFunction('host', 'cpuid', ['i32'], 'void');
  const readMsr = m.importFunction('host', 'readMsr', ['i32', 'i32'], 'i32');
  const writeMsr = m.importFunction('host', 'writeMsr', ['i32', 'i32'], 'i32');
  const codeWritten = m.function('codeWritten', ['i32', 'i64', 'i32'], 'void', () => {});
  const mmu: Mmu = defineMmu(m, codeWritten);
  const system: SystemRuntime = defineSystem(m, mmu, { now, random, cpuid, readMsr, writeMsr });
  exportAll(m, '', system);
  exportAll(m, 'memory.', mmu);
  return new WebAssembly.Module(m.encode());
}

let compiled: WebAssembly.Module | undefined;

/** A segment register as tests see it. */
export interface SegmentState {
  selector: number;
  base: number;
  limit: number;
  ar: number;
}

/** The processor, reset to flat 32-bit protected mode at ring 0 without descriptor tables. */
export class SystemFixture {
  readonly view: DataView;
  readonly host: Host = { readMsr: () => 0, writeMsr: () => 1, nowNs: 0 };
  private readonly exports: Record<string, Exported>;

  constructor() {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
    this.view = new DataView(memory.buffer);
    compiled ??= build();
    const instance = new WebAssembly.Instance(compiled, {
      env: { memory },
      host: {
        now: () => this.host.nowNs,
        random: () => 0x12345678,
        cpuid: () => {},
        readMsr: (_cpu: number, index: number) => this.host.readMsr(index >>> 0),
        writeMsr: (_cpu: number, index: number) => this.host.writeMsr(index >>> 0),
      },
    });
    this.exports = instance.exports as Record<string, Exported>;
    this.reset(memory);
  }

  private reset(memory: WebAssembly.Memory): void {
    let free = CPU + Math.ceil(STATE_BYTES / PAGE) * PAGE;
    const map = new PhysicalMap(memory.buffer, (bytes) => {
      const at = free;
      free += Math.ceil(bytes / PAGE) * PAGE;
      return at;
    });
    map.map(0, RAM, RAM_BYTES / PAGE);
    if (free > RAM || LEAF_ENTRIES * PAGE < RAM_BYTES) throw new Error('fixture does not fit');
    this.set32(S.physicalMap, map.root);
    this.set64(S.physicalMask, (1n << 40n) - 1n);
    this.set32(S.faultVector, -1);
    this.set32(S.delivering, -1);
    this.set32(S.eflags, 2);
    this.set64(S.cr0, 0x11n);
    this.set64(S.dr + 48, 0xffff0ff0n);
    this.set64(S.dr + 56, 0x400n);
    for (let n = 0; n < 6; n++) {
      this.setSegment(n, { selector: 8 * (n + 1), base: 0, limit: 0xffffffff, ar: 0xc093 });
    }
    this.setSegment(1, { selector: 8, base: 0, limit: 0xffffffff, ar: 0xc09b });
    this.setSegment(6, { selector: 0, base: 0, limit: 0, ar: AR_UNUSABLE });
    this.setSegment(7, { selector: 0, base: 0, limit: 0xffff, ar: 0x8b });
    this.call('memory.flushAll');
    this.call('updateModes');
  }

  /** Calls helper function `name` with the state's base and `args`. */
  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined {
    return this.exports[name](CPU, ...args);
  }

  get32(offset: number): number {
    return this.view.getInt32(CPU + offset, true);
  }
  set32(offset: number, value: number): void {
    this.view.setInt32(CPU + offset, value, true);
  }
  get64(offset: number): bigint {
    return this.view.getBigUint64(CPU + offset, true);
  }
  set64(offset: number, value: bigint): void {
    this.view.setBigUint64(CPU + offset, value, true);
  }

  gpr(n: number): bigint {
    return this.get64(8 * n);
  }
  setGpr(n: number, value: bigint | number): void {
    this.set64(8 * n, BigInt(value));
  }

  /**
   * The fault that the last helper has raised: [vector] or [vector, error code]; then it is taken.
   */
  takeFault(): number[] | null {
    const vector = this.get32(S.faultVector);
    if (vector === -1) return null;
    this.set32(S.faultVector, -1);
    return this.get32(S.faultHasCode) ? [vector, this.get32(S.faultCode)] : [vector];
  }

  segment(n: number): SegmentState {
    const at = segmentCache(n);
    return {
      selector: this.get32(at) & 0xffff,
      base: Number(this.get64(segmentBase(n))),
      limit: this.get32(at + SEGMENT_LIMIT) >>> 0,
      ar: this.get32(at + SEGMENT_AR),
    };
  }
  setSegment(n: number, { selector, base, limit, ar }: SegmentState): void {
    const at = segmentCache(n);
    this.set32(at, selector);
    this.set32(at + SEGMENT_LIMIT, limit);
    this.set32(at + SEGMENT_AR, ar);
    this.set32(at + 12, base);
    this.set64(segmentBase(n), BigInt(base));
  }

  /** Guest-physical memory. */
  read(address: number, bytes: 1 | 2 | 4 | 8): bigint {
    const at = RAM + address;
    if (bytes === 8) return this.view.getBigUint64(at, true);
    if (bytes === 4) return BigInt(this.view.getUint32(at, true));
    return BigInt(bytes === 2 ? this.view.getUint16(at, true) : this.view.getUint8(at));
  }
  write(address: number, bytes: 1 | 2 | 4 | 8, value: bigint | number): void {
    const at = RAM + address;
    const low = Number(BigInt.asUintN(32, BigInt(value)));
    if (bytes === 8) this.view.setBigUint64(at, BigInt(value), true);
    else if (bytes === 4) this.view.setUint32(at, low, true);
    else if (bytes === 2) this.view.setUint16(at, low & 0xffff, true);
    else this.view.setUint8(at, low & 0xff);
  }

  /** Words of `bytes` bytes from `address` up. */
  words(address: number, bytes: 2 | 4 | 8, count: number): bigint[] {
    return Array.from({ length: count }, (_, i) => this.read(address + i * bytes, bytes));
  }

  /** Sets GDTR. */
  useGdt(base: number, entries: readonly bigint[]): void {
    for (const [i, entry] of entries.entries()) this.write(base + 8 * i, 8, entry);
    this.set64(S.gdtrBase, BigInt(base));
    this.set32(S.gdtrLimit, 8 * entries.length - 1);
  }

  /** Maps the first 1 GiB one to one with a 1 GiB page for all rings, and turns IA-32e mode on. */
  enterLongMode(tables: number, cs: SegmentState): void {
    this.write(tables, 8, BigInt(tables + PAGE) | 7n);
    this.write(tables + PAGE, 8, 0x87n);
    this.set64(S.cr3, BigInt(tables));
    this.set64(S.cr4, 0x20n);
    this.set64(S.efer, 0x501n);
    this.set64(S.cr0, 0x80000011n);
    this.setSegment(1, cs);
    this.call('memory.flushAll');
    this.call('updateModes');
  }
}

/** A descriptor table entry from its parts; `flags` are G, D/B, L, AVL as in bits 55:52. */
export function descriptor(base: number, limit: number, access: number, flags: number): bigint {
  const [b, l] = [BigInt(base), BigInt(limit)];
  return (
    (l & 0xffffn) |
    ((b & 0xffffffn) << 16n) |
    (BigInt(access) << 40n) |
    (((l >> 16n) & 0xfn) << 48n) |
    (BigInt(flags) << 52n) |
    ((b >> 24n) << 56n)
  );
}

/**
 * A gate of 8 bytes (the first half of one of 16): `low` is bits 39:32: IST, or parameter count.
 */
export function gate(selector: number, offset: number, access: number, low = 0): bigint {
  const o = BigInt(offset);
  return (
    (o & 0xffffn) |
    (BigInt(selector) << 16n) |
    (BigInt(low) << 32n) |
    (BigInt(access) << 40n) |
    ((o >> 16n) << 48n)
  );
}
