// Unmodified SeaBIOS, GRUB, Linux and iPXE on the machine, at its serial console. Slow, and apart
// from the other tests therefore: `npm run test:firmware`.

import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { md5 } from '../guest.ts';
import { Conversation } from './conversation.ts';
import { CDROM_COMMAND, HELLO, type Media, missingTool, prepareMedia } from './media.ts';

/** Each takes seconds on a quiet machine. */
const PATIENCE_SECONDS = 240;
const missing = missingTool();
if (missing !== undefined) console.warn(`Firmware is not tested: ${missing}.`);

describe.skipIf(missing !== undefined)('firmware', () => {
  let media: Media;
  let folder: string;
  const conversations: Conversation[] = [];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'firmware-'));
    media = prepareMedia();
  }, PATIENCE_SECONDS * 1000);

  afterAll(async () => {
    await Promise.all(conversations.map((conversation) => conversation.leave()));
    rmSync(folder, { recursive: true });
  });

  function start(...words: string[]): Conversation {
    const conversation = new Conversation(['-b', media.firmware, ...words]);
    conversations.push(conversation);
    return conversation;
  }

  /** A disk of its own for a machine, since nobody else has it then. */
  function copyOf(path: string): string {
    const copy = join(mkdtempSync(join(folder, 'disk-')), 'disk.img');
    copyFileSync(path, copy);
    return copy;
  }

  test('SeaBIOS has a banner and a boot menu, and finds nothing on an empty disk', async () => {
    const disk = join(folder, 'empty.img');
    writeFileSync(disk, '');
    truncateSync(disk, 1024 * 1024);
    const guest = start('-m', '64M', '-d', disk);
    await guest.expect(/SeaBIOS \(version .*\)/, PATIENCE_SECONDS);
    await guest.expect('Press ESC for boot menu.', PATIENCE_SECONDS);
    guest.type('\x1b');
    await guest.expect('Select boot device:', PATIENCE_SECONDS);
    const [, number] = await guest.expect(/(\d)\. Virtio disk PCI:.*/, PATIENCE_SECONDS);
    guest.type(number!);
    await guest.expect('Booting from Hard Disk...', PATIENCE_SECONDS);
    await guest.expect('Boot failed: not a bootable disk', PATIENCE_SECONDS);
    await guest.expect(/No bootable device\.\s/, PATIENCE_SECONDS);
    await guest.leave();
  });

  test('what is to be booted from can be said, and the menu does not come then', async () => {
    const guest = start(
      '-m',
      '64M',
      '-d',
      copyOf(media.grubDisk),
      '-r',
      media.grubCd,
      '-B',
      'cdrom',
    );
    const [said] = await guest.expect(/SeaBIOS[\s\S]*Booting from DVD\/CD/, PATIENCE_SECONDS);
    expect(said).not.toContain('ESC');
    await guest.leave();
  });

  test('GRUB boots from the MBR of a disk, reads it, and comes back after a reset', async () => {
    const guest = start('-m', '64M', '-d', copyOf(media.grubDisk), '-B', 'disk');
    for (let boot = 0; boot < 2; boot++) {
      await guest.expect('SeaBIOS', PATIENCE_SECONDS);
      await guest.expect('Booting from Hard Disk', PATIENCE_SECONDS);
      await guest.expect('grub> ', PATIENCE_SECONDS);
      await guest.enter('cat (hd0,msdos1)/hello');
      await guest.expect(HELLO, PATIENCE_SECONDS);
      await guest.expect('grub> ', PATIENCE_SECONDS);
      await guest.enter('reboot');
    }
    await guest.leave();
  });

  test('GRUB boots from a CD when the disk does not, and boots Debian’s kernel', async () => {
    const guest = start('-m', '256M', '-r', media.grubCd, '-d', copyOf(media.guestDisk));
    await guest.expect('Boot failed: not a bootable disk', PATIENCE_SECONDS);
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('ls');
    await guest.expect(/\(hd0\).*\(cd\)|\(cd\).*\(hd0\)/, PATIENCE_SECONDS);
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('linux /boot/vmlinuz console=ttyS0 panic=-1 selfcheck');
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('initrd /boot/initrd');
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('boot');
    await guest.expect('selfcheck: ok', PATIENCE_SECONDS);
    expect((await guest.end()).status).toBe(0);
  });

  test('Linux mounts the CD-ROM that it was booted from, and reads all of it', async () => {
    const guest = start('-m', '256M', '-r', media.grubCd, '-B', 'cdrom');
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('linux /boot/vmlinuz console=ttyS0 panic=-1 quiet');
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('initrd /boot/initrd /boot/drive');
    await guest.expect('grub> ', PATIENCE_SECONDS);
    await guest.enter('boot');
    await guest.expect(/guest:.*# /, PATIENCE_SECONDS);
    await guest.enter(CDROM_COMMAND);
    await guest.expect(md5(readFileSync(media.memtest)), PATIENCE_SECONDS);
    await guest.expect(md5(readFileSync(media.grubCd)), PATIENCE_SECONDS);
    await guest.expect('VMM CD-ROM', PATIENCE_SECONDS);
    await guest.leave();
  });

  test('iPXE boots from a CD, to its prompt, and gets an address by DHCP', async () => {
    const guest = start('-m', '64M', '-L', '-r', media.ipxeCd, '-B', 'cdrom');
    await guest.expect('Press Ctrl-B', PATIENCE_SECONDS);
    guest.type('\x02');
    await guest.expect('iPXE> ', PATIENCE_SECONDS);
    await guest.enter('dhcp');
    await guest.expect(/Configuring \(net0.*\)\.*\s*ok/, PATIENCE_SECONDS);
    await guest.expect('iPXE> ', PATIENCE_SECONDS);
    await guest.enter('show net0/ip');
    await guest.expect('net0.dhcp/ip:ipv4 = 100.64.1.3', PATIENCE_SECONDS);
    await guest.leave();
  });
});
