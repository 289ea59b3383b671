// Everything a fresh clone needs before anything can run: dependencies and a build. Plain
// JavaScript without dependencies, for the oldest Node that is supported (20.19).

import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv, env, execPath, exit, stderr } from 'node:process';
import { fileURLToPath } from 'node:url';

/** The repository's folder. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Ends the process with status 1 and a sentence. */
export function fail(sentence) {
  stderr.write(`${sentence}\n`);
  exit(1);
}

/** Runs a program in the repository, its output going to `output`; false when it fails. */
function succeeds(program, args, output = 2) {
  const { status } = spawnSync(program, args, { cwd: ROOT, stdio: ['ignore', output, output] });
  return status === 0;
}

/**
 * Installs exactly what package-lock.json says. npm ci refuses a lock file in which an optional
 * package of another platform has no entry, which is what npm writes when the registry it was
 * written from lacks that package; npm install takes the same versions and leaves it out.
 */
function install() {
  // No package needs its install script; koffi's would compile where it has nothing prebuilt.
  const options = ['--no-audit', '--no-fund', '--ignore-scripts'];
  stderr.write('Installing the dependencies ...\n');
  return (
    succeeds('npm', ['ci', ...options], 'ignore') ||
    succeeds('npm', ['install', '--no-save', ...options])
  );
}

/** True when package-lock.json has changed since npm installed from it. */
function installIsStale() {
  const installed = join(ROOT, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return true;
  return statSync(join(ROOT, 'package-lock.json')).mtimeMs > statSync(installed).mtimeMs;
}

/**
 * The Node to run with: VMM_NODE of the environment, else the current one that npm installed here,
 * else the one that runs this. All at least 20.19 will do; newer ones run WebAssembly faster.
 */
export function chooseNode() {
  if (env.VMM_NODE) return env.VMM_NODE;
  const installed = join(ROOT, 'node_modules', '.bin', 'node');
  // The package may be there without working, as on a C library other than glibc.
  return existsSync(installed) && spawnSync(installed, ['-v']).status === 0 ? installed : execPath;
}

/**
 * Installs and builds what is missing or out of date: the programs, or with `all` also the types of
 * tests and scripts. Ends the process when it cannot.
 */
export function setup(all) {
  if (installIsStale() && !install()) fail('Cannot install the dependencies: npm failed.');
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  const project = all ? ROOT : join(ROOT, 'packages', 'vmd');
  if (!succeeds(execPath, [tsc, '-b', project])) fail('Cannot build: tsc failed.');
  // The processor, which does not change with the engine that runs it.
  const image = join(ROOT, 'packages', 'vmm-node', 'dist', 'build-image.js');
  if (!succeeds(execPath, [image])) fail('Cannot build the processor.');
}

if (argv[1] === fileURLToPath(import.meta.url)) setup(true);
