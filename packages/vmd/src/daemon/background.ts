// A daemon in the background: started as a process in a session of its own, waited for until it is
// ready or has failed, and left alone.

import { spawn } from 'node:child_process';

/** What the process in the background says once. */
export type Readiness = { readonly ready: true } | { readonly error: string };

/** Tells whoever started this process in the background; nothing when nobody did. */
export function tellParent(readiness: Readiness): void {
  if (!process.connected) return;
  process.send!(readiness);
  process.disconnect!();
}

/** Runs this program with `words` in the background. Returns the exit status for this process. */
export function runInBackground(
  words: readonly string[],
  say: (line: string) => void,
): Promise<number> {
  const program = process.argv[1]!;
  const child = spawn(process.execPath, [...process.execArgv, program, ...words], {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  return new Promise((resolve) => {
    const fail = (reason: string): void => {
      say(`vmd: ${reason}`);
      resolve(1);
    };
    const onExit = (status: number | null, signal: string | null): void => {
      fail(`it ended while it was started: ${signal ?? `status ${status}`}`);
    };
    child.on('exit', onExit);
    child.on('error', (error) => fail(`it cannot be started: ${error.message}`));
    child.on('message', (message: Readiness) => {
      child.off('exit', onExit);
      child.unref();
      if (child.connected) child.disconnect();
      if ('error' in message) fail(message.error);
      else resolve(0);
    });
  });
}
