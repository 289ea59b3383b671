// The guest with programs for networks: Debian's iperf3, curl and dropbear, and the libraries that
// they need, found by the names in the files themselves. They are a second archive behind the
// guest's own, in one file: the kernel unpacks one after the other.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { type CpioEntry, cpioArchive } from '../packages/vmm/src/machine/boot/cpio.ts';
import { fetchPackage, type Say, updateFile } from './debian.ts';
import { type Guest, md5, prepareGuest } from './guest.ts';
import { root } from './root.ts';

/** Packages, and the program of each. */
const PROGRAMS: Readonly<Record<string, string>> = {
  iperf3: 'iperf3',
  curl: 'curl',
  'dropbear-bin': 'dropbear',
};
/** All: a pattern that a package has nothing for is an error of tar's. */
const MEMBERS = ['*'];
const LOADER = 'ld-linux-x86-64.so.2';
/** Where programs and libraries are, and not what accompanies them. */
const OBJECTS = /(?:^|\/)(?:bin|sbin|lib|lib64)\//;
/** A library is at most so many packages away from its program. */
const DEPTH_MAX = 8;

/**
 * The guest, fetched when it is not in the cache yet. Throws VmmError with a sentence when a
 * package cannot be had.
 */
export function prepareToolsGuest(say: Say = () => {}): Guest {
  const guest = prepareGuest(say);
  const cache = join(root(), '.cache', 'tools');
  mkdirSync(cache, { recursive: true });
  // Asking apt(8) for what depends on what takes longer than all the rest.
  const programs = join(cache, `programs-${md5(Buffer.from(JSON.stringify(PROGRAMS)))}.cpio`);
  if (!existsSync(programs)) updateFile(programs, programArchive(cache, say));
  const archives = [readFileSync(guest.initrd), readFileSync(programs)];
  return { ...guest, initrd: updateFile(join(cache, 'tools.cpio'), Buffer.concat(archives)) };
}

/** The programs and their libraries. */
function programArchive(cache: string, say: Say): Uint8Array {
  const folders = new PackageFolders(cache, say);
  const libraries = new Map<string, string>();
  const folder = (path: string): CpioEntry => ({ kind: 'directory', path, mode: 0o755 });
  const entries = ['etc', 'etc/dropbear', 'lib', 'lib64', 'usr', 'usr/bin'].map(folder);
  const file = (path: string, from: string): void => {
    entries.push({ kind: 'file', path, mode: 0o755, data: readFileSync(from) });
  };
  for (const [name, program] of Object.entries(PROGRAMS)) {
    const path = folders.find([name], program);
    file(`usr/bin/${program}`, path);
    addLibraries(path, name, folders, libraries);
  }
  for (const [name, path] of libraries) file(`lib/${name}`, path);
  entries.push({ kind: 'symlink', path: `lib64/${LOADER}`, target: `/lib/${LOADER}` });
  return cpioArchive(entries);
}

/** Adds what the file needs, and what that needs, from the packages that its own depends on. */
function addLibraries(
  path: string,
  packageName: string,
  folders: PackageFolders,
  libraries: Map<string, string>,
): void {
  for (const name of neededBy(path)) {
    if (libraries.has(name)) continue;
    const found = folders.findNear(packageName, name);
    libraries.set(name, found);
    addLibraries(found, packageName, folders, libraries);
  }
}

/** The libraries that a program or library names. */
function neededBy(path: string): string[] {
  const text = execFileSync('readelf', ['-d', '-W', path], { encoding: 'utf8' });
  return [...text.matchAll(/\(NEEDED\)[^[]*\[([^\]]+)\]/g)].map(([, name]) => name!);
}

/** Packages in the cache. */
class PackageFolders {
  private readonly cache: string;
  private readonly say: Say;
  private readonly dependencies = new Map<string, readonly string[]>();

  constructor(cache: string, say: Say) {
    this.cache = cache;
    this.say = say;
  }

  /** A file of one of the packages; ENOENT when none has it. */
  find(packages: readonly string[], name: string): string {
    const path = this.search(packages, name);
    if (path !== undefined) return path;
    throw new VmmError('ENOENT', `There is no ${name} in Debian's ${packages.join(', ')}.`);
  }

  /** A library of a package, or of the nearest that it depends on. */
  findNear(packageName: string, name: string): string {
    const seen = new Set([packageName]);
    let level = [packageName];
    for (let depth = 0; depth < DEPTH_MAX && level.length > 0; depth++) {
      const path = this.search(level, name);
      if (path !== undefined) return path;
      this.ask(level);
      const next = level.flatMap((one) => this.dependencies.get(one) ?? []);
      level = [...new Set(next)].filter((one) => !seen.has(one));
      for (const one of level) seen.add(one);
    }
    return this.find([...seen], name);
  }

  private search(packages: readonly string[], name: string): string | undefined {
    for (const one of packages) {
      const folder = join(this.cache, one);
      if (!existsSync(folder)) fetchPackage(one, MEMBERS, folder, this.say);
      const found = readdirSync(folder, { recursive: true, withFileTypes: true }).find(
        (it) => it.name === name && !it.isDirectory() && OBJECTS.test(`${it.parentPath}/`),
      );
      if (found !== undefined) return realpathSync(join(found.parentPath, found.name));
    }
    return undefined;
  }

  /** Finds out which libraries packages depend on, by one question for all of them. */
  private ask(names: readonly string[]): void {
    const unknown = names.filter((name) => !this.dependencies.has(name));
    if (unknown.length === 0) return;
    const words = ['depends', '--important', ...unknown];
    const text = execFileSync('apt-cache', words, { encoding: 'utf8' });
    // A package's name, and below it, indented, what it depends on.
    for (const [, name, lines] of text.matchAll(/^(\S+)\n((?: .*\n)*)/gm)) {
      const found = lines!.matchAll(/^ {2}(?:Pre)?Depends: ((?:lib|zlib)\S+)/gm);
      this.dependencies.set(
        name!,
        [...found].map(([, one]) => one!),
      );
    }
  }
}
