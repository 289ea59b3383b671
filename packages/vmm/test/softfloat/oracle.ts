// Runs the software floating point and the host processor (oracle.c) on the same operands, and
// counts where they differ. A record is oracle.c's `struct record`.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineSoftFloat, type SoftFloat } from '../../src/cpu/softfloat.ts';
import { UE } from '../../src/cpu/softfloat-parts.ts';
import { c32, type Expr, type I32, type I64, i32, i64 } from '../../src/wasm/expr.ts';
import type { FunctionBuilder } from '../../src/wasm/function.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';

export const RECORD_BYTES = 64;
const RECORDS_AT = 0x1000;

/** The fields of the record at `at`, as expressions. */
export interface Operands {
  readonly f: FunctionBuilder;
  /** The base of the processor's state. */
  readonly cpu: I32;
  readonly a: I64;
  readonly aHigh: I32;
  readonly b: I64;
  readonly bHigh: I32;
  readonly control: I32;
  /** Sign and exponent of the last double extended result. */
  readonly signExp: I32;
  /** Sets `resultHigh`. */
  setHigh(value: I32): void;
}

/** Performs an operation on a record's operands; the expression is the low part of the result. */
export type Operation = (s: SoftFloat, o: Operands) => Expr<'i32' | 'i64'>;

const SCRATCH = { flags: 0, signExp: 4, wide: 64 };

/** The operations as WebAssembly functions (records, count) over the exported memory. */
export function buildDrivers(
  operations: Readonly<Record<string, Operation>>,
  records: number,
): { memory: WebAssembly.Memory; run: Record<string, (at: number, count: number) => void> } {
  const pages = Math.ceil((RECORDS_AT + records * RECORD_BYTES) / 65536);
  const m = new ModuleBuilder();
  m.importMemory('host', 'memory', pages, pages);
  const s = defineSoftFloat(m, SCRATCH);
  for (const [name, operation] of Object.entries(operations)) {
    const driver = m.function(`drive_${name}`, ['i32', 'i32'], 'void', (f) => {
      const at = f.param(0, 'i32');
      const count = f.param(1, 'i32');
      const cpu = c32(0);
      f.loop((again) => {
        f.store32(cpu, c32(0), SCRATCH.flags);
        const operands: Operands = {
          f,
          cpu,
          a: i64.load(at, 0),
          aHigh: i32.load(at, 8),
          b: i64.load(at, 16),
          bHigh: i32.load(at, 24),
          control: i32.load(at, 32),
          signExp: i32.load(cpu, SCRATCH.signExp),
          setHigh: (value) => f.store64(at, i64.extend_u(value), 48),
        };
        const value = operation(s, operands);
        const wide = value.type === 'i32' ? i64.extend_u(value as I32) : (value as I64);
        f.store64(at, wide, 40);
        f.store32(at, i32.load(cpu, SCRATCH.flags), 36);
        f.set(at, i32.add(at, c32(RECORD_BYTES)));
        f.set(count, i32.sub(count, c32(1)));
        f.br(again, count);
      });
    });
    m.export(name, driver);
  }
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const module = new WebAssembly.Module(m.encode());
  const instance = new WebAssembly.Instance(module, { host: { memory } });
  const run = instance.exports as Record<string, (at: number, count: number) => void>;
  return { memory, run };
}

/** One record as text, for a failed test to print. */
export function describeRecord(view: DataView, at: number): string {
  const hex = (offset: number): string =>
    view
      .getBigUint64(at + offset, true)
      .toString(16)
      .padStart(16, '0');
  const word = (offset: number): string => view.getUint32(at + offset, true).toString(16);
  const trap = view.getUint32(at + 56, true) ? ' trap' : '';
  return (
    `a ${hex(8).slice(12)}:${hex(0)} b ${hex(24).slice(12)}:${hex(16)} control ${word(32)}` +
    ` -> ${hex(48).slice(12)}:${hex(40)} flags ${word(36)}${trap}`
  );
}

