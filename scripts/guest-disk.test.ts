// A guest writes to a qcow2 disk, laid over a raw one: what it sees then, what qemu-img sees, and
// what should be there are the same.
import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  NO_QEMU_IMG,
  newFolder,
  qemuCheck,
  qemuContent,
  qemuImg,
  same,
} from '../packages/vmm/test/block/qemu-img.ts';
import { COMMAND_LINE, type Guest, prepareGuest } from './guest.ts';
import { startVmctl } from './vmctl-process.ts';

const PROMPT = 'guest:/root# ';
const BLOCK = 4096;

let guest: Guest;
let folder: string;
beforeAll(() => {
  guest = prepareGuest();
  folder = newFolder();
}, 300_000);
afterAll(() => rmSync(folder, { recursive: true }));

/** Boots the guest with a disk, types `commands` at its prompt, and returns what it printed. */
async function session(disk: string, commands: string): Promise<string> {
  const options = ['-t', '200', '--no-reboot'];
  const child = startVmctl(guest, disk, COMMAND_LINE, options, ['pipe', 'pipe', 'inherit']);
  let seen = '';
  let typed = false;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    seen += text;
    if (typed || !seen.includes(PROMPT)) return;
    typed = true;
    child.stdin!.write(`${commands}\n`);
  });
  const status = await new Promise((resolve) => {
    child.once('close', resolve);
  });
  expect(status, seen).toBe(0);
  return seen;
}

test.skipIf(NO_QEMU_IMG)(
  'what a guest writes to a qcow2 disk is there for qemu-img',
  { timeout: 300_000 },
  async () => {
    const disk = join(folder, 'disk.qcow2');
    copyFileSync(guest.disk, join(folder, 'base.raw'));
    qemuImg('create', '-q', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', disk);
    const expected = new Uint8Array(readFileSync(guest.disk));
    expected.copyWithin(3 * BLOCK, 500 * BLOCK, 700 * BLOCK);
    expected.copyWithin(7999 * 512, 0, 512);
    expected.fill(0, 700 * BLOCK, 740 * BLOCK);
    const seen = await session(
      disk,
      [
        `dd if=/dev/vda of=/dev/vda bs=${BLOCK} skip=500 seek=3 count=200 conv=notrunc`,
        'dd if=/dev/vda of=/dev/vda bs=512 skip=0 seek=7999 count=1 conv=notrunc',
        `blkdiscard -z -o ${700 * BLOCK} -l ${40 * BLOCK} /dev/vda ||` +
          ` dd if=/dev/zero of=/dev/vda bs=${BLOCK} seek=700 count=40 conv=notrunc`,
        'sync; echo 3 >/proc/sys/vm/drop_caches; md5sum /dev/vda; poweroff -f',
      ].join('; '),
    );
    const sum = createHash('md5').update(expected).digest('hex');
    expect(seen).toContain(`${sum}  /dev/vda`);
    const { errors, leaks, text } = qemuCheck(disk);
    expect({ errors, leaks }, text).toEqual({ errors: 0, leaks: 0 });
    expect(same(qemuContent(disk), expected)).toBe(true);
    expect(same(readFileSync(join(folder, 'base.raw')), readFileSync(guest.disk))).toBe(true);
  },
);
