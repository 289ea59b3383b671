// Images that `qemu-img convert -c` has compressed, and what becomes of them when they are changed.
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as zlib from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { contentOf, openImage } from '../../test/block/open-image.ts';
import {
  DECOMPRESSORS,
  HAS_ZSTD,
  NO_QEMU_IMG,
  newFolder,
  qemuImg,
  qemuLooksAt,
  same,
} from '../../test/block/qemu-img.ts';
import { Random } from '../../test/silicon/random.ts';

const SIZE = 1 << 20;

let folder: string;
let content: Uint8Array;
beforeAll(() => {
  folder = newFolder();
  const random = new Random(1);
  // From what hardly compresses to what nearly vanishes.
  content = Uint8Array.from({ length: SIZE }, (_, at) => random.below(256 >> (at >> 17)));
  writeFileSync(join(folder, 'raw'), content);
});
afterAll(() => rmSync(folder, { recursive: true }));

function compress(options: string): Uint8Array {
  const path = join(folder, 'compressed.qcow2');
  qemuImg('convert', '-c', '-O', 'qcow2', '-o', options, join(folder, 'raw'), path);
  return new Uint8Array(readFileSync(path));
}

test.skipIf(NO_QEMU_IMG).each([512, 4096, 65536, 2 << 20])(
  'clusters of %i bytes are decompressed, and uncompressed when they are written to',
  async (clusterBytes) => {
    const file = new MemoryFile(compress(`cluster_size=${clusterBytes}`));
    const disk = await openImage(file);
    expect(same(await contentOf(disk), content)).toBe(true);
    const model = content.slice();
    for (const offset of [512, 300_032, 300_544, SIZE - 512]) {
      const bytes = new Uint8Array(512).fill(0x99);
      model.set(bytes, offset);
      await disk.write(offset, [bytes]);
    }
    await disk.writeZeroes(600_064, 100_352, true);
    model.fill(0, 600_064, 700_416);
    expect(same(await contentOf(disk), model)).toBe(true);
    await disk.close();
    const seen = qemuLooksAt(folder, file.bytes);
    expect({ errors: seen.errors, leaks: seen.leaks }, seen.text).toEqual({ errors: 0, leaks: 0 });
    expect(same(seen.content, model)).toBe(true);
  },
);

test.skipIf(NO_QEMU_IMG || !HAS_ZSTD)('clusters compressed by zstd are read', async () => {
  const { zstdDecompressSync } = zlib as unknown as {
    zstdDecompressSync(data: Uint8Array): Uint8Array;
  };
  // What follows a stream is the next one: find its end by trying.
  const zstd = async (data: Uint8Array, length: number): Promise<Uint8Array> => {
    for (let end = data.length; end > 0; end--) {
      try {
        const out = zstdDecompressSync(data.subarray(0, end));
        if (out.length >= length) return out.subarray(0, length);
      } catch {}
    }
    throw new Error('no stream');
  };
  const file = new MemoryFile(compress('compression_type=zstd'));
  const disk = await openImage(file, undefined, { ...DECOMPRESSORS, zstd });
  expect(same(await contentOf(disk), content)).toBe(true);
});

test.skipIf(NO_QEMU_IMG)('zstd is refused where the host has none', async () => {
  const file = new MemoryFile(compress('compression_type=zstd'));
  await expect(openImage(file)).rejects.toThrow(
    'Disk test.qcow2 is compressed by zstd, which this host lacks.',
  );
});

test.skipIf(NO_QEMU_IMG)('a cluster that is no stream is an error of that cluster', async () => {
  const image = compress('cluster_size=65536');
  const view = new DataView(image.buffer);
  const l2 = Number(view.getBigUint64(Number(view.getBigUint64(40))) & 0xff_ffff_ffff_fe00n);
  // The first clusters hardly compress and are stored as they are.
  const first = Number(view.getBigUint64(l2 + 15 * 8) & ((1n << 54n) - 1n));
  image.fill(0xff, first, first + 512);
  const disk = await openImage(new MemoryFile(image));
  const bytes = new Uint8Array(512);
  const offset = 15 * 65536;
  const reason = 'is corrupt: the compressed cluster at 0x';
  await expect(disk.read(offset, [bytes])).rejects.toThrow(reason);
  await expect(disk.write(offset, [bytes])).rejects.toThrow(reason);
  await disk.read(0, [bytes]);
});
