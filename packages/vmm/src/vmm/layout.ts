// Binary structures, declared as tables. A table lists a C structure's members in order; offsets,
// size and alignment follow from the System V ABI for amd64 (section 3.1.2: natural alignment,
// little endian, 8-byte longs and pointers), and from the same table values are packed and
// unpacked. Bit fields and packed structures are not modelled: no structure of vmm(4) has any.

import { assert } from '../base/assert.ts';

/** A C scalar. 'pointer' is an address in the caller's address space, 8 bytes. */
export type ScalarType = 'char' | 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'pointer';

/** What a member is made of: a scalar, a structure, or alternatives in the same place. */
export type MemberType = ScalarType | StructLayout<unknown> | UnionLayout;

/** A row of a table: name, type, and array dimensions, as the C declaration has them. */
export type MemberRow = readonly [name: string, type: MemberType, ...dimensions: number[]];

/** A member at its place. */
export interface Member {
  readonly name: string;
  readonly type: MemberType;
  /** Array dimensions, outermost first; empty for a single value. */
  readonly dimensions: readonly number[];
  /** From the start of the structure, in bytes. */
  readonly offset: number;
  /** Of the whole member, arrays included, in bytes. */
  readonly size: number;
}

/** A C structure whose unpacked form is `T`. */
export interface StructLayout<T> {
  readonly kind: 'struct';
  /** The structure's tag in C. */
  readonly name: string;
  readonly size: number;
  readonly align: number;
  readonly members: readonly Member[];
  /** Only for the type checker; never present. */
  readonly unpacked?: T;
}

/** An anonymous C union. Unpacking reads every alternative; packing writes none of them. */
export interface UnionLayout {
  readonly kind: 'union';
  readonly size: number;
  readonly align: number;
  readonly members: readonly Member[];
}

interface Scalar {
  readonly size: number;
  readonly read: (view: DataView, at: number) => number | bigint;
  readonly write: (view: DataView, at: number, value: number & bigint) => void;
}

const BYTE: Scalar = {
  size: 1,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, value),
};
const QUAD: Scalar = {
  size: 8,
  read: (view, at) => view.getBigUint64(at, true),
  write: (view, at, value) => view.setBigUint64(at, value, true),
};
const SCALARS: Record<ScalarType, Scalar> = {
  char: BYTE,
  u8: BYTE,
  u16: {
    size: 2,
    read: (view, at) => view.getUint16(at, true),
    write: (view, at, value) => view.setUint16(at, value, true),
  },
  u32: {
    size: 4,
    read: (view, at) => view.getUint32(at, true),
    write: (view, at, value) => view.setUint32(at, value, true),
  },
  i32: {
    size: 4,
    read: (view, at) => view.getInt32(at, true),
    write: (view, at, value) => view.setInt32(at, value, true),
  },
  u64: QUAD,
  pointer: QUAD,
};

const sizeOf = (type: MemberType): number =>
  typeof type === 'string' ? SCALARS[type].size : type.size;
const alignOf = (type: MemberType): number =>
  typeof type === 'string' ? SCALARS[type].size : type.align;
const roundUp = (value: number, align: number): number => Math.ceil(value / align) * align;

function place(row: MemberRow, offset: number): Member {
  const [name, type, ...dimensions] = row;
  const count = dimensions.reduce((product, dimension) => product * dimension, 1);
  return { name, type, dimensions, offset, size: count * sizeOf(type) };
}

/** The layout of `struct name { rows }`. */
export function struct<T>(name: string, rows: readonly MemberRow[]): StructLayout<T> {
  const members: Member[] = [];
  let end = 0;
  let align = 1;
  for (const row of rows) {
    const member = place(row, roundUp(end, alignOf(row[1])));
    members.push(member);
    end = member.offset + member.size;
    align = Math.max(align, alignOf(row[1]));
  }
  return { kind: 'struct', name, size: roundUp(end, align), align, members };
}

/** The layout of an anonymous `union { rows }`. */
export function union(rows: readonly MemberRow[]): UnionLayout {
  const members = rows.map((row) => place(row, 0));
  const align = Math.max(...rows.map((row) => alignOf(row[1])));
  const size = roundUp(Math.max(...members.map((member) => member.size)), align);
  return { kind: 'union', size, align, members };
}

