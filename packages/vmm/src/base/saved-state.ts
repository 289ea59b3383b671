// What a part of a machine keeps over a suspension, declared field by field: a name, what it may
// be, and what it is when a file lacks it. From the declaration follow the type of the state, its
// form in a file (machine/snapshot/wire.ts), and the check of what comes back from one: a file may
// be from an older version, from a newer one, or made to do harm.
//
// Adding a field: declare it with later(), whose value is what the part did before there was the
// field. A field whose meaning changes gets a new name.

import { AssertionError, assert } from './assert.ts';
import { VmmError } from './errors.ts';

/** A value as it is in a file. A bigint is unsigned and of 64 bits; a number is a double. */
export type SavedValue =
  | boolean
  | bigint
  | number
  | string
  | Uint8Array
  | readonly SavedValue[]
  | SavedRecord;

/** Named values. Who does not know a name that begins with {@link IGNORABLE} may ignore it. */
export type SavedRecord = ReadonlyMap<string, SavedValue>;

/** Begins the names of fields and sections that a reader need not know. */
export const IGNORABLE = '~';

/** What a field may be. */
export interface Kind<T> {
  encode(value: T): SavedValue;
  /** Throws VmmError (EINVAL) unless it is one; `where` names it in a sentence. */
  decode(value: SavedValue, where: string): T;
  /** What it is in files that lack it. */
  readonly missing?: T;
  /** Instead of {@link decode}: of what is loaded in its place. */
  loadInto?(current: T, value: SavedValue, where: string): void;
}

/** A refusal of something in a file. */
export function refuse(where: string, what: string): never {
  throw new VmmError('EINVAL', `${where} ${what}.`);
}

/** A boolean. */
export const flag: Kind<boolean> = {
  encode: (value) => value,
  decode: (value, where) =>
    typeof value === 'boolean' ? value : refuse(where, 'is not true or false'),
};

/** A whole number from `min` to `max`, neither negative nor above 2^53. */
export function whole(min: number, max: number): Kind<number> {
  return {
    encode(value) {
      assert(Number.isSafeInteger(value), `${value} cannot be saved as a whole number`);
      return BigInt(value);
    },
    decode(value, where) {
      if (typeof value !== 'bigint') refuse(where, 'is not a whole number');
      const number = Number(value);
      if (number < min || number > max) refuse(where, `is ${value}, not ${min} to ${max}`);
      return number;
    },
  };
}

/** Unsigned integers by their bits. */
export const u8: Kind<number> = whole(0, 0xff);
export const u16: Kind<number> = whole(0, 0xffff);
export const u32: Kind<number> = whole(0, 0xffff_ffff);
/** One that a double holds. */
export const u53: Kind<number> = whole(0, Number.MAX_SAFE_INTEGER);
export const u64: Kind<bigint> = {
  encode: (value) => BigInt.asUintN(64, value),
  decode: (value, where) =>
    typeof value === 'bigint' ? value : refuse(where, 'is not a whole number'),
};

/** A finite double. */
export const real: Kind<number> = {
  encode: (value) => value,
  decode(value, where) {
    if (typeof value !== 'number' || !Number.isFinite(value)) refuse(where, 'is not a number');
    return value;
  },
};

/** Text of at most `lengthMax` UTF-16 units. */
export function text(lengthMax: number): Kind<string> {
  return {
    encode: (value) => value,
    decode(value, where) {
      if (typeof value !== 'string') refuse(where, 'is not text');
      if (value.length > lengthMax) refuse(where, `is longer than ${lengthMax} characters`);
      return value;
    },
  };
}

/** Exactly `length` bytes. */
export function bytes(length: number): Kind<Uint8Array> {
  return {
    encode: (value) => value.slice(),
    decode(value, where) {
      if (!(value instanceof Uint8Array)) refuse(where, 'is not bytes');
      if (value.length !== length) refuse(where, `has ${value.length} bytes, not ${length}`);
      return value;
    },
  };
}

/** At most `lengthMax` bytes. */
export function blob(lengthMax: number): Kind<Uint8Array> {
  return {
    encode: (value) => value.slice(),
    decode(value, where) {
      if (!(value instanceof Uint8Array)) refuse(where, 'is not bytes');
      if (value.length > lengthMax) refuse(where, `has more than ${lengthMax} bytes`);
      return value;
    },
  };
}

