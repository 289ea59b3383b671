// A disk with Debian 12 on it, made of Debian's packages by mmdebstrap(1) and mke2fs(8): no mount,
// no loop device, and where the kernel lets users have namespaces, no root. The disk boots by its
// MBR (GRUB, in the gap before the partition), and its kernel and initrd come along for direct
// boot.
//
// Root logs in on the first serial port, without a password. There is one partition, /dev/vda1.

import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { installPackage, run, type Say } from './debian.ts';
import { root } from './root.ts';

/** The files of a Debian disk; all of them exist. */
export interface DebianImage {
  /** The disk, 1 GiB, of which most is not allocated. */
  readonly raw: string;
  /** A copy of it that {@link prepareImage}'s caller made, or where it belongs. */
  readonly qcow2: string;
  readonly kernel: string;
  readonly initrd: string;
}

/** The command line for direct boot: that of the disk's own boot menu. */
export const IMAGE_COMMAND_LINE = 'root=/dev/vda1 console=ttyS0 net.ifnames=0';

const SUITE = 'bookworm';
const DISK_BYTES = 1024 ** 3;
const SECTOR = 512;
/** Where the partition begins, as fdisk(8) places the first. */
const PARTITION_SECTOR = 2048;
const PACKAGES = [
  ...['systemd-sysv', 'udev', 'linux-image-cloud-amd64', 'usr-is-merged'],
  ...['ifupdown', 'isc-dhcp-client', 'iproute2', 'iputils-ping'],
  // logind hears the power button, and tells systemd of it by the bus.
  'dbus',
  // The boot loader's modules, and the program that makes one file of them.
  ...['grub-pc-bin', 'grub-common'],
];

/** The files of scripts/image, and where they go. */
const CONFIGURATION: Readonly<Record<string, string>> = {
  interfaces: '/etc/network/interfaces',
  'grub.cfg': '/boot/grub/grub.cfg',
  fstab: '/etc/fstab',
  'timeouts.conf': '/etc/systemd/system.conf.d/timeouts.conf',
};

/** Modules of GRUB in the file that the MBR loads: what it takes to find all others. */
const GRUB_MODULES = ['biosdisk', 'part_msdos', 'ext2'];
const GRUB_FOLDER = '/usr/lib/grub/i386-pc';
const GRUB_CORE = '/boot/grub/core.img';

/**
 * The disk, made when it is not in the cache or has other packages besides; `say` is told of what
 * takes long, which is about a minute. VmmError with a sentence when it cannot be made.
 */
export function prepareImage(more: readonly string[] = [], say: Say = () => {}): DebianImage {
  const folder = join(root(), '.cache', 'image');
  const image = {
    raw: join(folder, 'debian-12.raw'),
    qcow2: join(folder, 'debian-12.qcow2'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
  };
  const recipe = recipeOf(more);
  const made = join(folder, 'recipe');
  if (existsSync(made) && readFileSync(made, 'utf8') === recipe) return image;
  if (!hasProgram('mmdebstrap')) installPackage('mmdebstrap', say);
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, 'work-'));
  try {
    const tree = makeTree(work, more, say);
    say('Making the disk');
    const disk = join(work, 'disk.raw');
    makeDisk(disk, tree);
    for (const [name, path] of [
      ['vmlinuz', image.kernel],
      ['initrd.img', image.initrd],
    ] as const) {
      copyFileSync(realpathSync(join(tree, name)), path);
    }
    rmSync(image.qcow2, { force: true });
    renameSync(disk, image.raw);
    writeFileSync(made, recipe);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return image;
}

/** What the cached disk was made of: when it differs, the disk is made anew. */
function recipeOf(more: readonly string[]): string {
  const files = Object.keys(CONFIGURATION).map((name) => readFileSync(source(name), 'utf8'));
  return JSON.stringify([SUITE, DISK_BYTES, PACKAGES, more, files]);
}

function source(name: string): string {
  return join(root(), 'scripts', 'image', name);
}

