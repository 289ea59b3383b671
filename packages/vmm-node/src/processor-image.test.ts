import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { buildProcessor, SoftEngine } from 'vmm';
import { decodeImage, encodeImage } from './processor-image.ts';

const image = buildProcessor();
const ORIGIN = 'cpu/flow.js 100\ncpu/mmu.js 200';
const bytes = encodeImage(image, ORIGIN);

test('the processor is the same each time that it is built', () => {
  expect(Buffer.compare(encodeImage(buildProcessor(), ORIGIN), bytes)).toBe(0);
});

test('an image comes back from its bytes as it was, and is a processor', () => {
  const decoded = decodeImage(bytes, ORIGIN)!;
  expect(Buffer.compare(decoded.wasm, image.wasm)).toBe(0);
  const { wasm: _, ...rest } = image;
  expect(decoded).toMatchObject(rest);
  const engine = new SoftEngine({
    clock: { now: () => 0, wallMs: () => 0 },
    entropy: { fill: () => {} },
    image: decoded,
  });
  expect(engine.module.handlers.saved).toEqual(image.handlers);
  expect(engine.module.module).toBeInstanceOf(WebAssembly.Module);
});

test('an image of other code is not taken', () => {
  expect(decodeImage(bytes, `${ORIGIN}\ncpu/new.js 1`)).toBeUndefined();
});

test('what is no image, or half of one, is not taken', () => {
  expect(decodeImage(new Uint8Array(0), ORIGIN)).toBeUndefined();
  expect(decodeImage(new TextEncoder().encode('not an image at all'), ORIGIN)).toBeUndefined();
  for (const length of [7, 8, 100, 5000]) {
    expect(decodeImage(bytes.subarray(0, length), ORIGIN)).toBeUndefined();
  }
  const wrong = bytes.slice();
  wrong[9] = 0x7d;
  expect(decodeImage(wrong, ORIGIN)).toBeUndefined();
});

test('the build has left an image that is newer than the code', () => {
  const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
  const file = at('../dist/processor.image');
  expect(existsSync(file)).toBe(true);
  const code = statSync(at('../../vmm/dist/cpu/flow.js')).mtimeMs;
  expect(statSync(file).mtimeMs).toBeGreaterThanOrEqual(code);
});
