// The benchmark's guest: the program in bench/guest, built statically, and the programs that it
// starts, in a folder for the host and in an initramfs for the machines.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { VmmError } from '../../packages/vmm/src/base/errors.ts';
import { type CpioEntry, cpioArchive } from '../../packages/vmm/src/machine/boot/cpio.ts';
import { fetchPackage, findFile, run, type Say, updateFile } from '../debian.ts';
import { type Guest, prepareGuest } from '../guest.ts';
import { root } from '../root.ts';

/** A guest whose init runs the benchmark. */
export interface BenchGuest extends Guest {
  /** The folder of the program `bench` and the others, for running them on the host. */
  readonly tools: string;
  /** The names of the program's items, in its order. */
  readonly items: readonly string[];
}

const FLAGS = ['-O2', '-std=gnu11', '-static', '-Wall', '-Wextra', '-Werror'];
/** Built without a library, by itself. */
const TINY = 'nothing.c';
const LIBC_MEMBERS = ['*/libc.so.6', '*/libm.so.6', '*/ld-linux-x86-64.so.2'];

/** The guest, fetched and built when it is not in the cache yet. VmmError when it cannot be had. */
export function prepareBenchGuest(say: Say): BenchGuest {
  if (process.arch !== 'x64' || process.platform !== 'linux') {
    throw new VmmError('ENODEV', 'The benchmark builds its guest on Linux on x86-64 only.');
  }
  const guest = prepareGuest(say);
  const cache = join(root(), '.cache', 'bench');
  mkdirSync(cache, { recursive: true });
  const mawk = join(cache, 'mawk');
  const libc = join(cache, 'libc');
  fetchPackage('mawk', ['*/mawk'], mawk, say);
  fetchPackage('libc6', LIBC_MEMBERS, libc, say);
  const program = buildProgram(cache, say);
  const find = (folder: string, name: string): string =>
    findFile(folder, (path) => basename(path) === name);
  // The dynamic loader has a name of its own, as awk is started by it.
  const others: Readonly<Record<string, string>> = {
    busybox: guest.busybox,
    mawk: find(mawk, 'mawk'),
    'libc.so.6': find(libc, 'libc.so.6'),
    'libm.so.6': find(libc, 'libm.so.6'),
    'ld.so': find(join(libc, 'lib', 'x86_64-linux-gnu'), 'ld-linux-x86-64.so.2'),
  };
  for (const [name, path] of Object.entries(others)) link(path, join(program, name));
  const names = ['bench', 'nothing', ...Object.keys(others)];
  return {
    ...guest,
    initrd: updateFile(join(program, 'initramfs.cpio'), makeInitramfs(program, names)),
    tools: program,
    items: execFileSync(join(program, 'bench'), ['-l'], { encoding: 'utf8' }).trim().split('\n'),
  };
}

function link(target: string, path: string): void {
  if (!existsSync(path)) symlinkSync(target, path);
}

/**
 * The folder of the two programs, which is named after their sources and compiler: benchmarks may
 * be running while the sources change.
 */
function buildProgram(cache: string, say: Say): string {
  const folder = join(root(), 'bench', 'guest');
  const names = readdirSync(folder);
  const compiler = run('gcc', ['--version'], "build the benchmark's guest program");
  const hash = createHash('sha256').update(`${compiler}${FLAGS}`);
  for (const name of names) hash.update(name).update(readFileSync(join(folder, name)));
  const result = join(cache, `program-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(result)) return result;
  say("Building the benchmark's guest program");
  const work = mkdtempSync(`${result}-`);
  const sources = names.filter((name) => name.endsWith('.c') && name !== TINY);
  const build = (...args: string[]): string =>
    run('gcc', [...FLAGS, ...args], "build the benchmark's guest program", folder);
  build('-o', join(work, 'bench'), ...sources, '-lm');
  build('-nostdlib', '-o', join(work, 'nothing'), TINY);
  if (existsSync(result)) rmSync(work, { recursive: true });
  else renameSync(work, result);
  return result;
}

function makeInitramfs(tools: string, names: readonly string[]): Uint8Array {
  const init = readFileSync(join(root(), 'bench', 'guest', 'init.sh'));
  const folder = (path: string): CpioEntry => ({ kind: 'directory', path, mode: 0o755 });
  const program = (path: string, data: Uint8Array): CpioEntry => {
    return { kind: 'file', path, mode: 0o755, data };
  };
  return cpioArchive([
    ...['bin', 'dev', 'proc'].map(folder),
    // The kernel opens the console for /init before anything is mounted.
    { kind: 'device', path: 'dev/console', mode: 0o600, device: 'char', major: 5, minor: 1 },
    { kind: 'symlink', path: 'bin/sh', target: 'busybox' },
    program('init', init),
    ...names.map((name) => program(`bin/${name}`, readFileSync(join(tools, name)))),
  ]);
}
