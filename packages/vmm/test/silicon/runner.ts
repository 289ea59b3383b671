// Runs vectors on the host's processor: hands a vector file per batch to runner.c, compiled here.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cache, compileOnce } from './compile.ts';
import type { Capabilities, SiliconResult, SiliconVector } from './format.ts';
import { decodeResults, encodeVectors } from './format.ts';

// No stack protector: the canary is behind FS, which is the guest's while a handler runs. Static and
// without CET: the fixed guest addresses stay free, and no shadow stack watches the guest's returns.
// biome-ignore format: what it is compiled for, and how strictly
const COMPILER_ARGUMENTS = [
  '-std=gnu11', '-O3', '-march=x86-64-v2', '-mfsgsbase', '-static',
  '-fno-stack-protector', '-fcf-protection=none', '-Wall', '-Wextra', '-Werror',
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
const buildRunner = (): string => compileOnce('runner.c', COMPILER_ARGUMENTS);

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
