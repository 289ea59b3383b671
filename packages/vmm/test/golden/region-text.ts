// What the compiler makes of a piece of guest code, as text: the region's instructions, and the
// WebAssembly of its function. Nothing runs; records are addresses that nobody reads.
//
// The text has the names of the processor's functions and of the fields of a vCPU's state, never
// their numbers. `@1009` is the record of the instruction at 0x1009. A comment stands where the
// code of an instruction starts; the code of loops, and of exits, has none.

import wabt from 'wabt';
import { codeKindOf } from '../../src/cpu/code-page.ts';
import type { Semantic, SemanticTable } from '../../src/cpu/context.ts';
import type { InterpreterContext } from '../../src/cpu/interpreter-context.ts';
import { type Region, RegionFinder, type RegionPage } from '../../src/cpu/jit/region.ts';
import type { CompilerParts } from '../../src/cpu/jit/region-compiler.ts';
import { RegionCompiler } from '../../src/cpu/jit/region-compiler.ts';
import { eachFunction, exportName, LateImports } from '../../src/cpu/jit/region-factory.ts';
import { ProcessorFunctions } from '../../src/cpu/processor-functions.ts';
import { createInstruction, Decoder } from '../../src/isa/decoder.ts';
import { disassemble } from '../../src/isa/disassembler.ts';
import { DecodeStatus } from '../../src/isa/instruction.ts';
import { SOFT_FEATURES } from '../../src/vmm/cpu-model.ts';
import type { Fn } from '../../src/wasm/expr.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';
import { format } from './wat.ts';

/** Records are numbers that nothing else in a region is. */
const RECORDS = 0x7ab00000;
const RECORD_BYTES = 32;
const CODE_PAGE = 0x7ab80000;
const PAGE_BYTES = 4096;
/** Where the listing says that the code lies. */
export const ADDRESS = 0x1000;

const FEATURES = { threads: true, tail_call: true, simd: true };

const decoder = new Decoder(SOFT_FEATURES);
const functions = new ProcessorFunctions();
const imports = new LateImports(functions);

/** The names that wabt gives to the imported functions, and those that they have. */
function functionNames(): Map<string, string> {
  const names = new Map<string, string>([['at.at', 'at']]);
  const add = (fn: Fn): void => void names.set(`f.${exportName(fn)}`, fn.name);
  eachFunction([functions.runtime, functions.flow], add);
  return names;
}

interface TextPage extends RegionPage, Pick<CompilerParts, 'leftOf'> {
  /** Offsets of the instructions. */
  readonly starts: readonly number[];
}

/** The page of a piece of code, all of it decoded and executed before. */
function pageOf(code: Uint8Array): TextPage {
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
    starts,
    host: 0,
    code: CODE_PAGE,
    kind: codeKindOf(8),
    distance: 0,
    at: () => undefined,
    recordAt: (offset) => {
      const index = starts.indexOf(offset);
      return index < 0 ? 0 : RECORDS + RECORD_BYTES * index;
    },
    isWarm: () => true,
    leftOf: () => 1,
  };
}

const hex = (value: number): string => value.toString(16);

/** The instructions of a region, by record. */
function instructionTexts(region: Region): Map<number, string> {
  const texts = new Map<number, string>();
  for (const { instructions } of region.blocks.values()) {
    for (const { record, offset, instruction } of instructions) {
      const text = disassemble(instruction, BigInt(ADDRESS + offset)).replace(/\s+/, ' ');
      texts.set(record, `${hex(ADDRESS + offset)}: ${text}`);
    }
  }
  return texts;
}

function listing(region: Region, texts: ReadonlyMap<number, string>): string {
  const lines: string[] = [];
  for (const { offset, instructions } of region.blocks.values()) {
    lines.push(`;; block ${hex(ADDRESS + offset)}`);
    for (const { record } of instructions) lines.push(`;;   ${texts.get(record)}`);
  }
  return lines.join('\n');
}

/** Semantics that first call `at` with the instruction's record: a mark in the code. */
function marking(table: SemanticTable, at: Fn<'void'>): SemanticTable {
  const marked: Record<string, Semantic> = {};
  for (const [name, semantic] of Object.entries(table)) {
    marked[name] = (x) => {
      x.f.call(at, (x as InterpreterContext).record);
      semantic(x);
    };
  }
  return marked;
}

interface Compiled {
  readonly page: TextPage;
  readonly region: Region;
  /** The module, with its region's function as `region`. */
  readonly binary: Uint8Array<ArrayBuffer>;
}

/** Compiles the region that starts at the first byte of `code`; undefined when there is none. */
function compile(code: Uint8Array, hasMarks: boolean): Compiled | undefined {
  const page = pageOf(code);
  const region = new RegionFinder(decoder, functions.semantics).find(page, 0);
  if (!region) return undefined;
  const module = new ModuleBuilder({ lateImports: true });
  module.importMemory('env', 'memory', 1, 65536);
  imports.bind(module);
  const { semantics } = functions;
  const at = hasMarks ? module.importFunction('at', 'at', ['i32'], 'void') : undefined;
  const parts: CompilerParts = {
    module,
    runtime: imports.runtime,
    flow: imports.flow,
    semantics: at ? marking(semantics, at) : semantics,
    leftOf: page.leftOf,
  };
  module.export('region', new RegionCompiler(parts, region).compile('region'));
  return { page, region, binary: module.encode() };
}

/** The module of the region that starts at the first byte of `code`; undefined without a region. */
export const regionModule = (code: Uint8Array): Uint8Array<ArrayBuffer> | undefined =>
  compile(code, false)?.binary;

/** The region that starts at the first byte of `code`: a listing, and its function. */
export async function regionText(code: Uint8Array): Promise<string> {
  const compiled = compile(code, true);
  if (!compiled) throw new Error('The code has no region: its first instruction is none.');
  const { page, region, binary } = compiled;
  const { readWasm } = await wabt();
  const module = readWasm(binary, { ...FEATURES, readDebugNames: true });
  module.generateNames();
  module.applyNames();
  const wat = module.toText({ foldExprs: true, inlineExport: true });
  module.destroy();
  const texts = instructionTexts(region);
  const text = format(wat, '$region', {
    functions: functionNames(),
    constant: (value) => {
      const start = page.starts[(value - RECORDS) / RECORD_BYTES];
      return start === undefined ? undefined : `@${hex(ADDRESS + start)}`;
    },
    comment: (record) => texts.get(record) ?? `${record}`,
  });
  return `${listing(region, texts)}\n${text}`;
}
