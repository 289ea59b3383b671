// What the compiler makes of a piece of guest code, as text: the region's instructions, and the
// WebAssembly of its function. Nothing runs; records are addresses that nobody reads.

import wabt from 'wabt';
import { type Region, RegionFinder, type RegionPage } from '../../src/cpu/jit/region.ts';
import type { CompilerParts } from '../../src/cpu/jit/region-compiler.ts';
import { RegionCompiler } from '../../src/cpu/jit/region-compiler.ts';
import { LateImports } from '../../src/cpu/jit/region-factory.ts';
import { ProcessorFunctions } from '../../src/cpu/processor-functions.ts';
import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import { disassemble } from '../../src/isa/disassembler.ts';
import { DecodeStatus } from '../../src/isa/instruction.ts';
import { SOFT_FEATURES } from '../../src/vmm/soft-engine.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';

const RECORDS = 0x100000;
const RECORD_BYTES = 32;
const PAGE_BYTES = 4096;
/** Where the listing says that the code lies. */
const ADDRESS = 0x1000n;

const FEATURES = { threads: true, tail_call: true, simd: true };

const decoder = new Decoder(SOFT_FEATURES);
const functions = new ProcessorFunctions();
const imports = new LateImports(functions);

/** The page of a piece of code, all of it decoded and executed before. */
function pageOf(code: Uint8Array): RegionPage & Pick<CompilerParts, 'leftOf'> {
  const bytes = new Uint8Array(PAGE_BYTES);
  bytes.set(code);
  const starts: number[] = [];
  for (let at = 0; at < code.length; ) {
    const instruction = createInstruction();
    if (decoder.decode(bytes, at, PAGE_BYTES, 8, instruction) !== DecodeStatus.ok) break;
    starts.push(at);
    at += instruction.length;
  }
  return {
    bytes,
    host: 0,
    recordAt: (offset) => {
      const index = starts.indexOf(offset);
      return index < 0 ? 0 : RECORDS + RECORD_BYTES * index;
    },
    isWarm: () => true,
    leftOf: () => 1,
  };
}

function listing(region: Region): string {
  const lines: string[] = [];
  for (const { offset, instructions } of region.blocks.values()) {
    lines.push(`;; block 0x${offset.toString(16)}`);
    for (const at of instructions) {
      const address = ADDRESS + BigInt(at.offset);
      lines.push(`;;   ${disassemble(at.instruction, address)}`);
    }
  }
  return lines.join('\n');
}

/** The region that starts at the first byte of `code`: a listing and its function. */
export async function regionText(code: Uint8Array): Promise<string> {
  const page = pageOf(code);
  const region = new RegionFinder(decoder, functions.semantics).find(page, 0);
  if (!region) throw new Error('the code has no region');
  const module = new ModuleBuilder({ lateImports: true });
  module.importMemory('env', 'memory', 1, 65536);
  imports.bind(module);
  const parts: CompilerParts = {
    module,
    runtime: imports.runtime,
    flow: imports.flow,
    semantics: functions.semantics,
    leftOf: page.leftOf,
    recordAt: page.recordAt,
  };
  module.export('region', new RegionCompiler(parts, region).compile('region'));
  const { readWasm } = await wabt();
  const binary = readWasm(module.encode(), { ...FEATURES, readDebugNames: true });
  binary.generateNames();
  binary.applyNames();
  const text = binary.toText({ foldExprs: true, inlineExport: true });
  binary.destroy();
  return `${listing(region)}\n${text}`;
}
