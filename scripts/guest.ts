// The guest that boots in tests, benchmarks and `npm run boot`: Debian's cloud kernel and its
// static busybox, fetched as packages by apt(8) into .cache/guest, and an initramfs of them written
// by the project's own archive writer. Nothing of Debian's is in this repository, and nothing is
// installed.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type CpioEntry, cpioArchive } from '../packages/vmm/src/machine/boot/cpio.ts';
import {
  type Archive,
  archiveOf,
  fetchPackage,
  findFile,
  packageBehind,
  SYSTEM,
  updateFile,
} from './debian.ts';
import { modulesInOrder } from './kernel-modules.ts';
import { root } from './root.ts';

/** The files of a guest; all of them exist. */
export interface Guest {
  /** Debian's kernel, a bzImage. */
  readonly kernel: string;
  /** The kernel's release, as `uname -r` says it. */
  readonly release: string;
  readonly initrd: string;
  /** A disk image of {@link DISK_BYTES} whose checksum the initramfs knows. */
  readonly disk: string;
  /** Debian's static busybox. */
  readonly busybox: string;
}

/** The command line the guest is made for: its console is the first serial port. */
export const COMMAND_LINE = 'console=ttyS0';
/** The first line of the guest's /init. */
export const FIRST_LINE = 'init: hello from the initramfs';

const DISK_BYTES = 4 * 1024 * 1024;
const KNOWN_FILE_BYTES = 1024 * 1024;

/** Which of Debian's kernels a guest has, with a busybox of the same architecture. */
export interface Flavour {
  readonly metapackage: string;
  /** The folder in the cache. */
  readonly cache: string;
  readonly archive: () => Archive;
}

/** The kernel for virtual machines of clouds, x86-64. */
const CLOUD: Flavour = {
  metapackage: 'linux-image-cloud-amd64',
  cache: 'guest',
  archive: () => SYSTEM,
};
/** The 32-bit kernel with page tables of three levels. */
export const I386_PAE: Flavour = {
  metapackage: 'linux-image-686-pae',
  cache: 'guest-686-pae',
  archive: () => archiveOf('i386'),
};
/** The one with two levels. */
export const I386: Flavour = {
  metapackage: 'linux-image-686',
  cache: 'guest-686',
  archive: () => archiveOf('i386'),
};
const BUSYBOX_PACKAGE = 'busybox-static';

/** What is unpacked of the packages: a kernel without all of its 1100 modules. */
const KERNEL_MEMBERS = [
  '*boot/vmlinuz-*',
  '*/modules.builtin',
  '*/kernel/drivers/virtio/*',
  '*/kernel/drivers/block/*',
  '*/kernel/drivers/char/hw_random/*',
  '*/kernel/drivers/net/*.ko*',
  '*/kernel/net/core/*',
  '*/kernel/drivers/acpi/button.ko*',
  '*/kernel/drivers/input/evdev.ko*',
];
const BUSYBOX_MEMBERS = ['*bin/busybox'];

/** The drivers of the machine's devices; evdev shows the power button's presses to acpid(8). */
const MODULES = ['virtio_pci', 'virtio_blk', 'virtio_rng', 'virtio_net', 'button', 'evdev'];

/**
 * The guest, fetched and unpacked when it is not in the cache yet; `say` is told of what takes
 * long. Throws VmmError with a sentence when a package cannot be had.
 */
