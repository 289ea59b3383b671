// Kernels of Debian's packages that are no Linux, and its installer, fetched when a test wants
// them.

import { mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fetchPackage, findFile, type Say } from '../debian.ts';
import { root } from '../root.ts';

function fetched(name: string, members: readonly string[], say: Say): string {
  const folder = join(root(), '.cache', 'kernels', name);
  mkdirSync(join(root(), '.cache', 'kernels'), { recursive: true });
  fetchPackage(name, members, folder, say);
  return folder;
}

/** GNU Mach for x86-64: a Multiboot kernel, compressed by gzip. */
export function prepareGnuMach(say: Say = () => {}): string {
  const folder = fetched('gnumach-image-1.8-486', ['*/gnumach-*.gz'], say);
  return findFile(folder, (path) => basename(path).startsWith('gnumach-'));
}

/** Memtest86+, for 32-bit and 64-bit processors: each has the header of a bzImage. */
export function prepareMemtest(bits: 32 | 64, say: Say = () => {}): string {
  const folder = fetched('memtest86+', ['*/memtest86+*.bin'], say);
  return findFile(folder, (path) => path.endsWith(bits === 32 ? '+ia32.bin' : '+x64.bin'));
}

/** GRUB Invaders, a game that is a Multiboot kernel. */
export function prepareInvaders(say: Say = () => {}): string {
  const folder = fetched('grub-invaders', ['*/invaders.exec'], say);
  return findFile(folder, (path) => basename(path) === 'invaders.exec');
}

/** The installer of Debian 12 in text mode, as it comes by the network: kernel and initrd. */
export function prepareInstaller(say: Say = () => {}): { kernel: string; initrd: string } {
  const name = 'debian-installer-12-netboot-amd64';
  const text = '*/text/debian-installer/amd64';
  const folder = fetched(name, [`${text}/linux`, `${text}/initrd.gz`], say);
  return {
    kernel: findFile(folder, (path) => basename(path) === 'linux'),
    initrd: findFile(folder, (path) => basename(path) === 'initrd.gz'),
  };
}
