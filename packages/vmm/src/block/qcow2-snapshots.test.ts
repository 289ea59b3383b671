// Snapshot tables that qemu-img has written.
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { NO_QEMU_IMG, newFolder, qemuImg } from '../../test/block/qemu-img.ts';
import { readStart } from './qcow2.ts';
import { readSnapshots } from './qcow2-snapshots.ts';

test.skipIf(NO_QEMU_IMG)('readSnapshots() finds the L1 table of each snapshot', async () => {
  const folder = newFolder();
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '3G');
  for (const name of ['a', 'a longer name', 'ü']) qemuImg('snapshot', '-c', name, path);
  const file = new MemoryFile(new Uint8Array(readFileSync(path)));
  rmSync(folder, { recursive: true });
  const { header } = await readStart(file);
  const { bytes, l1Tables } = await readSnapshots(file, header);
  expect(l1Tables.map(({ entries }) => entries)).toEqual([6, 6, 6]);
  expect(new Set(l1Tables.map(({ offset }) => offset)).size).toBe(3);
  expect(l1Tables.every(({ offset }) => offset % 65536 === 0 && offset > 0)).toBe(true);
  // 40 bytes, 24 of extra data, an ID of one digit, the name; rounded up to 8.
  const lengths = [1, 13, 2].map((name) => Math.ceil((64 + 1 + name) / 8) * 8);
  expect(bytes).toBe(lengths.reduce((sum, length) => sum + length));
});

test.skipIf(NO_QEMU_IMG)('readSnapshots() refuses a table that has no end', async () => {
  const folder = newFolder();
  const path = join(folder, 'disk.qcow2');
  qemuImg('create', '-q', '-f', 'qcow2', path, '1M');
  qemuImg('snapshot', '-c', 'a', path);
  const file = new MemoryFile(new Uint8Array(readFileSync(path)));
  rmSync(folder, { recursive: true });
  const { header } = await readStart(file);
  new DataView(file.bytes.buffer).setUint32(header.snapshotsOffset + 36, 0xffff_ff00);
  await expect(readSnapshots(file, header)).rejects.toThrow('its snapshot 0 is none');
});