export function prepareGuest(
  say: (text: string) => void = () => {},
  flavour: Flavour = CLOUD,
): Guest {
  const cache = join(root(), '.cache', flavour.cache);
  const kernelFolder = join(cache, 'kernel');
  const busyboxFolder = join(cache, 'busybox');
  mkdirSync(cache, { recursive: true });
  const kernelPackage = (): string =>
    packageBehind(flavour.metapackage, /Depends: (linux-image-\S+)/, say, flavour.archive());
  const fetch = (name: string, members: readonly string[], folder: string): void =>
    fetchPackage(name, members, folder, say, flavour.archive());
  if (!isComplete(kernelFolder)) {
    rmSync(kernelFolder, { recursive: true, force: true });
    fetch(kernelPackage(), KERNEL_MEMBERS, kernelFolder);
  }
  fetch(BUSYBOX_PACKAGE, BUSYBOX_MEMBERS, busyboxFolder);
  const kernel = findFile(kernelFolder, (path) => basename(path).startsWith('vmlinuz-'));
  const busybox = findFile(busyboxFolder, (path) => basename(path) === 'busybox');
  const disk = pattern(DISK_BYTES, 7);
  const initrd = makeInitramfs(readFileSync(busybox), kernelFolder, md5(disk));
  return {
    kernel,
    release: basename(kernel).slice('vmlinuz-'.length),
    initrd: updateFile(join(cache, 'initramfs.cpio'), initrd),
    disk: updateFile(join(cache, 'disk.img'), disk),
    busybox,
  };
}

/** Whether a folder was unpacked by a version of this program that wanted the same members. */
function isComplete(kernelFolder: string): boolean {
  if (!existsSync(kernelFolder)) return false;
  const paths = readdirSync(kernelFolder, { recursive: true, encoding: 'utf8' });
  const wanted = KERNEL_MEMBERS.map((pattern) => basename(pattern.replaceAll('*', '')));
  return wanted.every((name) => paths.some((path) => path.includes(name)));
}

function makeInitramfs(busybox: Uint8Array, kernelFolder: string, diskMd5: string): Uint8Array {
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const source = (name: string): Uint8Array => readFileSync(join(root(), 'scripts/guest', name));
  const directory = (path: string): CpioEntry => ({ kind: 'directory', path, mode: 0o755 });
  const file = (path: string, data: Uint8Array, mode = 0o644): CpioEntry => {
    return { kind: 'file', path, mode, data };
  };
  const device = (path: string, major: number, minor: number): CpioEntry => {
    return { kind: 'device', path, mode: 0o600, device: 'char', major, minor };
  };
  const known = pattern(KNOWN_FILE_BYTES, 3);
  const modules = modulesInOrder(kernelFolder, MODULES);
  const folders =
    'bin dev etc etc/acpi etc/acpi/PWRF etc/selfcheck lib lib/modules proc root sbin sys usr ' +
    'usr/bin usr/sbin';
  return cpioArchive([
    ...folders.split(' ').map(directory),
    // The kernel opens the console for /init before anything is mounted.
    device('dev/console', 5, 1),
    device('dev/null', 1, 3),
    device('dev/ttyS0', 4, 64),
    file('bin/busybox', busybox, 0o755),
    { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
    file('init', source('init.sh'), 0o755),
    file('etc/inittab', source('inittab')),
    file('etc/session', source('session.sh'), 0o755),
    // The name by which busybox's acpid knows the power button, and its being pressed.
    file('etc/acpi/PWRF/00000080', source('power-button.sh'), 0o755),
    file('etc/udhcpc.sh', source('udhcpc.sh'), 0o755),
    file('etc/profile', source('profile.sh')),
    file('etc/motd', source('motd')),
    file('etc/passwd', text('root::0:0:root:/root:/bin/sh\n')),
    file('etc/group', text('root:x:0:\n')),
    file('etc/modules', text(modules.map(({ name }) => `${name}.ko\n`).join(''))),
    ...modules.map(({ name, bytes }) => file(`lib/modules/${name}.ko`, bytes)),
    file('etc/selfcheck/file', known),
    file('etc/selfcheck/file.md5', text(`${md5(known)}  /etc/selfcheck/file\n`)),
    file('etc/selfcheck/disk.md5', text(`${diskMd5}  /dev/vda\n`)),
  ]);
}

/** Bytes that look random and are always the same: a linear congruential sequence from `seed`. */
export function pattern(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let state = seed;
  for (let index = 0; index < words.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0; // Numerical Recipes, 7.1
    words[index] = state;
  }
  return new Uint8Array(words.buffer);
}

/** The MD5 sum of `bytes`, as md5sum(1) prints it. */
export function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex');
}
