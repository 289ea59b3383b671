// `npm run tidy`: the house rules that neither compiler nor linter checks (docs/STYLE.md). Reads the
// sources as the formatter leaves them: a function ends at the brace indented as its first line is.
//
// What offends and cannot be helped yet is counted in tidy-ratchet.json, which may only shrink:
// `npm run tidy -- --shrink` writes the counts that have gone down.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import { root } from './root.ts';

/** One breach of a rule. */
export interface Offence {
  readonly rule: string;
  /** The file, relative to the repository. */
  readonly path: string;
  /** From 1. */
  readonly line: number;
  /** What is wrong, and what to do instead. */
  readonly text: string;
}

/** The files to check: text by path, relative to the repository. */
export type Sources = ReadonlyMap<string, string>;

/** Allowed offences: by rule and path, how many. */
export type Ratchet = Readonly<Record<string, number>>;

const COLUMNS_MAX = 100;
const FILE_LINES_MAX = 700;
const FUNCTION_LINES_MAX = 70;
/** In the first lines of a file that is a table, for which its length is no fault. */
const TABLE_MARKER = '// tidy: table';
const LIBRARY = 'packages/vmm/src/';

/** Each layer of the library, and those that it may import besides itself. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  base: [],
  wasm: ['base'],
  isa: ['base', 'wasm'],
  cpu: ['base', 'wasm', 'isa'],
  vmm: ['base', 'wasm', 'isa', 'cpu'],
  bus: ['base'],
  devices: ['base', 'bus'],
  block: ['base'],
  net: ['base'],
  machine: ['base', 'wasm', 'isa', 'cpu', 'vmm', 'bus', 'devices', 'block', 'net'],
};

/** What the library must not reach for, and what there is instead. */
const BANNED: readonly (readonly [RegExp, string])[] = [
  [/\bDate\b/, 'Date: take a Clock'],
  [/\bperformance\./, 'performance: take a Clock'],
  [/\bMath\.random\b/, 'Math.random: take an Entropy'],
  [/\bcrypto\./, 'crypto: take an Entropy'],
  [/\bset(Timeout|Interval|Immediate)\b/, 'a host timer: use bus/timers.ts'],
  [/\bconsole\./, 'console: return or throw what is to be said'],
  [/\bprocess\./, 'process: the library knows no host'],
];

/** Files whose code runs for each guest instruction, exit or decoded instruction. */
const HOT_FILES = new Set(
  ['cpu/code-cache.ts', 'isa/decoder.ts', 'bus/port-bus.ts', 'bus/mmio-bus.ts']
    .concat(['devices/i8259.ts', 'devices/i8253-counter.ts', 'devices/ns8250.ts'])
    .map((path) => LIBRARY + path),
);

/** Files that are started, not imported. */
const ENTRIES =
  /(^scripts\/|\/(index|vmctl|vmd|vcpu-worker|build-image|check)\.ts$|\.d\.ts$|\.test\.ts$)/;

const isTest = (path: string): boolean => /(^|\/)test\/|\.test\.ts$|\/test-[\w-]+\.ts$/.test(path);

/** `text` with comments and the contents of strings blanked, lines and columns as they were. */
export function codeOnly(text: string): string {
  const pattern =
    /\/\*[\s\S]*?\*\/|\/\/.*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(pattern, (match) => match.replace(/[^\n]/g, ' '));
}

interface Span {
  readonly name: string;
  /** Line numbers from 0. */
  readonly first: number;
  readonly last: number;
}

