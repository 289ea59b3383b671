// A WebAssembly module (core spec 5.5): types, imports, functions, one table, exports, names.

import { ByteWriter } from './bytes.ts';
import { type Fn, VALTYPE_CODE, type ValType } from './expr.ts';
import { FunctionBuilder, type Table } from './function.ts';

interface Import {
  readonly module: string;
  readonly name: string;
  readonly descriptor: ByteWriter;
}

/** What is known of a function beyond its type; see {@link Fn}. */
export interface FunctionTraits {
  readonly isPure?: boolean;
}

/** A function declared now and defined later, so that functions can call each other. */
export interface Declared<R extends ValType | 'void' = ValType | 'void'> extends Fn<R> {
  define(build: (f: FunctionBuilder) => void): void;
}

/**
 * Builds one module. Imports must be declared before the first function, unless none of the module's
 * functions calls another of them directly (`lateImports`): the indices of functions follow those
 * of imports.
 */
export class ModuleBuilder {
  private readonly types: string[] = [];
  private readonly typeBytes: ByteWriter[] = [];
  private readonly imports: Import[] = [];
  private importedFunctions = 0;
  private readonly functions: {
    readonly type: number;
    readonly name: string;
    body?: ByteWriter;
  }[] = [];
  private readonly exports: { readonly name: string; readonly fn: Fn }[] = [];
  private readonly elements: Fn[] = [];
  private tableImported = false;
  private readonly lateImports: boolean;

  constructor(options: { lateImports: boolean } = { lateImports: false }) {
    this.lateImports = options.lateImports;
  }

  /** The index of the function type with these parameters and this result. */
  typeIndex(params: readonly ValType[], result: ValType | 'void'): number {
    const key = `${params.join()}>${result}`;
    const known = this.types.indexOf(key);
    if (known >= 0) return known;
    const out = new ByteWriter(16);
    out.u8(0x60);
    out.uleb(params.length);
    for (const type of params) out.u8(VALTYPE_CODE[type]);
    out.uleb(result === 'void' ? 0 : 1);
    if (result !== 'void') out.u8(VALTYPE_CODE[result]);
    this.types.push(key);
    this.typeBytes.push(out);
    return this.types.length - 1;
  }

  /** Imports the linear memory, shared, of at most `maximumPages` (64 KiB each). */
  importMemory(module: string, name: string, minimumPages: number, maximumPages: number): void {
    const descriptor = new ByteWriter(16);
    descriptor.bytes([0x02, 0x03]);
    descriptor.uleb(minimumPages);
    descriptor.uleb(maximumPages);
    this.imports.push({ module, name, descriptor });
  }

  /** Imports a function table of at least `minimum` entries; indirect calls go through it. */
  importTable(module: string, name: string, minimum: number): Table {
    const descriptor = new ByteWriter(16);
    descriptor.bytes([0x01, 0x70, 0x00]);
    descriptor.uleb(minimum);
    this.imports.push({ module, name, descriptor });
    this.tableImported = true;
    return { index: 0 };
  }

  /** Imports a function of the host. */
  importFunction<R extends ValType | 'void'>(
    module: string,
    name: string,
    params: readonly ValType[],
    result: R,
  ): Fn<R> {
    if (this.functions.length > 0 && !this.lateImports) {
      throw new Error(`import of ${name} after a function`);
    }
    const typeIndex = this.typeIndex(params, result);
    const descriptor = new ByteWriter(8);
    descriptor.u8(0x00);
    descriptor.uleb(typeIndex);
    this.imports.push({ module, name, descriptor });
    return { index: this.importedFunctions++, name, params, result, typeIndex };
  }

