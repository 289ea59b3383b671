// Runs vectors on the host's processor: compiles runner.c with the host's C compiler into the cache
// folder (once per source and compiler line), and hands it a vector file per batch.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SiliconResult, SiliconVector } from './format.ts';
import { type Capabilities, decodeResults, encodeVectors } from './format.ts';

const source: string = fileURLToPath(new URL('./runner.c', import.meta.url));
const cache: string = fileURLToPath(new URL('../../../../.cache/silicon/', import.meta.url));

// No stack protector: the canary is behind FS, which is the guest's while a handler runs. Static and
// without CET: the fixed guest addresses stay free, and no shadow stack watches the guest's returns.
const COMPILER_ARGUMENTS = [
  '-std=gnu11',
  '-O3',
  '-march=x86-64-v2',
  '-mfsgsbase',
  '-static',
  '-fno-stack-protector',
  '-fcf-protection=none',
  '-Wall',
  '-Wextra',
  '-Werror',
];
/** The runner gives up by itself after 120 s; this is for a host that does not even signal. */
const RUN_MS_MAX = 150_000;

/** What ran the vectors, and what it answered. */
export interface SiliconRun {
  readonly results: SiliconResult[];
  readonly capabilities: Capabilities;
}

/** Why this host cannot be the oracle, as a sentence, or undefined when it can. */
export function siliconUnavailable(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return `The host is ${process.platform} on ${process.arch}, not Linux on x86-64.`;
  }
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
  } catch {
    return 'There is no gcc to compile the runner with.';
  }
  return undefined;
}

/** The CPU features of the host, by Linux's names (/proc/cpuinfo). */
export function hostFeatures(): ReadonlySet<string> {
  const line = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'));
  return new Set(line === null ? [] : line[1].trim().split(/\s+/));
}

/** Compiles the runner unless the cache has it; returns the program's path. */
export function buildRunner(): string {
  const hash = createHash('sha256');
  hash.update(readFileSync(source)).update(COMPILER_ARGUMENTS.join(' '));
  const program = join(cache, `runner-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(cache, { recursive: true });
  // Test workers may compile at once: each writes its own file, and the rename is atomic.
  const scratch = mkdtempSync(join(cache, 'build-'));
  execFileSync('gcc', [...COMPILER_ARGUMENTS, '-o', join(scratch, 'runner'), source]);
  renameSync(join(scratch, 'runner'), program);
  rmSync(scratch, { recursive: true });
  return program;
}

/**
 * Runs `vectors` in one process and returns a result for each, in order. `emulator` is a program
 * that runs the runner in its place, such as a user-mode emulator.
 */
export function runOnSilicon(vectors: readonly SiliconVector[], emulator?: string): SiliconRun {
  const program = buildRunner();
  const scratch = mkdtempSync(join(cache, 'run-'));
  try {
    const input = join(scratch, 'vectors');
    const output = join(scratch, 'results');
    writeFileSync(input, encodeVectors(vectors));
    const command = emulator === undefined ? [program] : [emulator, program];
    execFileSync(command[0], [...command.slice(1), input, output], { timeout: RUN_MS_MAX });
    return decodeResults(readFileSync(output), vectors.length);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}
