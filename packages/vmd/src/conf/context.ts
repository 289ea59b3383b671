// What the rules of the grammar share.

import type { Accounts } from './accounts.ts';
import type { ConfFiles } from './conf-files.ts';
import type { Position } from './diagnostics.ts';
import type { TokenStream } from './token-stream.ts';

/** What a rule may use. */
export interface Context {
  readonly tokens: TokenStream;
  readonly files: ConfFiles;
  readonly accounts: Accounts;
}

/** The length in bytes, which is what the limits of names and paths count. */
export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The real path of a file that a rule names; `complaint` starts the refusal. */
export function realPath(
  { files, tokens }: Context,
  path: string,
  position: Position,
  complaint: string,
): string {
  try {
    return files.realpath(path);
  } catch (error) {
    return tokens.reject(position, `${complaint}: ${(error as Error).message}`);
  }
}