/** The offset of a member, looking into anonymous unions as C does. */
export function offsetOf(layout: StructLayout<unknown> | UnionLayout, name: string): number {
  for (const member of layout.members) {
    if (member.name === name) return member.offset;
    if (typeof member.type !== 'string' && member.type.kind === 'union') {
      const inner = member.type.members.find((alternative) => alternative.name === name);
      if (inner) return member.offset + inner.offset;
    }
  }
  throw new RangeError(`no member ${name} in this structure`);
}

type Fields = Record<string, unknown>;

/** Text up to the first NUL of `size` bytes; bytes that are not UTF-8 become U+FFFD. */
export function unpackText(view: DataView, at: number, size: number): string {
  // A decoder refuses views of shared memory, hence the copy.
  const bytes = new Uint8Array(new Uint8Array(view.buffer, view.byteOffset + at, size));
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Stores `text` in `size` bytes, cut before the character that leaves no room for a NUL. */
export function packText(view: DataView, at: number, size: number, text: string): void {
  const target = new Uint8Array(view.buffer, view.byteOffset + at, size).fill(0);
  const bytes = new TextEncoder().encode(text);
  let length = Math.min(bytes.length, size - 1);
  // 10xxxxxx continues a character: do not leave its first bytes behind.
  while (length < bytes.length && length > 0 && (bytes[length] & 0xc0) === 0x80) length--;
  target.set(bytes.subarray(0, length));
}

function unpackValue(
  type: MemberType,
  dimensions: readonly number[],
  view: DataView,
  at: number,
): unknown {
  const [count, ...inner] = dimensions;
  if (count === undefined) {
    if (typeof type === 'string') return SCALARS[type].read(view, at);
    assert(type.kind === 'struct', 'a union is unpacked as members of its structure');
    return unpack(type, view, at);
  }
  if (type === 'char' && inner.length === 0) return unpackText(view, at, count);
  const step = inner.reduce((product, dimension) => product * dimension, sizeOf(type));
  const values = Array.from({ length: count }, (_, i) =>
    unpackValue(type, inner, view, at + i * step),
  );
  if (type === 'u8' && inner.length === 0) return Uint8Array.from(values as number[]);
  if (type === 'u64' && inner.length === 0) return BigUint64Array.from(values as bigint[]);
  return values;
}

function packValue(
  type: MemberType,
  dimensions: readonly number[],
  view: DataView,
  at: number,
  value: unknown,
): void {
  const [count, ...inner] = dimensions;
  if (count === undefined) {
    if (typeof type === 'string') SCALARS[type].write(view, at, value as number & bigint);
    else if (type.kind === 'struct') pack(type, value, view, at);
    return;
  }
  if (type === 'char' && inner.length === 0) {
    packText(view, at, count, value as string);
    return;
  }
  const step = inner.reduce((product, dimension) => product * dimension, sizeOf(type));
  const values = value as ArrayLike<unknown>;
  assert(values.length <= count, 'more elements than the array has');
  for (let i = 0; i < values.length; i++) packValue(type, inner, view, at + i * step, values[i]);
}

/**
 * Reads a structure at byte `at`. 64-bit values become bigint, character arrays strings, the other
 * arrays typed arrays (u8, u64) or lists; the alternatives of a union become members of the result.
 */
export function unpack<T>(layout: StructLayout<T>, view: DataView, at = 0): T {
  const result: Fields = {};
  for (const { name, type, dimensions, offset } of layout.members) {
    if (typeof type !== 'string' && type.kind === 'union') {
      for (const alternative of type.members) {
        const place = at + offset + alternative.offset;
        const { dimensions: inner } = alternative;
        result[alternative.name] = unpackValue(alternative.type, inner, view, place);
      }
    } else {
      result[name] = unpackValue(type, dimensions, view, at + offset);
    }
  }
  return result as T;
}

/**
 * Writes a structure at byte `at`. Padding, unions, and array elements beyond those in `value` keep
 * what they had; numbers are reduced to the width of their member.
 */
export function pack<T>(layout: StructLayout<T>, value: T, view: DataView, at = 0): void {
  const fields = value as Fields;
  for (const { name, type, dimensions, offset } of layout.members) {
    packValue(type, dimensions, view, at + offset, fields[name]);
  }
}