  /** Declares a function; `define` gives it its body. */
  declare<R extends ValType | 'void'>(
    name: string,
    params: readonly ValType[],
    result: R,
    traits: FunctionTraits = {},
  ): Declared<R> {
    const typeIndex = this.typeIndex(params, result);
    const entry: { readonly type: number; readonly name: string; body?: ByteWriter } = {
      type: typeIndex,
      name,
    };
    const place = this.functions.push(entry) - 1;
    const define = (build: (f: FunctionBuilder) => void): void => {
      if (entry.body) throw new Error(`${name} is defined twice`);
      // Functions of modules with late imports are long: compiled regions, not handlers.
      const f = new FunctionBuilder(params, this.lateImports);
      build(f);
      entry.body = f.body();
    };
    const indexOf = (): number => this.importedFunctions + place;
    return {
      get index() {
        return indexOf();
      },
      name,
      params,
      result,
      typeIndex,
      isPure: traits.isPure ?? false,
      define,
    };
  }

  /** Declares and defines a function. */
  function<R extends ValType | 'void'>(
    name: string,
    params: readonly ValType[],
    result: R,
    build: (f: FunctionBuilder) => void,
    traits: FunctionTraits = {},
  ): Fn<R> {
    const declared = this.declare(name, params, result, traits);
    declared.define(build);
    return declared;
  }

  /** Makes a function visible to the host under `name`. */
  export(name: string, fn: Fn): void {
    this.exports.push({ name, fn });
  }

  /** Puts a function into the imported table and returns its place there. */
  element(fn: Fn): number {
    this.elements.push(fn);
    return this.elements.length - 1;
  }

  /** How many functions the module puts into the table, from entry 0 on. */
  get elementCount(): number {
    return this.elements.length;
  }

  private section(out: ByteWriter, id: number, content: ByteWriter): void {
    out.u8(id);
    out.uleb(content.length);
    out.append(content);
  }

  /** The binary module. `names`: also write function names, for profiles and stack traces. */
  encode(names = true): Uint8Array<ArrayBuffer> {
    const code = this.functions.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
    const out = new ByteWriter(2 * code + 4096);
    out.bytes([0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]);
    const list = <T>(items: readonly T[], write: (item: T, to: ByteWriter) => void): ByteWriter => {
      const content = new ByteWriter(1024);
      content.uleb(items.length);
      for (const item of items) write(item, content);
      return content;
    };
    this.section(
      out,
      1,
      list(this.typeBytes, (type, to) => to.append(type)),
    );
    this.section(
      out,
      2,
      list(this.imports, (entry, to) => {
        to.name(entry.module);
        to.name(entry.name);
        to.append(entry.descriptor);
      }),
    );
    this.section(
      out,
      3,
      list(this.functions, (fn, to) => to.uleb(fn.type)),
    );
    this.section(
      out,
      7,
      list(this.exports, (entry, to) => {
        to.name(entry.name);
        to.u8(0x00);
        to.uleb(entry.fn.index);
      }),
    );
    if (this.tableImported && this.elements.length > 0) this.section(out, 9, this.elementSection());
    this.section(
      out,
      10,
      list(this.functions, (fn, to) => {
        if (!fn.body) throw new Error(`${fn.name} is declared but not defined`);
        to.uleb(fn.body.length);
        to.append(fn.body);
      }),
    );
    if (names) this.section(out, 0, this.nameSection());
    return out.take();
  }

  private elementSection(): ByteWriter {
    const content = new ByteWriter(this.elements.length * 3 + 16);
    content.uleb(1);
    content.bytes([0x00, 0x41, 0x00, 0x0b]);
    content.uleb(this.elements.length);
    for (const fn of this.elements) content.uleb(fn.index);
    return content;
  }

  private nameSection(): ByteWriter {
    const map = new ByteWriter(this.functions.length * 16 + 16);
    map.uleb(this.functions.length);
    for (const [i, fn] of this.functions.entries()) {
      map.uleb(this.importedFunctions + i);
      map.name(fn.name);
    }
    const content = new ByteWriter(map.length + 32);
    content.name('name');
    content.u8(1);
    content.uleb(map.length);
    content.append(map);
    return content;
  }
}
