// The processor as a file beside this one, written when the packages are built: reading it takes a
// few milliseconds, building the processor some hundreds. It is taken only while the code that it
// was built of is what it was; without it, each engine builds its own.
//
//   u32 PROCESSOR_MAGIC; u32 length of the head
//   the head: JSON, see Head; padded with spaces to a multiple of four bytes
//   i32 × byKey, i32 × fused: SavedHandlers
//   the module
//
// All little endian, as WebAssembly is.

import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ProcessorImage } from 'vmm';

const MAGIC = 0x50554d56;
/** The folders of vmm that a processor is made of. */
const PARTS = ['base', 'wasm', 'isa', 'cpu'];

interface Head extends Pick<ProcessorImage, 'special' | 'tableSize'> {
  /** Names and sizes of the files that it was built of. */
  readonly origin: string;
  readonly byKey: number;
  readonly fused: number;
}

const imagePath = (): string => fileURLToPath(new URL('./processor.image', import.meta.url));
const vmmFolder = (): string => dirname(fileURLToPath(import.meta.resolve('vmm')));

/** What the code of the processor is, and when it was last changed, in milliseconds. */
function codeOf(folder: string): { origin: string; changedMs: number } {
  const files: string[] = [];
  let changedMs = 0;
  for (const part of PARTS) {
    for (const name of readdirSync(join(folder, part), { recursive: true }) as string[]) {
      if (!name.endsWith('.js')) continue;
      const { size, mtimeMs } = statSync(join(folder, part, name));
      files.push(`${part}/${name} ${size}`);
      changedMs = Math.max(changedMs, mtimeMs);
    }
  }
  return { origin: files.sort().join('\n'), changedMs };
}

/** An image as the bytes of a file. */
export function encodeImage(image: ProcessorImage, origin: string): Uint8Array {
  const { special, tableSize, wasm } = image;
  const { byKey, fused } = image.handlers;
  const head: Head = { special, tableSize, origin, byKey: byKey.length, fused: fused.length };
  const text = JSON.stringify(head);
  const json = new TextEncoder().encode(text.padEnd(text.length + (-text.length & 3)));
  const words = 2 + json.length / 4 + byKey.length + fused.length;
  const bytes = new Uint8Array(4 * words + wasm.length);
  new Uint32Array(bytes.buffer, 0, 2).set([MAGIC, json.length]);
  bytes.set(json, 8);
  const numbers = new Int32Array(bytes.buffer, 8 + json.length, byKey.length + fused.length);
  numbers.set(byKey);
  numbers.set(fused, byKey.length);
  bytes.set(wasm, 4 * words);
  return bytes;
}

/** The image in a file's bytes; undefined when they are none, or one of other code. */
export function decodeImage(bytes: Uint8Array, origin: string): ProcessorImage | undefined {
  // Numbers in it are aligned if the first is.
  const { buffer } = Uint8Array.from(bytes);
  if (buffer.byteLength < 8) return undefined;
  const [magic, length] = new Uint32Array(buffer, 0, 2);
  if (magic !== MAGIC || length % 4 !== 0 || 8 + length > buffer.byteLength) return undefined;
  let head: Head;
  try {
    head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  } catch {
    return undefined;
  }
  const wasmAt = 8 + length + 4 * (head.byKey + head.fused);
  if (head.origin !== origin || !(wasmAt < buffer.byteLength)) return undefined;
  return {
    wasm: new Uint8Array(buffer, wasmAt),
    handlers: {
      byKey: new Int32Array(buffer, 8 + length, head.byKey),
      fused: new Int32Array(buffer, 8 + length + 4 * head.byKey, head.fused),
    },
    special: head.special,
    tableSize: head.tableSize,
  };
}

/** The processor of this version of the code, undefined when there is no file of it. */
export function readProcessorImage(): ProcessorImage | undefined {
  try {
    const path = imagePath();
    const { origin, changedMs } = codeOf(vmmFolder());
    if (statSync(path).mtimeMs < changedMs) return undefined;
    return decodeImage(readFileSync(path), origin);
  } catch {
    // Whatever is wrong with it, there is another way.
    return undefined;
  }
}

/** Writes the file, unless it is there and good. */
export function writeProcessorImage(build: () => ProcessorImage): void {
  if (readProcessorImage()) return;
  const path = imagePath();
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, encodeImage(build(), codeOf(vmmFolder()).origin));
  renameSync(temporary, path);
}
