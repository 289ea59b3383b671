// An assembler for the few terms of AML that a machine without methods needs: names, packages,
// buffers, scopes, devices (ACPI 6.5, section 20.2). Terms are made from the inside out, as bytes,
// since the length of each stands before it. Not here: methods, fields, operators.

import { assert } from '../../base/assert.ts';

/** An encoded term or data object. */
export type Aml = readonly number[];

// Opcodes, section 20.2.2 to 20.2.5.
const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const SCOPE_OP = 0x10;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const DUAL_NAME_PREFIX = 0x2e;
const MULTI_NAME_PREFIX = 0x2f;
const NULL_NAME = 0x00;
const ROOT_CHAR = 0x5c;
const EXT_OP_PREFIX = 0x5b;
const DEVICE_OP = 0x82;

const SEGMENT_BYTES = 4;
/** What one, two, three and four bytes of a PkgLength can say (20.2.4). */
const PACKAGE_LENGTH_LIMITS: readonly number[] = [0x40, 0x1000, 0x10_0000, 0x1000_0000];

/** An integer from 0 to 2^32 - 1, in its shortest form. */
export function integer(value: number): Aml {
  assert(Number.isInteger(value) && value >= 0 && value < 2 ** 32, `no AML integer: ${value}`);
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value < 0x100) return [BYTE_PREFIX, value];
  if (value < 0x1_0000) return [WORD_PREFIX, ...little(value, 2)];
  return [DWORD_PREFIX, ...little(value, 4)];
}

/** `bytes` as a buffer of just their length. */
export function buffer(bytes: readonly number[]): Aml {
  return sized([BUFFER_OP], [...integer(bytes.length), ...bytes]);
}

/** A package of up to 255 objects. */
export function packageOf(...elements: readonly Aml[]): Aml {
  assert(elements.length < 0x100, 'an AML package has too many elements');
  return sized([PACKAGE_OP], [elements.length, ...elements.flat()]);
}

/** Gives `object` a name in the current scope, or at a path as `\\_S5`. */
export function name(path: string, object: Aml): Aml {
  return [NAME_OP, ...nameString(path), ...object];
}

/** Terms in the scope of something that exists. */
export function scope(path: string, ...terms: readonly Aml[]): Aml {
  return sized([SCOPE_OP], [...nameString(path), ...terms.flat()]);
}

/** A device, with what describes it. */
export function device(path: string, ...terms: readonly Aml[]): Aml {
  return sized([EXT_OP_PREFIX, DEVICE_OP], [...nameString(path), ...terms.flat()]);
}

/** A Plug and Play id as `PNP0A03` in the compressed form of EISA (6.1.5), an integer. */
export function eisaId(id: string): Aml {
  assert(/^[A-Z]{3}[0-9A-F]{4}$/.test(id), `no EISA id: ${id}`);
  const [a, b, c] = [...id].map((letter) => letter.charCodeAt(0) - 0x40);
  const vendor = (a << 10) | (b << 5) | c;
  const product = Number.parseInt(id.slice(3), 16);
  // The bytes come in the order in which an EISA card shows them.
  return [DWORD_PREFIX, vendor >> 8, vendor & 0xff, product >> 8, product & 0xff];
}

/** `value` in `size` bytes, the lowest first. */
export function little(value: number, size: number): number[] {
  return Array.from({ length: size }, (_, index) => Math.floor(value / 2 ** (8 * index)) & 0xff);
}

/** `body` behind its opcode and its length, which counts itself. */
function sized(opcode: readonly number[], body: readonly number[]): Aml {
  const size = PACKAGE_LENGTH_LIMITS.findIndex((limit, index) => body.length + index + 1 < limit);
  assert(size >= 0, 'an AML term is too long');
  const length = body.length + size + 1;
  if (size === 0) return [...opcode, length, ...body];
  return [...opcode, (size << 6) | (length & 0xf), ...little(length >> 4, size), ...body];
}

/** A path of segments with dots between them (20.2.2). */
function nameString(path: string): Aml {
  const isAbsolute = path.startsWith('\\');
  const segments = path.slice(isAbsolute ? 1 : 0).split('.');
  const prefix = isAbsolute ? [ROOT_CHAR] : [];
  if (segments.length === 1 && segments[0] === '') return [...prefix, NULL_NAME];
  const encoded = segments.flatMap(nameSegment);
  if (segments.length === 1) return [...prefix, ...encoded];
  if (segments.length === 2) return [...prefix, DUAL_NAME_PREFIX, ...encoded];
  return [...prefix, MULTI_NAME_PREFIX, segments.length, ...encoded];
}

function nameSegment(segment: string): number[] {
  assert(/^[A-Z_][A-Z0-9_]{0,3}$/.test(segment), `no AML name: ${segment}`);
  return [...segment.padEnd(SEGMENT_BYTES, '_')].map((letter) => letter.charCodeAt(0));
}