/** Between `min` and `max` of a kind. */
export function list<T>(kind: Kind<T>, min: number, max: number): Kind<readonly T[]> {
  return {
    encode: (value) => value.map((item) => kind.encode(item)),
    decode(value, where) {
      if (!Array.isArray(value)) refuse(where, 'is not a list');
      const count = value.length;
      if (count < min || count > max) refuse(where, `has ${count} items, not ${min} to ${max}`);
      return value.map((item, index) => kind.decode(item, `${where}, item ${index},`));
    },
  };
}

/** A field that came later: files without it mean `missing`. */
export function later<T>(kind: Kind<T>, missing: T): Kind<T> {
  return { encode: kind.encode, decode: kind.decode, missing };
}

/** A part of a machine that is saved: a device, or a part of one. */
export interface SavedPart {
  /** What a suspension keeps. */
  save(): SavedValue;
  /** Takes back what {@link save} gave, on a part just made. VmmError for what cannot be. */
  load(saved: SavedValue, where: string): void;
}

/** A field that is a part with fields of its own, or several. They are loaded after the others. */
export const part: Kind<SavedPart> = {
  encode: (value) => value.save(),
  decode: () => assertNotDecoded(),
  loadInto: (current, value, where) => current.load(value, where),
};
/** See {@link part}. */
export const parts: Kind<readonly SavedPart[]> = {
  encode: (value) => value.map((item) => item.save()),
  decode: () => assertNotDecoded(),
  loadInto(current, value, where) {
    if (!Array.isArray(value)) refuse(where, 'is not a list');
    if (value.length !== current.length) {
      refuse(where, `has ${value.length} items, not ${current.length}`);
    }
    for (const [index, item] of current.entries()) {
      item.load(value[index], `${where}, item ${index}`);
    }
  },
};

function assertNotDecoded(): never {
  throw new AssertionError('a part is loaded in its place');
}

/** The declared fields of a part. */
export interface SavedFields<T> extends Kind<T> {
  readonly names: readonly string[];
  /** Encodes the properties of `owner` that have the names of the fields. */
  save(owner: object): SavedValue;
  /** Sets these properties. Typed arrays stay the same ones, with the saved contents. */
  load(owner: object, saved: SavedValue, where: string): void;
}

type Kinds<T> = { readonly [K in keyof T]: Kind<T[K]> };

/** Declares the fields of a part: the name of each is that of the part's property. */
export function savedFields<T>(fields: Kinds<T>): SavedFields<T> {
  return new Fields(fields);
}

class Fields<T> implements SavedFields<T> {
  private readonly kinds: readonly (readonly [string, Kind<unknown>])[];

  constructor(fields: Kinds<T>) {
    this.kinds = Object.entries(fields);
  }

  get names(): readonly string[] {
    return this.kinds.map(([name]) => name);
  }

  encode(state: T): SavedRecord {
    const values = state as Record<string, unknown>;
    return new Map(this.kinds.map(([name, kind]) => [name, kind.encode(values[name])]));
  }

  decode(value: SavedValue, where: string): T {
    const record = this.check(value, where);
    const state: Record<string, unknown> = {};
    for (const [name, kind] of this.kinds) state[name] = field(record, name, kind, where);
    return state as T;
  }

  save(owner: object): SavedRecord {
    for (const name of this.names) assert(name in owner, `there is no property "${name}" to save`);
    return this.encode(owner as T);
  }

  load(owner: object, saved: SavedValue, where: string): void {
    const record = this.check(saved, where);
    const properties = owner as Record<string, unknown>;
    const own = this.kinds.filter(([, { loadInto }]) => loadInto === undefined);
    for (const [name, kind] of own) {
      const value = field(record, name, kind, where);
      const current = properties[name];
      if (current instanceof Uint8Array) current.set(value as Uint8Array);
      else properties[name] = value;
    }
    for (const [name, { loadInto }] of this.kinds) {
      if (loadInto === undefined) continue;
      const value = record.get(name);
      if (value === undefined) refuse(where, `lacks "${name}"`);
      loadInto(properties[name], value, `${where}, field "${name}"`);
    }
  }

  private check(value: SavedValue, where: string): SavedRecord {
    if (!(value instanceof Map)) refuse(where, 'is not a record');
    const { names } = this;
    for (const name of value.keys()) {
      if (names.includes(name) || name.startsWith(IGNORABLE)) continue;
      refuse(where, `has "${name}", which this version does not know`);
    }
    return value;
  }
}

function field(record: SavedRecord, name: string, kind: Kind<unknown>, where: string): unknown {
  const saved = record.get(name);
  if (saved !== undefined) return kind.decode(saved, `${where}, field "${name}",`);
  if (kind.missing === undefined) refuse(where, `lacks "${name}"`);
  return kind.missing;
}
