// "vmctl run" as a process with small kernels: what signals and the escape do to the guest.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, type Running, VmdProcess } from './vmd-process.ts';

let vmd: VmdProcess;
beforeEach(() => {
  vmd = new VmdProcess();
});
afterEach(() => vmd.dispose());

const ASKED = 'vmctl: The guest is asked to shut down; asked again, it is ended at once.\n';

async function run(kernel: string, ...options: string[]): Promise<Running> {
  const running = vmd.spawnCtl(
    'run',
    '-e',
    'soft',
    '-m',
    '16M',
    '-b',
    vmd.kernel(kernel),
    ...options,
  );
  await eventually('ready', () => running.text.stdout.includes('ready'));
  return running;
}

test('a guest that listens shuts down for a signal or the escape, with status 0', async () => {
  const signalled = await run('polite');
  signalled.process.kill('SIGTERM');
  expect(await signalled.finished).toMatchObject({ status: 0, stdout: 'ready\nbye' });
  const left = await run('polite');
  left.process.stdin!.write('\r~.');
  expect(await left.finished).toMatchObject({ status: 0, stdout: 'ready\nbye' });
});

test('a second signal ends a guest that takes its time, with the signal’s status', async () => {
  const { process, text, finished } = await run('stubborn');
  process.kill('SIGTERM');
  await eventually('asked', () => text.stderr === ASKED);
  process.kill('SIGINT');
  expect(await finished).toMatchObject({ status: 130, stdout: 'ready\nno' });
});

test('a guest that does not listen is ended at once', async () => {
  const signalled = await run('idle');
  signalled.process.kill('SIGTERM');
  expect(await signalled.finished).toEqual({ status: 143, stdout: 'ready\n', stderr: '' });
  const left = await run('idle');
  left.process.stdin!.write('\r~.');
  expect(await left.finished).toEqual({ status: 0, stdout: 'ready\n', stderr: '' });
});
