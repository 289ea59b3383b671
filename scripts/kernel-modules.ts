// The order in which kernel modules must be inserted. Debian's package brings no modules.dep (it is
// made by depmod(8) when the package is installed), so the dependencies are read from the modules
// themselves: the "depends=" string of the ELF section .modinfo (modinfo(8)).

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { elfSections, parseElf } from '../packages/vmm/src/machine/boot/elf.ts';

/** A kernel module: its name as lsmod(8) shows it, and its uncompressed file. */
export interface KernelModule {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * The modules `wanted` and all they depend on, each after its dependencies, from the module tree
 * under `folder`. Modules built into the kernel are left out. ENOENT when one is nowhere.
 */
export function modulesInOrder(folder: string, wanted: readonly string[]): KernelModule[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = new Map<string, string>();
  const builtin = new Set<string>();
  for (const path of paths) {
    if (/\.ko(\.xz)?$/.test(path)) files.set(moduleName(path), join(folder, path));
    if (basename(path) === 'modules.builtin') {
      const lines = readFileSync(join(folder, path), 'utf8').trim().split('\n');
      for (const line of lines) builtin.add(moduleName(line));
    }
  }
  const ordered: KernelModule[] = [];
  const seen = new Set<string>();
  const add = (name: string): void => {
    if (seen.has(name) || builtin.has(name)) return;
    seen.add(name);
    const path = files.get(name);
    if (path === undefined) {
      throw new VmmError('ENOENT', `The kernel package has no module ${name}.`);
    }
    const bytes = readModule(path);
    for (const dependency of dependenciesOf(name, bytes)) add(dependency);
    ordered.push({ name, bytes });
  };
  for (const name of wanted) add(name);
  return ordered;
}

/** Debian compresses modules from version 13 on. */
function readModule(path: string): Uint8Array {
  if (!path.endsWith('.xz')) return readFileSync(path);
  return execFileSync('xz', ['-dc', path], { maxBuffer: 1 << 30 });
}

/** A file's module name: the kernel writes dashes as underscores. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko(\.xz)?$/, '')
    .replaceAll('-', '_');
}

function dependenciesOf(name: string, bytes: Uint8Array): string[] {
  const sections = elfSections(parseElf({ name, bytes }));
  const info = sections.find((section) => section.name === '.modinfo');
  const strings = new TextDecoder().decode(info?.data ?? new Uint8Array(0)).split('\0');
  const depends = strings.find((text) => text.startsWith('depends='));
  const list = depends?.slice('depends='.length) ?? '';
  return list === '' ? [] : list.split(',').map(moduleName);
}
