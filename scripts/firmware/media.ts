// What the tests of firmware boot from: SeaBIOS, memtest86+ and iPXE as Debian's packages have
// them, a CD and a disk with GRUB, made by its own tools. All of it is in .cache/firmware.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cpioArchive } from '../../packages/vmm/src/machine/boot/cpio.ts';
import { fetchPackage, findFile, run, updateFile } from '../debian.ts';
import { prepareGuest } from '../guest.ts';
import { modulesInOrder } from '../kernel-modules.ts';
import { root } from '../root.ts';

/** The media; all files exist. */
export interface Media {
  /** SeaBIOS with a serial console. */
  readonly firmware: string;
  /**
   * GRUB, with Debian's kernel, the guest's initramfs, what the guest needs besides to use a CD-ROM
   * ({@link CDROM_COMMAND}), and memtest86+ in /boot.
   */
  readonly grubCd: string;
  /** The file /boot/memtest of the CD. */
  readonly memtest: string;
  /** GRUB in the MBR, and a FAT partition with {@link HELLO} in /hello. */
  readonly grubDisk: string;
  readonly ipxeCd: string;
  /** The disk whose checksum the guest's initramfs knows. */
  readonly guestDisk: string;
}

/** What is in a file on the disk with GRUB. */
export const HELLO = 'Hello from a FAT partition.';

/** Prints the MD5 sums of /boot/memtest on the CD-ROM, as a file system, and of the whole disc. */
export const CDROM_COMMAND = 'read-cdrom';

const CDROM_MODULES = ['virtio_scsi', 'sr_mod', 'isofs'];
const CDROM_MEMBERS = [
  '*/modules.builtin',
  '*/kernel/drivers/virtio/*',
  '*/kernel/drivers/scsi/*',
  '*/kernel/drivers/cdrom/*',
  '*/kernel/fs/isofs/*',
];

const MB = 1024 * 1024;
const DISK_BYTES = 16 * MB;
const PARTITION_BYTES = 8 * MB;
const SECTOR_BYTES = 512;
/** The modules for the disk's core image: what it is on, and what a test asks for. */
const DISK_MODULES = 'biosdisk part_msdos fat normal ls cat echo reboot'.split(' ');
const GRUB_FOLDER = '/usr/lib/grub/i386-pc';

/** What has to be installed and is not, as a reason to skip; undefined when all is there. */
export function missingTool(): string | undefined {
  const tools = ['grub-mkrescue', 'grub-mkimage', 'xorriso', 'mformat', 'mcopy'];
  const found = tools.find((tool) => !isInstalled(tool));
  if (found !== undefined) return `there is no program ${found}`;
  return existsSync(GRUB_FOLDER) ? undefined : `there is no ${GRUB_FOLDER}`;
}

function isInstalled(tool: string): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v "$0"', tool], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** The media, fetched and made where they are not there yet. VmmError when that fails. */
export function prepareMedia(say: (text: string) => void = () => {}): Media {
  const cache = join(root(), '.cache', 'firmware');
  mkdirSync(cache, { recursive: true });
  const unpacked = (name: string, member: string): string => {
    const folder = join(cache, name);
    fetchPackage(name, [`*/${member}`], folder, say);
    return findFile(folder, (path) => path.endsWith(`/${member}`));
  };
  const guest = prepareGuest(say);
  const memtest = unpacked('memtest86+', 'memtest86+x64.bin');
  const modules = join(cache, `modules-${guest.release}`);
  fetchPackage(`linux-image-${guest.release}`, CDROM_MEMBERS, modules, say);
  const drive = updateFile(join(cache, 'drive.cpio'), driveArchive(modules));
  const onCd = { vmlinuz: guest.kernel, initrd: guest.initrd, drive, memtest };
  return {
    firmware: unpacked('seabios', 'bios-256k.bin'),
    ipxeCd: unpacked('ipxe', 'ipxe.iso'),
    grubCd: makeGrubCd(cache, onCd),
    memtest,
    grubDisk: updateFile(join(cache, 'grub-disk.img'), makeGrubDisk(cache)),
    guestDisk: guest.disk,
  };
}