const indentOf = (line: string): string => /^ */.exec(line)![0];
const WORDS = 'export |default |async |static |private |protected |override |get |set |abstract ';
const METHOD = new RegExp(`^ *(?:${WORDS})*(?:function\\*? )?\\*?([\\w$#]+)(?:<.*>)?\\(`);
const ARROW = /^ *(?:export )?const ([\w$]+)(?:: .*)? = (?:async )?(?:<.*>)?\(.*(?:=>|\() ?\{?$/;
const NOT_FUNCTIONS = new Set(['if', 'for', 'while', 'switch', 'catch', 'return', 'with', 'super']);

/** The functions and methods of a file that have a body of their own. */
export function functionsIn(lines: readonly string[]): Span[] {
  const spans: Span[] = [];
  for (const [first, line] of lines.entries()) {
    const name = METHOD.exec(line)?.[1] ?? ARROW.exec(line)?.[1];
    if (name === undefined || NOT_FUNCTIONS.has(name)) continue;
    // A call that is given a function is no function, unless it is a declaration after all.
    if (/=> \{$/.test(line) && !ARROW.test(line)) continue;
    const same = (at: number): boolean =>
      indentOf(lines[at]) === indentOf(line) && lines[at] !== '';
    let head = first;
    if (!line.endsWith('{')) {
      if (!line.endsWith('(')) continue;
      head = lines.findIndex((_, at) => at > first && same(at));
      if (head < 0 || !/^ *\).*\{$/.test(lines[head])) continue;
    }
    const last = lines.findIndex((other, at) => at > head && same(at) && /^ *\}/.test(other));
    if (last > head) spans.push({ name, first, last });
  }
  return spans;
}

type Report = (rule: string, line: number, text: string) => void;

function checkShape(path: string, lines: readonly string[], report: Report): void {
  for (const [at, line] of lines.entries()) {
    const length = [...line].length;
    if (length > COLUMNS_MAX) report('columns', at, `${length} columns`);
    if (/\bTO[D]O\b(?!\(#\d+\))/.test(line))
      report('todo', at, 'no issue number: write TO' + 'DO(#n)');
  }
  const isTable = lines.slice(0, 10).includes(TABLE_MARKER);
  if (lines.length > FILE_LINES_MAX && !isTable) report('file', 0, `${lines.length} lines`);
  for (const { name, first, last } of functionsIn(lines)) {
    const length = last - first + 1;
    if (length > FUNCTION_LINES_MAX) report('function', first, `${name} has ${length} lines`);
  }
  if (!/^(#!.*\n)?(\/\/|\/\*)/.test(lines.slice(0, 2).join('\n')) && !isTest(path)) {
    report('head', 0, 'no opening comment that says what this is');
  }
}

const EXPORT =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|interface|type|const) (\w+)/;

/**
 * Exports need a doc comment. Those of a run of one-line declarations share that of the first, and a
 * one-line constant that has the data sheet's name needs none.
 */
function checkDocs(lines: readonly string[], report: Report): void {
  let documented = false;
  for (const [at, line] of lines.entries()) {
    const name = EXPORT.exec(line)?.[1];
    if (name === undefined) continue;
    const before = lines[at - 1] ?? '';
    const hasDoc = /\*\/$/.test(before) || /^\/\/ biome-ignore/.test(before);
    const isInRun: boolean = documented && /^export .*;$/.test(before);
    const isRegister = /^export const [A-Z0-9_]+(: \w+)? = .*;$/.test(line);
    documented = hasDoc || isInRun || isRegister;
    if (!documented) report('docs', at, `${name} is exported without a doc comment`);
  }
}

function checkLibrary(path: string, code: readonly string[], report: Report): void {
  for (const [at, line] of code.entries()) {
    for (const [pattern, text] of BANNED) if (pattern.test(line)) report('global', at, text);
    if (HOT_FILES.has(path) && /\bBigInt\b|\b\d\w*n\b|\bbigint\b/.test(line)) {
      report('bigint', at, 'a bigint on a hot path');
    }
  }
}

const IMPORT = /^(?:import |(?:import|export) .*from |\} from )'([^']+)'/;
/** A file that is loaded, or a program that is started, when it is needed. */
const LATE = /(?:new URL|\bimport)\('(\.[^']+)'/;

/** What a file imports: the line, from 0, and the specifier. */
function importsOf(lines: readonly string[]): { at: number; specifier: string }[] {
  return lines.flatMap((line, at) => {
    const specifier = IMPORT.exec(line)?.[1] ?? LATE.exec(line)?.[1];
    return specifier === undefined ? [] : [{ at, specifier }];
  });
}

/** The file that a relative import means. */
const resolve = (path: string, specifier: string): string =>
  posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts');

function checkImports(path: string, lines: readonly string[], report: Report): void {
  const layer = path.startsWith(LIBRARY) ? path.slice(LIBRARY.length).split('/')[0] : undefined;
  for (const { at, specifier } of importsOf(lines)) {
    if (layer === undefined || isTest(path) || !(layer in LAYERS)) continue;
    if (!specifier.startsWith('.')) {
      report('layer', at, `the library imports ${specifier}`);
      continue;
    }
    const target = resolve(path, specifier).slice(LIBRARY.length).split('/')[0];
    if (target === layer || LAYERS[layer].includes(target)) continue;
    report('layer', at, `${layer} imports ${target}`);
  }
}

/** The offences of one file. */
export function checkFile(path: string, text: string): Offence[] {
  const offences: Offence[] = [];
  const report: Report = (rule, at, what) => {
    offences.push({ rule, path, line: at + 1, text: what });
  };
  const lines = text.split('\n');
  const code = codeOnly(text).split('\n');
  checkShape(path, lines, report);
  checkImports(path, lines, report);
  if (isTest(path)) {
    for (const [at, line] of code.entries()) {
      if (/\b(test|it|describe)\.only\b/.test(line)) report('only', at, 'other tests do not run');
    }
    return offences;
  }
  checkDocs(lines, report);
  if (path.startsWith(LIBRARY)) checkLibrary(path, code, report);
  return offences;
}

/** The offences of all files, those among them that nobody uses included. */
export function checkAll(sources: Sources): Offence[] {
  const used = new Set<string>();
  for (const [path, text] of sources) {
    if (path.endsWith('.test.ts')) continue;
    for (const { specifier } of importsOf(text.split('\n'))) used.add(resolve(path, specifier));
  }
  const unused = [...sources.keys()].filter(
    (path) => !used.has(path) && !ENTRIES.test(path) && !isTest(path),
  );
  return [...sources]
    .flatMap(([path, text]) => checkFile(path, text))
    .concat(
      unused.map((path) => ({
        rule: 'unused',
        path,
        line: 1,
        text: 'no file but tests imports it',
      })),
    );
}

/** How many offences there are by rule and path. */
export function countOffences(offences: readonly Offence[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { rule, path } of offences) {
    const key = `${rule} ${path}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

/** The ratchet after `counts`: what has gone down is lower, nothing is higher, nothing is new. */
export function shrink(ratchet: Ratchet, counts: Ratchet): Record<string, number> {
  const entries = Object.entries(ratchet).map(([key, allowed]) => {
    return [key, Math.min(allowed, counts[key] ?? 0)] as const;
  });
  return Object.fromEntries(entries.filter(([, allowed]) => allowed > 0));
}

/** What to tell: each offence beyond the ratchet, and each count that the ratchet could lower. */
export function verdict(offences: readonly Offence[], ratchet: Ratchet): string[] {
  const counts = countOffences(offences);
  const beyond = offences
    .filter(({ rule, path }) => counts[`${rule} ${path}`] > (ratchet[`${rule} ${path}`] ?? 0))
    .map(({ rule, path, line, text }) => `${path}:${line}: ${rule}: ${text}`);
  const slack = Object.entries(ratchet)
    .filter(([key, allowed]) => (counts[key] ?? 0) < allowed)
    .map(([key, allowed]) => `${key}: ${counts[key] ?? 0}, not ${allowed}: run with --shrink`);
  return [...beyond, ...slack];
}

/** The sources of the repository. */
export function readSources(folder: string): Sources {
  const sources = new Map<string, string>();
  const visit = (relative: string): void => {
    for (const entry of readdirSync(join(folder, relative), { withFileTypes: true })) {
      if (/^(node_modules|dist|\..*)$/.test(entry.name)) continue;
      const path = posix.join(relative, entry.name);
      if (entry.isDirectory()) visit(path);
      else if (/\.(ts|mjs)$/.test(path))
        sources.set(path, readFileSync(join(folder, path), 'utf8'));
    }
  };
  visit('packages');
  visit('scripts');
  return sources;
}

function main(words: readonly string[]): number {
  const path = join(root(), 'scripts', 'tidy-ratchet.json');
  const ratchet = JSON.parse(readFileSync(path, 'utf8')) as Ratchet;
  const offences = checkAll(readSources(root()));
  if (words.includes('--shrink')) {
    const smaller = shrink(ratchet, countOffences(offences));
    writeFileSync(path, `${JSON.stringify(smaller, null, 2)}\n`);
    return 0;
  }
  const lines = verdict(offences, ratchet);
  for (const line of lines) process.stdout.write(`${line}\n`);
  return lines.length === 0 ? 0 : 1;
}

// Not when a test imports this.
const started = process.argv[1] ?? '';
if (/^tidy\.[jt]s$/.test(basename(started)) && dirname(started).includes('scripts')) {
  process.exitCode = main(process.argv.slice(2));
}
