// Disk images by their paths: files of the host, decompression by zlib.

import { stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import * as zlib from 'node:zlib';
import {
  type Decompress,
  type Decompressors,
  type Disk,
  DiskOpener,
  type ImageFiles,
  type ImageReference,
  VmmError,
} from 'vmm';
import { reasonOf } from './errors.ts';
import { openHostFile } from './host-file.ts';

/** Since when Node has Zstandard: not in 20. */
type ZlibWithZstd = typeof zlib & {
  createZstdDecompress?: (options: { params: Record<number, number> }) => zlib.Unzip;
};

/** ZSTD_d_windowLogMax of zstd.h. */
const ZSTD_D_WINDOW_LOG_MAX = 100;
/**
 * A cluster has 2 MiB at most, and needs no larger window; by default a stream may ask for 128 MiB,
 * and a hostile image for many of them at once.
 */
const WINDOW_LOG_MAX = 23;

const files: ImageFiles = {
  open: openHostFile,
  async identify(path) {
    try {
      const { dev, ino } = await stat(path);
      return `${dev}:${ino}`;
    } catch (cause) {
      const { code, text } = reasonOf(cause);
      throw new VmmError(code, `Cannot open disk ${path}: ${text}.`, { cause });
    }
  },
  // Not joined: where ".." leads is for the file system to say, as there may be symbolic links.
  resolve: (path, name) => (isAbsolute(name) ? name : `${dirname(path)}/${name}`),
};

/**
 * Decompression that takes what it needs and no more: behind the stream there is other data, which
 * zlib would complain of.
 */
function decompressBy(create: () => zlib.Unzip | zlib.InflateRaw): Decompress {
  return (data, length) =>
    new Promise((resolve, reject) => {
      const out = new Uint8Array(length);
      let have = 0;
      const stream = create();
      const end = (): void => {
        if (have === length) resolve(out);
        else reject(new Error(`the stream has ${have} bytes, not ${length}`));
        stream.destroy();
      };
      stream.on('data', (chunk: Uint8Array) => {
        const part = chunk.subarray(0, length - have);
        out.set(part, have);
        have += part.length;
        if (have === length) end();
      });
      stream.on('end', end);
      stream.on('error', reject);
      stream.end(data);
    });
}

function decompressors(): Decompressors {
  const deflate: Decompress = (data, length) =>
    new Promise((resolve, reject) => {
      zlib.inflateRaw(data, { maxOutputLength: length }, (error, out) => {
        if (error === null && out.length === length) resolve(out);
        else reject(error ?? new Error(`the stream has ${out.length} bytes, not ${length}`));
      });
    });
  const { createZstdDecompress } = zlib as ZlibWithZstd;
  if (createZstdDecompress === undefined) return { deflate };
  const params = { [ZSTD_D_WINDOW_LOG_MAX]: WINDOW_LOG_MAX };
  return { deflate, zstd: decompressBy(() => createZstdDecompress({ params })) };
}

/**
 * Opens the disk image `image`, and those below it for reading. It is locked until the disk is
 * closed. VmmError says why it cannot be opened.
 */
export function openDisk(image: ImageReference, readOnly: boolean): Promise<Disk> {
  return new DiskOpener(files, decompressors()).open(image, readOnly);
}