/** A second initramfs: the drivers of the CD-ROM, and {@link CDROM_COMMAND}. */
function driveArchive(folder: string): Uint8Array {
  const modules = modulesInOrder(folder, CDROM_MODULES);
  const script = `#!/bin/sh
for module in ${modules.map(({ name }) => name).join(' ')}; do
	[ -d "/sys/module/$module" ] || insmod "/lib/modules/$module.ko" || exit
done
until [ -b /dev/sr0 ]; do sleep 0.1; done
mkdir -p /mnt
mount -t iso9660 -o ro /dev/sr0 /mnt || exit
md5sum /mnt/boot/memtest /dev/sr0
echo "$(cat /sys/block/sr0/device/model)"
umount /mnt
`;
  return cpioArchive([
    ...['bin', 'lib', 'lib/modules'].map((path) => {
      return { kind: 'directory', path, mode: 0o755 } as const;
    }),
    ...modules.map(({ name, bytes }) => {
      return { kind: 'file', path: `lib/modules/${name}.ko`, mode: 0o644, data: bytes } as const;
    }),
    {
      kind: 'file',
      path: `bin/${CDROM_COMMAND}`,
      mode: 0o755,
      data: new TextEncoder().encode(script),
    },
  ]);
}

/** A CD with `files` in /boot, which GRUB boots from, to its prompt. */
function makeGrubCd(cache: string, files: Readonly<Record<string, string>>): string {
  const tree = join(cache, `tree-${process.pid}`);
  const iso = join(cache, 'grub-cd.iso');
  const work = join(cache, `grub-cd-${process.pid}.iso`);
  mkdirSync(join(tree, 'boot'), { recursive: true });
  try {
    for (const [name, path] of Object.entries(files)) copyFileSync(path, join(tree, 'boot', name));
    run('grub-mkrescue', ['-d', GRUB_FOLDER, '-o', work, tree], 'make a CD with GRUB');
    return updateFile(iso, readFileSync(work));
  } finally {
    rmSync(tree, { recursive: true });
    rmSync(work, { force: true });
  }
}

/**
 * The boot sector, the core image behind it, and a partition from 1 MiB on. Neither of the first
 * two has to be told where the next is: they expect it in the next sector.
 */
function makeGrubDisk(cache: string): Uint8Array {
  const work = join(cache, `grub-disk-${process.pid}`);
  const [core, image, hello] = ['core', 'image', 'hello'].map((name) => join(work, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(work);
  try {
    const prefix = ['-O', 'i386-pc', '-p', '(hd0,msdos1)/boot/grub', '-o', core];
    run('grub-mkimage', [...prefix, ...DISK_MODULES], 'make an image of GRUB');
    const disk = new Uint8Array(DISK_BYTES);
    disk.set(readFileSync(join(GRUB_FOLDER, 'boot.img')));
    disk.set(partitionTable(), 446);
    disk.set(readFileSync(core), SECTOR_BYTES);
    writeFileSync(image, disk);
    writeFileSync(hello, `${HELLO}\n`);
    const partition = ['-i', `${image}@@1M`];
    const sectors = String(PARTITION_BYTES / SECTOR_BYTES);
    run('mformat', [...partition, '-T', sectors, '-h', '16', '-s', '63', '::'], 'make a FAT');
    run('mcopy', [...partition, hello, '::hello'], 'write to a FAT');
    return readFileSync(image);
  } finally {
    rmSync(work, { recursive: true });
  }
}

/** One active partition of FAT16 from sector 2048 on; GRUB has code where others would be. */
function partitionTable(): Uint8Array {
  const table = new Uint8Array(64);
  const view = new DataView(table.buffer);
  table[0] = 0x80;
  table[4] = 0x06;
  view.setUint32(8, MB / SECTOR_BYTES, true);
  view.setUint32(12, PARTITION_BYTES / SECTOR_BYTES, true);
  return table;
}
