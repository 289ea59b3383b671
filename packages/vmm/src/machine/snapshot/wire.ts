// Values of base/saved-state.ts as bytes: docs/suspend-format.md, "Values". What is read may be
// anything; it gives a value, or a VmmError.

import { assert } from '../../base/assert.ts';
import { refuse, type SavedValue } from '../../base/saved-state.ts';

/** The byte before a value. */
const TYPE = {
  FALSE: 0,
  TRUE: 1,
  WHOLE: 2,
  REAL: 3,
  TEXT: 4,
  BYTES: 5,
  LIST: 6,
  RECORD: 7,
} as const;

/** Records in lists in records; deeper is a file that means harm. */
const DEPTH_MAX = 16;
/** Names are ASCII, and have a byte for their length. */
export const NAME_LENGTH_MAX = 255;
const START_BYTES = 1024;

/** Puts bytes one after the other. */
class Output {
  private room = new Uint8Array(START_BYTES);
  private view = new DataView(this.room.buffer);
  private length = 0;

  /** Makes room for `count` bytes, and returns where it is. */
  private take(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.room.length) {
      const more = new Uint8Array(Math.max(this.length, 2 * this.room.length));
      more.set(this.room);
      this.room = more;
      this.view = new DataView(more.buffer);
    }
    return at;
  }

  byte(value: number): void {
    const at = this.take(1);
    this.room[at] = value;
  }

  u32(value: number): void {
    const at = this.take(4);
    this.view.setUint32(at, value, true);
  }

  whole(value: bigint): void {
    const at = this.take(8);
    this.view.setBigUint64(at, value, true);
  }

  real(value: number): void {
    const at = this.take(8);
    this.view.setFloat64(at, value, true);
  }

  bytes(value: Uint8Array): void {
    const at = this.take(value.length);
    this.room.set(value, at);
  }

  get written(): Uint8Array {
    return this.room.subarray(0, this.length);
  }
}

function put(output: Output, value: SavedValue): void {
  if (typeof value === 'boolean') {
    output.byte(value ? TYPE.TRUE : TYPE.FALSE);
  } else if (typeof value === 'bigint') {
    output.byte(TYPE.WHOLE);
    output.whole(value);
  } else if (typeof value === 'number') {
    output.byte(TYPE.REAL);
    output.real(value);
  } else if (typeof value === 'string') {
    output.byte(TYPE.TEXT);
    const bytes = new TextEncoder().encode(value);
    output.u32(bytes.length);
    output.bytes(bytes);
  } else if (value instanceof Uint8Array) {
    output.byte(TYPE.BYTES);
    output.u32(value.length);
    output.bytes(value);
  } else if (value instanceof Map) {
    output.byte(TYPE.RECORD);
    output.u32(value.size);
    for (const [name, field] of value) {
      putName(output, name);
      put(output, field);
    }
  } else {
    const items = value as readonly SavedValue[];
    output.byte(TYPE.LIST);
    output.u32(items.length);
    for (const item of items) put(output, item);
  }
}

function putName(output: Output, name: string): void {
  const bytes = new TextEncoder().encode(name);
  assert(bytes.length <= NAME_LENGTH_MAX && bytes.length === name.length, `"${name}" is no name`);
  output.byte(bytes.length);
  output.bytes(bytes);
}

/** `value` as bytes. */
export function encodeValue(value: SavedValue): Uint8Array {
  const output = new Output();
  put(output, value);
  return output.written;
}

/** The value in `bytes`, all of them. EINVAL for anything else; `where` names it. */
export function decodeValue(bytes: Uint8Array, where: string): SavedValue {
  const input = new Input(bytes, where);
  const value = input.value(0);
  if (input.left > 0) refuse(where, 'has bytes behind its value');
  return value;
}

/** Reads bytes that may be anything. */
class Input {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly where: string;
  private at = 0;

  constructor(bytes: Uint8Array, where: string) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.where = where;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  value(depth: number): SavedValue {
    const type = this.view.getUint8(this.take(1));
    switch (type) {
      case TYPE.FALSE:
        return false;
      case TYPE.TRUE:
        return true;
      case TYPE.WHOLE:
        return this.view.getBigUint64(this.take(8), true);
      case TYPE.REAL:
        return this.view.getFloat64(this.take(8), true);
      case TYPE.TEXT:
        return this.text(this.u32());
      case TYPE.BYTES: {
        const length = this.u32();
        const at = this.take(length);
        return this.bytes.slice(at, at + length);
      }
      case TYPE.LIST:
        return this.list(depth);
      case TYPE.RECORD:
        return this.record(depth);
      default:
        return refuse(this.where, `has a value of an unknown type, ${type}`);
    }
  }

  private list(depth: number): SavedValue[] {
    const count = this.count(depth);
    const items: SavedValue[] = [];
    for (let index = 0; index < count; index++) items.push(this.value(depth + 1));
    return items;
  }

  private record(depth: number): Map<string, SavedValue> {
    const count = this.count(depth);
    const fields = new Map<string, SavedValue>();
    for (let index = 0; index < count; index++) {
      const name = this.text(this.view.getUint8(this.take(1)));
      if (fields.has(name)) refuse(this.where, 'has two fields of the same name');
      fields.set(name, this.value(depth + 1));
    }
    return fields;
  }

  /** How many items follow; each takes a byte at least. */
  private count(depth: number): number {
    if (depth >= DEPTH_MAX) refuse(this.where, `is nested deeper than ${DEPTH_MAX}`);
    const count = this.u32();
    if (count > this.left) refuse(this.where, 'ends within a list');
    return count;
  }

  private u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  private text(length: number): string {
    const at = this.take(length);
    try {
      const decoder = new TextDecoder('utf-8', { fatal: true });
      return decoder.decode(this.bytes.slice(at, at + length));
    } catch {
      return refuse(this.where, 'has text that is not UTF-8');
    }
  }

  private take(count: number): number {
    const { at } = this;
    if (count > this.left) refuse(this.where, 'ends within a value');
    this.at += count;
    return at;
  }
}
