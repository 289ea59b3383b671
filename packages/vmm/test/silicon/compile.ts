// Compiles the C and assembly sources beside it with the host's gcc, into the cache folder, once per
// source and compiler line.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder for what tests build; not part of the tree. */
export const cache: string = fileURLToPath(new URL('../../../../.cache/silicon/', import.meta.url));

/** Compiles `source`, a file of this folder, unless the cache has it; returns the output's path. */
export function compileOnce(source: string, compilerArguments: readonly string[]): string {
  const path = fileURLToPath(new URL(source, import.meta.url));
  const hash = createHash('sha256').update(readFileSync(path)).update(compilerArguments.join(' '));
  const output = join(cache, `${source}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(output)) return output;
  mkdirSync(cache, { recursive: true });
  // Test workers may compile at once: each writes its own file, and the rename is atomic.
  const scratch = mkdtempSync(join(cache, 'build-'));
  try {
    execFileSync('gcc', [...compilerArguments, '-o', join(scratch, 'output'), path]);
    renameSync(join(scratch, 'output'), output);
  } finally {
    rmSync(scratch, { recursive: true });
  }
  return output;
}
