// The guest of the soak test: the one of scripts/guest.ts, and after its initramfs another, with
// a C compiler and its libraries out of Debian's packages, the loads, and what these must know.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';
import { cpioArchive } from '../../packages/vmm/src/machine/boot/cpio.ts';
import { Archive } from '../archive.ts';
import { fetchPackage, updateFile } from '../debian.ts';
import { type Guest, md5, pattern, prepareGuest } from '../guest.ts';
import { root } from '../root.ts';
import { GCC } from './arguments.ts';

/** Half of the disk: the first is compared, the second written. */
export const DISK_HALF_BYTES = 8 * 1024 * 1024;

/** What is unpacked of a package: patterns of tar(1). */
type Packages = Readonly<Record<string, readonly string[]>>;

/** Debian's path of libraries and, below its lib/gcc, of the parts of a compiler. */
const TRIPLE = 'x86_64-linux-gnu';

const inLibraries = (names: string): string[] =>
  names.split(' ').map((name) => `*lib/${TRIPLE}/${name}`);

const PACKAGES: Packages = {
  tcc: ['*usr/bin/tcc', `*/${TRIPLE}/tcc/*`],
  mawk: ['*usr/bin/mawk'],
  libc6: [
    '*lib64/*',
    ...inLibraries('ld-linux-x86-64.so.2 libc.so.6 libm.so.6 libmvec.so.1'),
    ...inLibraries('libdl.so.2 libpthread.so.0'),
  ],
  'libc6-dev': [
    '*usr/include/*',
    ...inLibraries('*crt*.o libc.so libm.so libc_nonshared.a libpthread.a libdl.a'),
  ],
  'linux-libc-dev': ['*usr/include/linux/*', '*usr/include/asm-generic/*', `*${TRIPLE}/asm/*`],
};

/** The C compiler, its assembler and linker, and what these are linked to; N is its version. */
const GCC_PACKAGES: Packages = {
  'gcc-N': [`*/${TRIPLE}-gcc-*[0-9]`, '*/collect2', '*/liblto_plugin.so'],
  'cpp-N': ['*/cc1'],
  'libgcc-N-dev': ['*/crt*.o', '*/libgcc.a', '*/libgcc_eh.a', '*/include/std*.h', '*/float.h'],
  'libgcc-s1': ['*/libgcc_s.so.1'],
  [`binutils-${TRIPLE.replace('_', '-')}`]: ['*-as', '*-ld', '*-ld.bfd'],
  libbinutils: ['*/libbfd-*.so', '*/libopcodes-*.so', '*/libsframe*'],
  libctf0: ['*/libctf.so*'],
  libjansson4: ['*/libjansson.so*'],
  libgmp10: ['*/libgmp.so*'],
  libisl23: ['*/libisl.so*[0-9]'],
  libmpc3: ['*/libmpc.so*'],
  libmpfr6: ['*/libmpfr.so*'],
  libzstd1: ['*/libzstd.so*'],
  zlib1g: ['*/libz.so*'],
};

/** The guest, and the content that its disk begins with. */
export interface SoakGuest {
  /** Its initrd is two files, with a comma between: vmctl(8), -I. */
  readonly guest: Guest;
  readonly disk: Uint8Array;
}

/**
 * The guest for the loads named, fetched and unpacked when it is not in the cache yet; `say` is
 * told of what takes long. Throws VmmError with a sentence when a package cannot be had.
 */
export function prepareSoakGuest(loads: readonly string[], say: (text: string) => void): SoakGuest {
  const guest = prepareGuest(say);
  const cache = join(root(), '.cache', 'soak');
  mkdirSync(cache, { recursive: true });
  const withGcc = loads.includes(GCC);
  const packages = withGcc ? { ...PACKAGES, ...gccPackages() } : PACKAGES;
  const archive = new Archive();
  for (const [name, members] of Object.entries(packages)) {
    // What an older version of this file unpacked may be less.
    const version = md5(new TextEncoder().encode(members.join(' '))).slice(0, 8);
    const folder = join(cache, `${name}-${version}`);
    fetchPackage(name, members, folder, say);
    archive.addTree(folder);
  }
  const disk = pattern(2 * DISK_HALF_BYTES, 11);
  addLoads(archive, disk, withGcc);
  const path = join(cache, withGcc ? 'soak-gcc.cpio' : 'soak.cpio');
  const initrd = updateFile(path, cpioArchive(archive.entries()));
  return { guest: { ...guest, initrd: `${guest.initrd},${initrd}` }, disk };
}

/** The packages of the gcc that Debian's release has as its own. */
function gccPackages(): Packages {
  const text = execFileSync('apt-cache', ['depends', 'gcc'], { encoding: 'utf8' });
  const version = /Depends: gcc-(\d+)/.exec(text)?.[1];
  if (version === undefined) throw new VmmError('ENOENT', 'apt knows no package gcc.');
  const entries = Object.entries(GCC_PACKAGES);
  return Object.fromEntries(
    entries.map(([name, members]) => [name.replace('N', version), members]),
  );
}

function addLoads(archive: Archive, disk: Uint8Array, withGcc: boolean): void {
  const folder = join(root(), 'scripts/soak/guest');
  const source = (name: string): Uint8Array => readFileSync(join(folder, name));
  for (const name of ['integer.c', 'float.c', 'system.c', 'loads.sh']) {
    archive.addFile(`soak/${name}`, source(name));
  }
  // In the place of the user's session, which scripts/guest/inittab starts.
  archive.addFile('etc/session', source('session.sh'), 0o755);
  if (withGcc) linkGcc(archive);
  // What the loads "find" and "sums" compare the guest with.
  const files = archive.files().filter(([path]) => /^(usr|soak)\//.test(path));
  const list = files.map(([path]) => `/${path}\n`);
  const sums = files.map(([path, data]) => `${sha256(data)}  /${path}\n`);
  const bytes = files.reduce((sum, [, { length }]) => sum + length, 0);
  const firstHalf = disk.subarray(0, DISK_HALF_BYTES);
  const constants = `DISK_HALF=${DISK_HALF_BYTES}\nDISK_MD5=${md5(firstHalf)}\n`;
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  archive.addFile('etc/soak/files', text(list.sort().join('')));
  archive.addFile('etc/soak/bytes', text(`${bytes}\n`));
  archive.addFile('etc/soak/sha256', text(sums.join('')));
  archive.addFile('etc/soak/constants', text(constants));
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The names by which gcc and its parts find each other; other packages would bring them. */
function linkGcc(archive: Archive): void {
  for (const [path] of archive.files()) {
    const name = new RegExp(`^usr/bin/${TRIPLE}-(gcc|as)(-\\d+)?$`).exec(path)?.[1];
    if (name !== undefined) archive.addLink(`usr/bin/${name}`, basename(path));
    const libgcc = /^(usr\/lib\/gcc\/.*)\/libgcc\.a$/.exec(path)?.[1];
    if (libgcc === undefined) continue;
    archive.addLink(`${libgcc}/libgcc_s.so.1`, `/lib/${TRIPLE}/libgcc_s.so.1`);
    archive.addFile(
      `${libgcc}/libgcc_s.so`,
      new TextEncoder().encode('GROUP ( libgcc_s.so.1 -lgcc )\n'),
    );
  }
  archive.addLink('usr/bin/ld', `${TRIPLE}-ld.bfd`);
}
