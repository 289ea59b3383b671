// A machine that was suspended by the first version: suspended-v1.json is its state, field by
// field, and this file writes it as docs/suspend-format.md says, with nothing of the program's own.
// It must load for ever, with whatever fields and devices there are by then, and go on.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { expect, test } from 'vitest';
import { makeMachine, readFile } from '../suspended-machine.ts';

const PAGE_BYTES = 4096;

type Json =
  | number
  | string
  | boolean
  | readonly Json[]
  | { readonly real: number }
  | { readonly text: string }
  | { readonly bytes: string }
  | { readonly record: Readonly<Record<string, Json>> };

const u8 = (value: number): Buffer => Buffer.from([value]);
const u16 = (value: number): Buffer => Buffer.from([value & 0xff, value >> 8]);
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
};
const withLength = (bytes: Buffer): Buffer => Buffer.concat([u32(bytes.length), bytes]);

function value(json: Json): Buffer {
  if (typeof json === 'boolean') return u8(json ? 1 : 0);
  if (typeof json === 'number' || typeof json === 'string') {
    return Buffer.concat([u8(2), u64(BigInt(json))]);
  }
  if (Array.isArray(json)) {
    return Buffer.concat([u8(6), u32(json.length), ...json.map(value)]);
  }
  const one = json as Exclude<typeof json, readonly Json[]>;
  if ('real' in one) {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(one.real);
    return Buffer.concat([u8(3), bytes]);
  }
  if ('text' in one) return Buffer.concat([u8(4), withLength(Buffer.from(one.text))]);
  if ('bytes' in one) return Buffer.concat([u8(5), withLength(Buffer.from(one.bytes, 'hex'))]);
  const fields = Object.entries(one.record).flatMap(([name, field]) => {
    return [u8(name.length), Buffer.from(name, 'ascii'), value(field)];
  });
  return Buffer.concat([u8(7), u32(Object.keys(one.record).length), ...fields]);
}

function section(kind: number, name: string, payload: Buffer): Buffer {
  const prefix = [u32(payload.length), u8(kind), u8(name.length), Buffer.from(name)];
  const all = Buffer.concat([...prefix, payload]);
  return Buffer.concat([all, u32(crc32(all))]);
}

/** A file of these states, and of one page of memory. */
function file(states: Readonly<Record<string, Json>>, gpa: bigint, page: Buffer): Buffer {
  const magic = Buffer.from([0x89, 0x56, 0x4d, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a]);
  const header = Buffer.concat([magic, u16(1), u16(0)]);
  const sections = Object.entries(states).map(([name, state]) => section(1, name, value(state)));
  sections.push(section(2, 'memory', Buffer.concat([u64(gpa), u32(1), page])));
  const crcs = Buffer.concat(sections.map((bytes) => bytes.subarray(-4)));
  const end = Buffer.concat([u32(sections.length), u32(1), u32(crc32(crcs))]);
  return Buffer.concat([header, u32(crc32(header)), ...sections, section(3, 'end', end)]);
}

/** What the guest executes next, at 0x101000, in 32-bit code. */
const CODE = Buffer.from(
  [
    'dd1d00201000', // fstp qword ptr [0x102000]
    '660f7e2d08201000', // movd [0x102008], xmm5
    '66baf803', // mov dx, 0x3f8
    'b076ee', // mov al, 'v'; out dx, al
    'b031ee', // mov al, '1'; out dx, al
    'b017e6f4', // mov al, 0x17; out 0xf4, al
  ].join(''),
  'hex',
);

test('a machine that version 1 has suspended goes on', async () => {
  const path = join(import.meta.dirname, 'suspended-v1.json');
  const states: Record<string, Record<string, Json>> = JSON.parse(readFileSync(path, 'utf8'));
  const page = Buffer.alloc(PAGE_BYTES);
  CODE.copy(page);
  const records = Object.entries(states).map(([name, record]) => [name, { record }] as const);
  const restored = await readFile(file(Object.fromEntries(records), 0x101000n, page));
  expect(restored.summary).toMatchObject({ name: 'traveller', timeNs: 2500572 });
  const watched = makeMachine({ restored });
  expect(watched.run(100)).toEqual({ kind: 'exit-port', value: 0x17 });
  expect(watched.output()).toBe('v1');
  expect(watched.ram.view.getFloat64(0x102000, true)).toBe(1.5);
  expect(watched.ram.view.getUint32(0x102008, true)).toBe(0x12345678);
});
