// Consoles of machines under vmd(8), by vmctl(8) on pipes.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { KEPT_BYTES } from '../src/daemon/console-hub.ts';
import { eventually, VmdProcess } from './vmd-process.ts';

let vmd: VmdProcess;
beforeEach(() => {
  vmd = new VmdProcess();
});
afterEach(() => vmd.dispose());

test('a console shows what nobody has seen yet, echoes, and is left by its escape', async () => {
  vmd.configure(vmd.vm('a', 'echo'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  const first = vmd.spawnCtl('console', 'a');
  // Written before anybody looked, or while.
  await eventually('the first output', () => first.text.stdout === 'ready\n');
  expect(await vmd.ctl('console', '1')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'vmctl: The console of vm 1 is in use.\n',
  });
  first.process.stdin!.write('one');
  await eventually('an echo', () => first.text.stdout === 'ready\none');
  first.process.stdin!.write('\r~.');
  expect(await first.finished).toEqual({
    status: 0,
    stdout: expect.stringMatching(/^ready\none\r?$/),
    stderr: 'Connected to vm 1 (leave with ~.)\n',
  });
  const second = vmd.spawnCtl('console', 'a');
  second.process.stdin!.write('two');
  await eventually('the second echo', () => /^\r?two$/.test(second.text.stdout));
  await vmd.ctl('stop', 'a');
  expect(await second.finished).toMatchObject({
    status: 0,
    stderr: 'Connected to vm 1 (leave with ~.)\n\r\nvm 1 has ended\r\n',
  });
  expect((await vmd.ctl('console', 'a')).stderr).toBe('vmctl: console not found\n');
});

test('"start -c" misses nothing, however soon the guest ends', async () => {
  vmd.configure();
  await vmd.start();
  const { status, stderr } = await vmd.ctl(
    'start',
    '-c',
    '-m',
    '16M',
    '-b',
    vmd.kernel('halt'),
    'h',
  );
  expect(status).toBe(0);
  expect(stderr).toContain('vmctl: started vm 1 successfully\n');
  const echo = vmd.spawnCtl('start', '-c', '-m', '16M', '-b', vmd.kernel('echo'), 'e');
  await eventually('the output', () => echo.text.stdout === 'ready\n');
  echo.process.stdin!.write('~.');
  expect((await echo.finished).status).toBe(0);
  expect(await vmd.state('e')).toBe('running');
});

test('a guest does not wait for nobody, nor for one who has stopped reading', async () => {
  vmd.configure(vmd.vm('a', 'flood'), vmd.vm('b', 'echo'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  await vmd.logged(/\(b\) started/);
  const reader = vmd.spawnCtl('console', 'a');
  await eventually('more than is kept', () => reader.text.stdout.length > 4 * KEPT_BYTES);
  expect(reader.text.stdout).toMatch(/^a+$/);
  reader.process.kill('SIGSTOP');
  const other = vmd.spawnCtl('console', 'b');
  await eventually('the other console', () => other.text.stdout === 'ready\n');
  expect((await vmd.ctl('pause', 'a')).status).toBe(0);
  expect((await vmd.ctl('unpause', 'a')).status).toBe(0);
  reader.process.kill('SIGCONT');
  const length = reader.text.stdout.length;
  await eventually('output again', () => reader.text.stdout.length > length + KEPT_BYTES);
  // Its console ends with the machine, and with the process of a machine that is killed.
  const [a, b] = await vmd.status();
  expect((await vmd.ctl('stop', String(a.id))).status).toBe(0);
  expect((await reader.finished).stderr).toContain('vm 1 has ended');
  process.kill(b.pid, 'SIGKILL');
  expect((await other.finished).stderr).toContain('the connection was lost');
});
