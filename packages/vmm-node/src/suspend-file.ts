// The file of a suspended machine on the host: it has all of the guest's memory, so that only its
// owner reads it, and it is there as a whole or not at all.

import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { type SnapshotPiece, VmmError } from 'vmm';
import { reasonOf } from './errors.ts';

const MODE = 0o600;
const READ_BYTES = 1024 * 1024;

/** Writes the pieces to a file at `path`, in place of what may be there. VmmError says why not. */
export async function writeSuspendFile(
  path: string,
  pieces: Iterable<SnapshotPiece>,
): Promise<void> {
  const part = `${path}.part`;
  try {
    const file = await open(part, 'w', MODE);
    try {
      for (const { bytes } of pieces) await writeAll(file, bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true }).catch(() => {});
    if (error instanceof VmmError) throw error;
    const { code, text } = reasonOf(error);
    throw new VmmError(code, `Cannot write ${path}: ${text}.`, { cause: error });
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at)).bytesWritten;
  }
}

/** The bytes of the file at `path`. VmmError when it cannot be read. */
export async function* readSuspendFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES })) yield bytes;
  } catch (cause) {
    const { code, text } = reasonOf(cause);
    throw new VmmError(code, `Cannot read ${path}: ${text}.`, { cause });
  }
}
