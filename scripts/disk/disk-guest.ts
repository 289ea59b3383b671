// The guest of the disk tests and benchmarks: the one of scripts/guest.ts, and after its initramfs
// another, with Debian's fio, the libraries it needs, a program that writes until it is killed, and
// a session that starts either.
//
// Debian's fio is linked with the clients of four storage clusters and of RDMA, fifty megabytes of
// libraries that no job of ours calls. In their places the guest has an empty one.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cpioArchive } from '../../packages/vmm/src/machine/boot/cpio.ts';
import { Archive } from '../archive.ts';
import { fetchPackage, findFile, run, type Say, updateFile } from '../debian.ts';
import { type Guest, md5, prepareGuest } from '../guest.ts';
import { root } from '../root.ts';

const TRIPLE = 'x86_64-linux-gnu';

/** What is unpacked of the packages: patterns of tar(1). */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  fio: ['*usr/bin/fio'],
  libc6: ['*lib64/*', ...['ld-linux-x86-64.so.2', 'libc.so.6', 'libm.so.6'].map(inLibraries)],
  libnuma1: ['*/libnuma.so*'],
  zlib1g: ['*/libz.so*'],
  libaio1: ['*/libaio.so*'],
};

const WRITER_FLAGS = ['-O2', '-std=gnu11', '-static', '-Wall', '-Wextra', '-Werror'];

function inLibraries(name: string): string {
  return `*lib/${TRIPLE}/${name}`;
}

/**
 * The guest, fetched and built when it is not in the cache yet; its initrd is two files, with a
 * comma between. VmmError says why it cannot be had.
 */
export function prepareDiskGuest(say: Say): Guest {
  const guest = prepareGuest(say);
  const cache = join(root(), '.cache', 'disk');
  mkdirSync(cache, { recursive: true });
  const archive = new Archive();
  const folders = Object.entries(PACKAGES).map(([name, members]) => {
    // What an older version of this file unpacked may be less.
    const folder = join(cache, `${name}-${hash(members.join(' '))}`);
    fetchPackage(name, members, folder, say);
    archive.addTree(folder);
    return folder;
  });
  const fio = findFile(folders[0]!, (path) => basename(path) === 'fio');
  addStubs(archive, cache, fio, folders);
  const sources = join(root(), 'scripts/disk/guest');
  for (const name of readdirSync(sources)) {
    const path = join(sources, name);
    if (name.endsWith('.fio')) archive.addFile(`etc/fio/${name}`, readFileSync(path));
  }
  archive.addFile('bin/crash-writer', buildWriter(cache, sources), 0o755);
  archive.addFile('etc/session', readFileSync(join(sources, 'session.sh')), 0o755);
  const initrd = updateFile(join(cache, 'disk.cpio'), cpioArchive(archive.entries()));
  return { ...guest, initrd: `${guest.initrd},${initrd}` };
}

function hash(text: string): string {
  return md5(new TextEncoder().encode(text)).slice(0, 8);
}

function buildWriter(cache: string, sources: string): Uint8Array {
  const source = join(sources, 'crash-writer.c');
  const path = join(cache, `crash-writer-${hash(readFileSync(source, 'utf8'))}`);
  if (!existsSync(path)) run('gcc', [...WRITER_FLAGS, '-o', path, source], 'build crash-writer');
  return readFileSync(path);
}

/**
 * Puts a library in the place of each that fio asks for and no package brings: it has all functions
 * that are still missing, and they do nothing.
 */
function addStubs(archive: Archive, cache: string, fio: string, folders: readonly string[]): void {
  const files = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path)),
  );
  const libraries = files.filter((path) => /\.so(\.|$)/.test(basename(path)));
  const present = new Set(libraries.map((path) => basename(path)));
  const needed = [
    ...execFileSync('readelf', ['-d', fio], { encoding: 'utf8' }).matchAll(/NEEDED.*\[(.*)\]/g),
  ].map(([, name]) => name!);
  const absent = needed.filter((name) => !present.has(name));
  const known = new Set(
    libraries.flatMap((path) => symbols('--defined-only', path).map(({ name }) => name)),
  );
  const missing = symbols('--undefined-only', fio).filter(({ name }) => !known.has(name));
  const path = buildStub(cache, missing);
  for (const name of absent) archive.addFile(`lib/${TRIPLE}/${name}`, readFileSync(path), 0o755);
}

/** A library with functions of these names and versions, for which there is a linker script. */
function buildStub(cache: string, functions: readonly Versioned[]): string {
  const source = functions.map(({ name }) => `void ${name}(void) {}\n`).join('');
  const versions = new Map<string, string>();
  for (const { name, version } of functions) {
    if (version !== '') versions.set(version, `${versions.get(version) ?? ''}${name}; `);
  }
  const script = [...versions].map(([version, names]) => `${version} { global: ${names}};\n`);
  const path = join(cache, `stub-${hash(source + script.join(''))}`);
  if (existsSync(path)) return path;
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const input = updateFile(`${path}.c`, encode(source));
  const map = updateFile(`${path}.map`, encode(script.join('')));
  const flags = ['-w', '-fno-builtin', '-shared', '-nostdlib', `-Wl,--version-script=${map}`];
  run('gcc', [...flags, '-o', path, input], 'build a library');
  return path;
}

/** A symbol, and the version of it that is asked for. */
interface Versioned {
  readonly name: string;
  readonly version: string;
}

/** The symbols of a file for dynamic linking. Weak ones that are undefined may stay so. */
function symbols(which: '--defined-only' | '--undefined-only', path: string): Versioned[] {
  const text = execFileSync('nm', ['-D', which, path], { encoding: 'utf8' });
  const matches = text.matchAll(/ [A-Zuvi] (\w+)(?:@+(\S*))?$/gm);
  return [...matches].map(([, name, version]) => ({ name: name!, version: version ?? '' }));
}