function hasProgram(name: string): boolean {
  try {
    run('which', [name], `look for ${name}`);
    return true;
  } catch {
    return false;
  }
}

/** The files of the system, in a folder below `work`. */
function makeTree(work: string, more: readonly string[], say: Say): string {
  say("Fetching and installing Debian's packages");
  const archive = join(work, 'tree.tar');
  const hook = (text: string): string => `--customize-hook=${text}`;
  run(
    'mmdebstrap',
    [
      '--quiet',
      '--variant=minbase',
      `--include=${[...PACKAGES, ...more].join(',')}`,
      '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
      ...['man', 'doc', 'locale', 'info'].map(
        (what) => `--dpkgopt=path-exclude=/usr/share/${what}/*`,
      ),
      hook('chroot "$1" passwd --delete root'),
      hook('echo debian > "$1/etc/hostname"'),
      hook('mkdir -p "$1/boot/grub" "$1/etc/systemd/system.conf.d"'),
      ...Object.entries(CONFIGURATION).map(([name, to]) => hook(`upload ${source(name)} ${to}`)),
      hook(
        `chroot "$1" grub-mkimage -O i386-pc -o ${GRUB_CORE} -p '(hd0,msdos1)/boot/grub' ` +
          GRUB_MODULES.join(' '),
      ),
      hook(`cp -r "$1${GRUB_FOLDER}" "$1/boot/grub/"`),
      SUITE,
      archive,
    ],
    'install Debian into a folder',
  );
  const tree = join(work, 'tree');
  mkdirSync(tree);
  return tree;
}

/**
 * The disk with the files of `tree`. They are unpacked by the command that makes the file system of
 * them: fakeroot(1) forgets their owners when it ends.
 */
function makeDisk(disk: string, tree: string): void {
  writeFileSync(disk, '');
  truncateSync(disk, DISK_BYTES);
  const offset = PARTITION_SECTOR * SECTOR;
  const blocks = `${(DISK_BYTES - offset) / 1024}k`;
  const options = `offset=${offset},root_owner=0:0`;
  const script =
    'tar -xf "$0.tar" -C "$0" --exclude=./dev/* && ' +
    `mke2fs -q -t ext4 -L debian -E ${options} -d "$0" "$1" ${blocks}`;
  asRoot(['sh', '-c', script, tree, disk], 'make a file system');

  const bootSector = new Uint8Array(SECTOR);
  const loader = readFileSync(join(tree, GRUB_FOLDER, 'boot.img'));
  bootSector.set(loader.subarray(0, PARTITION_TABLE));
  bootSector.set(partitionTable(), PARTITION_TABLE);
  const core = readFileSync(join(tree, GRUB_CORE));
  // boot.img loads sector 1, which loads as many as grub-mkimage(1) has written into it.
  const file = openSync(disk, 'r+');
  writeSync(file, bootSector, 0, SECTOR, 0);
  writeSync(file, core, 0, core.length, SECTOR);
  closeSync(file);
}

const PARTITION_TABLE = 446;
const TYPE_LINUX = 0x83;
const ACTIVE = 0x80;

/** One active partition that takes the rest of the disk, by sector numbers, and the signature. */
function partitionTable(): Uint8Array {
  const table = new Uint8Array(SECTOR - PARTITION_TABLE);
  const view = new DataView(table.buffer);
  table[0] = ACTIVE;
  table.fill(0xff, 1, 4); // "beyond what cylinders, heads and sectors can say"
  table[4] = TYPE_LINUX;
  table.fill(0xff, 5, 8);
  view.setUint32(8, PARTITION_SECTOR, true);
  view.setUint32(12, DISK_BYTES / SECTOR - PARTITION_SECTOR, true);
  view.setUint16(table.length - 2, 0xaa55, true);
  return table;
}

/** Runs a program as root, or under fakeroot(1), which remembers who should own what. */
function asRoot(words: readonly string[], purpose: string): void {
  const [program, ...rest] = process.getuid?.() === 0 ? words : ['fakeroot', '--', ...words];
  run(program!, rest, purpose);
}
