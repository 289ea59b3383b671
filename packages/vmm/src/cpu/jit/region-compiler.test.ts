// Every instruction that works on a region's locals must be compilable in each of its forms: what its
// semantics ask for must be there without the state of the vCPU.

import { expect, test } from 'vitest';
import { createInstruction, Decoder } from '../../isa/decoder.ts';
import { DecodeStatus } from '../../isa/instruction.ts';
import { encodingsOf } from '../../isa/random-encodings.ts';
import type { Row } from '../../isa/row.ts';
import { rows } from '../../isa/rows.ts';
import { SOFT_FEATURES } from '../../vmm/soft-engine.ts';
import { ModuleBuilder } from '../../wasm/module.ts';
import { semanticOf } from '../context.ts';
import { ProcessorFunctions } from '../processor-functions.ts';
import { isLocalRow } from './compilable.ts';
import { RegionFinder } from './region.ts';
import { RegionCompiler } from './region-compiler.ts';
import { LateImports } from './region-factory.ts';

const RECORDS = 0x1000;
const decoder = new Decoder(SOFT_FEATURES);
const functions = new ProcessorFunctions();
const imports = new LateImports(functions);
const finder = new RegionFinder(decoder, functions.semantics);

/** Compiles one instruction and has the host validate what came of it. */
function compile(code: Uint8Array): boolean {
  const bytes = new Uint8Array(4096);
  bytes.set(code);
  const recordAt = (offset: number): number => (offset === 0 ? RECORDS : 0);
  const region = finder.find({ bytes, host: 0, recordAt, isWarm: () => true }, 0)!;
  const module = new ModuleBuilder({ lateImports: true });
  module.importMemory('env', 'memory', 1, 65536);
  imports.bind(module);
  const { runtime, flow } = imports;
  const { semantics } = functions;
  const parts = { module, runtime, flow, semantics, leftOf: () => 1, recordAt };
  module.export('region', new RegionCompiler(parts, region).compile('region'));
  return WebAssembly.validate(module.encode(false));
}

function isSupported(code: Uint8Array): boolean {
  const padded = new Uint8Array(32);
  padded.set(code);
  return decoder.decode(padded, 0, 32, 8, createInstruction()) === DecodeStatus.ok;
}

function wrong(row: Row): string[] {
  let seed = 1;
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed ^ (seed >>> 15)) >>> 0;
  };
  const found: string[] = [];
  for (const code of encodingsOf(row, random, 8, {}, 2)) {
    if (!isSupported(code)) continue;
    try {
      if (!compile(code)) found.push(`${row.name}: not valid`);
    } catch (error) {
      found.push(`${row.name}: ${(error as Error).message}`);
    }
  }
  return [...new Set(found)];
}

test('every row with semantics compiles in each of its forms', () => {
  const known = rows.filter((row) => row.modes !== 'not64' && semanticOf(functions.semantics, row));
  expect(known.filter(isLocalRow).length).toBeGreaterThan(600);
  expect(known.flatMap(wrong)).toEqual([]);
});
