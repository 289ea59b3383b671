// New images, in the eyes of qemu-img.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryFile } from '../../test/block/memory-file.ts';
import { NO_QEMU_IMG, newFolder, qemuCheck, qemuImg } from '../../test/block/qemu-img.ts';
import { createQcow2 } from './qcow2-create.ts';

let folder: string;
beforeAll(() => {
  folder = newFolder();
});
afterAll(() => rmSync(folder, { recursive: true }));

test.skipIf(NO_QEMU_IMG).each([512, 1 << 20, (1 << 29) + 512, 2 ** 43])(
  'createQcow2() makes an image of %i bytes',
  async (sizeBytes) => {
    const file = new MemoryFile();
    await createQcow2(file, sizeBytes);
    const path = join(folder, 'disk.qcow2');
    writeFileSync(path, file.bytes);
    expect(JSON.parse(qemuImg('info', '--output=json', path))).toMatchObject({
      format: 'qcow2',
      'virtual-size': sizeBytes,
      'cluster-size': 65536,
    });
    const { errors, leaks, text } = qemuCheck(path);
    expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
  },
);

test.skipIf(NO_QEMU_IMG)('createQcow2() names the base and its format', async () => {
  const file = new MemoryFile();
  const name = `ü/${'a'.repeat(900)}`;
  await createQcow2(file, 1 << 20, { name, format: 'raw' });
  const path = join(folder, 'disk.qcow2');
  writeFileSync(path, file.bytes);
  expect(JSON.parse(qemuImg('info', '--output=json', path))).toMatchObject({
    'backing-filename': name,
    'backing-filename-format': 'raw',
  });
});

test('createQcow2() refuses what is no size or no name', async () => {
  for (const size of [0, -512, 1000, 2 ** 52]) {
    await expect(createQcow2(new MemoryFile(), size)).rejects.toThrow(`cannot have ${size} bytes`);
  }
  const backing = { name: 'a'.repeat(1024), format: 'raw' } as const;
  await expect(createQcow2(new MemoryFile(), 512, backing)).rejects.toThrow('cannot name its base');
});
