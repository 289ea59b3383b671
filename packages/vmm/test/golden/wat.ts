// WebAssembly text as golden files want it: one function, expressions folded onto one line where
// they fit, no types, declarations or alignments, and names for what has one, so that a change
// elsewhere leaves the text as it is. Reads what wabt prints with `foldExprs`.

import { GPR, gprSlot, S, SLOT } from '../../src/cpu/state.ts';

/** A parenthesised list, or a word. */
export type Sexp = string | readonly Sexp[];

const COLUMNS_MAX = 96;
const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

/** Reads the first expression of `text`, without comments. */
export function parse(text: string): Sexp {
  const stack: Sexp[][] = [[]];
  const words = text.replace(/;;.*/g, '').match(/[()]|"[^"]*"|[^\s()"]+/g) ?? [];
  for (const word of words) {
    const top = stack[stack.length - 1];
    if (word === '(') stack.push([]);
    else if (word === ')') stack[stack.length - 2].push(stack.pop()!);
    else top.push(word);
  }
  return stack[0][0];
}

/** The fields of a vCPU's state by offset, as {@link format} names them. */
const FIELDS = new Map<number, string>([
  ...Object.entries({ ...S, ...SLOT }).map(([name, offset]) => [offset, name] as const),
  ...REGISTERS.map((name, n) => [GPR + gprSlot(n), name] as const),
]);

/** What {@link format} has names for. */
export interface Names {
  /** Functions by the names that the text has for them, without `$`. */
  readonly functions: ReadonlyMap<string, string>;
  /** What to print instead of an i32 constant, if anything. */
  constant(value: number): string | undefined;
  /** The comment that a call of the function `$at` with a constant stands for. */
  comment(value: number): string;
}

const isList = (value: Sexp | undefined): value is readonly Sexp[] => Array.isArray(value);
const headOf = (value: Sexp): string =>
  isList(value) && typeof value[0] === 'string' ? value[0] : '';
const fieldOf = (words: readonly Sexp[]): number =>
  Number(/^offset=(\d+)$/.exec(String(words[1]))?.[1] ?? 0);

/** Shortens one function; used once. */
class Shortener {
  private readonly names: Names;
  private readonly locals = new Map<string, string>([
    ['$p0', '$cpu'],
    ['$p1', '$record'],
  ]);
  private readonly labels = new Set<string>();

  constructor(names: Names, body: readonly Sexp[]) {
    this.names = names;
    this.findLabels(body);
    this.nameLocals(body);
  }

  private findLabels(value: Sexp): void {
    if (!isList(value)) return;
    if (/^br/.test(headOf(value))) for (const part of value) this.labels.add(String(part));
    for (const part of value) this.findLabels(part);
  }

  /** A local that starts as one field of the state has that field's name. */
  private nameLocals(body: readonly Sexp[]): void {
    for (const statement of body) {
      if (headOf(statement) !== 'local.set') continue;
      const local = String(statement[1]);
      const fields: string[] = [];
      this.fieldsOf(statement[2], fields);
      const name = `$${fields[0]}`;
      if (this.locals.has(local) || [...this.locals.values()].includes(name)) continue;
      if (fields.length === 1) this.locals.set(local, name);
    }
  }

  private fieldsOf(value: Sexp | undefined, into: string[]): void {
    if (!isList(value)) return;
    const address = value[value.length - 1];
    if (/load/.test(headOf(value)) && isList(address) && address[1] === '$p0') {
      const name = FIELDS.get(fieldOf(value));
      if (name !== undefined) into.push(name);
    }
    for (const part of value) this.fieldsOf(part, into);
  }

  private local(name: string): string {
    const known = this.locals.get(name);
    if (known !== undefined) return known;
    const short = `$${this.locals.size}`;
    this.locals.set(name, short);
    return short;
  }

  shorten(value: Sexp): Sexp {
    if (!isList(value)) return value;
    const head = headOf(value);
    if (head === 'local.get') return this.local(String(value[1]));
    if (head === 'i32.const') {
      return this.names.constant(Number(value[1])) ?? String(value[1]);
    }
    if (head === 'i64.const') return String(value[1]);
    if (head === 'local.set' || head === 'local.tee') {
      const rest = value.slice(2).map((part) => this.shorten(part));
      return [head.slice(6), this.local(String(value[1])), ...rest];
    }
    if (/call$/.test(head)) return this.call(value);
    if (/\.(load|store)|\.atomic/.test(head)) return this.access(value);
    return value
      .filter((part) => !/^\$[BIL]\d+$/.test(String(part)) || this.labels.has(String(part)))
      .map((part) => this.shorten(part));
  }

  private call([head, callee, ...rest]: readonly Sexp[]): Sexp {
    const name = String(callee).slice(1);
    const known = this.names.functions.get(name) ?? name;
    if (known === 'at') return [';;', this.names.comment(Number((rest[0] as Sexp[])[1]))];
    return [head, `$${known}`, ...rest.map((part) => this.shorten(part))];
  }

  private access(value: readonly Sexp[]): Sexp {
    const words = value.filter((part) => !/^align=/.test(String(part)));
    const offset = fieldOf(words);
    const [address, ...rest] = words.slice(typeof words[1] === 'string' ? 2 : 1);
    const isState = isList(address) && address[1] === '$p0' && FIELDS.has(offset);
    if (!isState) return words.map((part) => this.shorten(part));
    return [words[0], `$cpu.${FIELDS.get(offset)}`, ...rest.map((part) => this.shorten(part))];
  }
}

const flat = (value: Sexp): string => (isList(value) ? `(${value.map(flat).join(' ')})` : value);

/** Heads whose parts are statements. */
const STRUCTURE = /^(block|loop|then|else|if)$/;

function print(value: Sexp, indent: string, out: string[]): void {
  if (headOf(value) === ';;') {
    out.push(`${indent};; ${value[1]}`);
    return;
  }
  const line = indent + flat(value);
  if (!isList(value) || (line.length <= COLUMNS_MAX && !STRUCTURE.test(headOf(value)))) {
    out.push(line);
    return;
  }
  let words = 1;
  while (words < value.length && typeof value[words] === 'string') words++;
  let head = flat(value.slice(0, words)).slice(0, -1);
  // A condition stays beside its `if`.
  if (headOf(value) === 'if' && (indent + head + flat(value[words])).length < COLUMNS_MAX) {
    head += ` ${flat(value[words++])}`;
  }
  out.push(indent + head);
  for (const part of value.slice(words)) print(part, `${indent}  `, out);
  // A comment takes the rest of its line.
  if (/^ *;;/.test(out[out.length - 1])) out.push(`${indent})`);
  else out[out.length - 1] += ')';
}

/** The function `name` of wabt's text, shortened; its statements only. */
export function format(text: string, name: string, names: Names): string {
  const module = parse(text) as Sexp[];
  const found = module.find((part) => headOf(part) === 'func' && (part as Sexp[])[1] === name);
  if (!found) throw new Error(`the module has no function ${name}`);
  const declarations = new Set(['export', 'type', 'param', 'local', 'result']);
  const body = (found as Sexp[]).slice(2).filter((part) => !declarations.has(headOf(part)));
  const shortener = new Shortener(names, body);
  const out: string[] = [];
  for (const statement of body) print(shortener.shorten(statement), '', out);
  return `${out.join('\n')}\n`;
}
