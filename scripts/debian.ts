// Packages of Debian's, fetched by apt(8) and unpacked into the cache: what guests are made of is
// neither installed nor in this repository.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { VmmError } from '../packages/vmm/src/base/errors.ts';
import { root } from './root.ts';

/** Told of what takes long. */
export type Say = (text: string) => void;

/** Where packages come from: options of apt(8). */
export interface Archive {
  readonly options: readonly string[];
  /** Whether the lists of packages are this program's own, which it can update without root. */
  readonly own: boolean;
}

/** The packages of this system. */
export const SYSTEM: Archive = { options: [], own: false };

/**
 * The packages of another architecture of Debian's, as `i386`: from where this system's come, with
 * lists of packages of their own, so that the system need not know the architecture.
 */
export function archiveOf(architecture: string): Archive {
  const folder = join(root(), '.cache', `apt-${architecture}`);
  mkdirSync(join(folder, 'lists', 'partial'), { recursive: true });
  mkdirSync(join(folder, 'cache', 'archives', 'partial'), { recursive: true });
  const status = join(folder, 'status');
  if (!existsSync(status)) writeFileSync(status, '');
  const settings = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State::lists=${join(folder, 'lists')}`,
    `Dir::State::status=${status}`,
    `Dir::Cache=${join(folder, 'cache')}`,
    'APT::Sandbox::User=root',
  ];
  return { options: settings.flatMap((setting) => ['-o', setting]), own: true };
}

/** The package that the metapackage stands for today, as `linux-image-6.1.0-56-cloud-amd64`. */
export function packageBehind(
  metapackage: string,
  pattern: RegExp,
  say: Say,
  archive: Archive = SYSTEM,
): string {
  const find = (): string | undefined => {
    const words = [...archive.options, 'depends', metapackage];
    try {
      return pattern.exec(run('apt-cache', words, `ask apt for ${metapackage}`))?.[1];
    } catch (error) {
      // Lists that were never fetched have no such package.
      if (archive.own && error instanceof VmmError) return undefined;
      throw error;
    }
  };
  let name = find();
  if (name === undefined) {
    updatePackageLists(metapackage, say, archive);
    name = find();
  }
  if (name !== undefined) return name;
  throw new VmmError(
    'ENOENT',
    `apt knows no package ${metapackage}; the guest needs Debian's package archive.`,
  );
}

function updatePackageLists(wanted: string, say: Say, archive: Archive): void {
  if (!archive.own && process.getuid?.() !== 0) {
    throw new VmmError(
      'EPERM',
      `apt knows no package ${wanted}; run "apt-get update" as root and try again.`,
    );
  }
  say('Updating the package lists');
  try {
    run('apt-get', [...archive.options, 'update', '-q'], 'update the package lists');
  } catch (error) {
    // A mirror that is being renewed lacks one list of several: what is wanted may be in the
    // others.
    if (!archive.own || !(error instanceof VmmError)) throw error;
    say(error.message);
  }
}

/**
 * Downloads a package and unpacks `members` of it to `folder`, which appears only when complete.
 */
export function fetchPackage(
  name: string,
  members: readonly string[],
  folder: string,
  say: Say,
  archive: Archive = SYSTEM,
): void {
  if (existsSync(folder)) return;
  say(`Fetching Debian's ${name}`);
  const work = mkdtempSync(`${folder}-`);
  // As root, apt would drop to its own user, who may not write here, and warn about it.
  const options = ['-q', '-o', 'APT::Sandbox::User=root', ...archive.options];
  run('apt-get', ['download', ...options, name], `download the package ${name}`, work);
  const file = readdirSync(work).find((entry) => entry.endsWith('.deb'));
  if (file === undefined) throw new VmmError('EIO', `apt downloaded no file for ${name}.`);
  const unpack = 'dpkg-deb --fsys-tarfile "$0" | tar -x --wildcards "$@"';
  run('sh', ['-c', unpack, file, ...members], `unpack the package ${name}`, work);
  rmSync(join(work, file));
  // Somebody else may have been faster; his copy is the same.
  if (existsSync(folder)) rmSync(work, { recursive: true });
  else renameSync(work, folder);
}

/** Installs a package on this system, which only root may do: EPERM otherwise. */
export function installPackage(name: string, say: Say): void {
  if (process.getuid?.() !== 0) {
    throw new VmmError('EPERM', `Debian's ${name} is not installed; install it as root.`);
  }
  say(`Installing Debian's ${name}`);
  const options = ['-y', '-q', '--no-install-recommends', '-o', 'DPkg::Lock::Timeout=300'];
  run('apt-get', ['install', ...options, name], `install the package ${name}`);
}

/** What a program prints; VmmError with what it complains about when it fails. */
export function run(
  program: string,
  args: readonly string[],
  purpose: string,
  cwd?: string,
): string {
  try {
    return execFileSync(program, args, {
      cwd,
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (cause) {
    const { code, stderr } = cause as { code?: string; stderr?: string };
    const lines = (stderr ?? '').split('\n').filter((line) => /^E: |error/.test(line));
    const reason =
      code === 'ENOENT' ? `there is no program ${program}` : (lines[0] ?? String(cause));
    throw new VmmError('EIO', `Cannot ${purpose}: ${reason}.`, { cause });
  }
}

/** Writes `path` unless it already has this content, through a rename: guests may be running. */
export function updateFile(path: string, content: Uint8Array): string {
  if (existsSync(path) && Buffer.compare(readFileSync(path), content) === 0) return path;
  const work = `${path}.${process.pid}`;
  writeFileSync(work, content);
  renameSync(work, path);
  return path;
}

/** The first file under `folder` whose path `matches`; ENOENT when there is none. */
export function findFile(folder: string, matches: (path: string) => boolean): string {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const found = paths.find(matches);
  if (found === undefined) {
    throw new VmmError('ENOENT', `The guest in ${folder} is incomplete: delete it and try again.`);
  }
  return join(folder, found);
}