/** What is compared. */
export interface Comparison {
  /** Exceptions and condition codes that the operation defines. */
  readonly flags: number;
  /** Bits of MXCSR or of the control word to the right of the masks. */
  readonly maskShift: number;
  /** How many units in the last place a double extended result may be off; 0 unless given. */
  readonly ulps?: number;
}

/** Compiles the oracle; call `close` when done. */
export function buildOracle(): {
  records(operation: string, count: number, seed: number): Uint8Array;
  close(): void;
} {
  const folder = mkdtempSync(join(tmpdir(), 'softfloat-'));
  const source = fileURLToPath(new URL('oracle.c', import.meta.url));
  const program = join(folder, 'oracle');
  execFileSync('gcc', ['-O1', '-mno-red-zone', '-msse4.1', '-o', program, source]);
  return {
    records: (operation, count, seed) =>
      execFileSync(program, [operation, String(count), String(seed)], {
        maxBuffer: count * RECORD_BYTES + 1,
      }),
    close: () => rmSync(folder, { recursive: true }),
  };
}

/**
 * Runs the records of the host through `run`, and returns how many results or flags differ, with
 * descriptions of at most ten, and how many results differ by no more than is allowed.
 */
export function compare(
  expected: Uint8Array,
  memory: WebAssembly.Memory,
  run: (at: number, count: number) => void,
  comparison: Comparison,
): { differences: number; examples: string[]; inexact: number } {
  const bytes = new Uint8Array(memory.buffer);
  bytes.set(expected, RECORDS_AT);
  const count = expected.length / RECORD_BYTES;
  run(RECORDS_AT, count);
  const host = new DataView(expected.buffer, expected.byteOffset, expected.length);
  const ours = new DataView(memory.buffer, RECORDS_AT, expected.length);
  let differences = 0;
  let inexact = 0;
  const examples: string[] = [];
  for (let at = 0; at < expected.length; at += RECORD_BYTES) {
    const masks = host.getUint32(at + 32, true) >>> comparison.maskShift;
    let flags = ours.getUint32(at + 36, true);
    // An unmasked invalid, denormal or divide-by-zero exception keeps the operation from happening.
    if (flags & ~masks & 7) flags &= 7;
    ours.setUint32(at + 36, flags, true);
    const differing = (flags ^ host.getUint32(at + 36, true)) & comparison.flags;
    const trapped = host.getUint32(at + 56, true) !== 0;
    if (differing === 0 && (trapped || sameResult(host, ours, at))) continue;
    // Of two neighbouring results one can be tiny and the other not.
    if (comparison.ulps && (differing & ~UE) === 0 && distance(host, ours, at) <= comparison.ulps) {
      inexact++;
      continue;
    }
    differences++;
    if (examples.length < 10) {
      examples.push(`host ${describeRecord(host, at)}\n  we ${describeRecord(ours, at)}`);
    }
  }
  return { differences, examples, inexact };
}

function sameResult(host: DataView, ours: DataView, at: number): boolean {
  for (const field of [40, 44, 48]) {
    if (host.getUint32(at + field, true) !== ours.getUint32(at + field, true)) return false;
  }
  return true;
}

/** How many double extended numbers the two results are apart. */
function distance(host: DataView, ours: DataView, at: number): bigint {
  // Sign and magnitude as one ordered number; the integer bit follows from the exponent.
  const ordered = (view: DataView): bigint => {
    const exponent = BigInt(view.getUint16(at + 48, true) & 0x7fff);
    const fraction = BigInt.asUintN(63, view.getBigUint64(at + 40, true));
    const magnitude = (exponent << 63n) | fraction;
    return view.getUint16(at + 48, true) & 0x8000 ? -magnitude : magnitude;
  };
  const difference = ordered(host) - ordered(ours);
  return difference < 0n ? -difference : difference;
}
