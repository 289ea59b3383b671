// Machines that are sent and received: by vmctl(8) through files, as a user does it, and against
// what goes wrong on the way. The guest is a small one that says back what is typed.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { messageFrame } from '../src/control/frame.ts';
import { envelope } from '../src/control/protocol.ts';
import { eventually, type Finished, type Running, VmdProcess } from './vmd-process.ts';

// Each runs a dozen processes.
vi.setConfig({ testTimeout: 180_000 });

const VMCTL = fileURLToPath(new URL('../bin/vmctl.js', import.meta.url));

let vmd: VmdProcess;
let file: string;
beforeAll(async () => {
  vmd = new VmdProcess();
  file = join(vmd.folder, 'suspended');
  const more = ['engine soft', 'disable'];
  vmd.configure(
    vmd.vm('a', 'echo', 'jit always', ...more),
    vmd.vm('b', 'echo', 'jit off', ...more),
    vmd.vm('wide', 'echo', 'interfaces 2', ...more),
    vmd.vm('large', 'echo', ...more).replace('16M', '17M'),
  );
  await vmd.start();
}, 60_000);
afterAll(() => vmd?.dispose());

/** Runs a command of vmctl by a shell, with `$FILE` for the file. */
async function shell(command: string): Promise<Finished> {
  const env = {
    ...process.env,
    FILE: file,
    VMCTL: `${process.execPath} ${VMCTL} -s ${vmd.socket}`,
  };
  const child = spawn('sh', ['-c', command], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (text.stdout += chunk));
  child.stderr.on('data', (chunk) => (text.stderr += chunk));
  const [status] = await once(child, 'close');
  return { status, ...text };
}

/** Types at the console of `name`, once it says `first` if that is given, until `answer` comes. */
async function says(name: string, typed: string, answer: RegExp, first = /^/): Promise<void> {
  const console: Running = vmd.spawnCtl('console', name);
  await eventually(`${first} of ${name}`, () => first.test(console.text.stdout));
  console.process.stdin!.write(typed);
  await eventually(`${answer} of ${name}`, () => answer.test(console.text.stdout));
  console.process.stdin!.write('\r~.');
  await console.finished;
}

const sent = async (name: string): Promise<Finished> => shell(`$VMCTL send ${name} > $FILE`);
const received = async (name: string): Promise<Finished> => shell(`$VMCTL receive ${name} < $FILE`);

test('a machine is sent, and another one goes on where it was', async () => {
  expect((await vmd.ctl('start', 'a')).status).toBe(0);
  await says('a', 'one', /ready\none/, /ready/);
  expect(await sent('a')).toMatchObject({ status: 0, stderr: 'vmctl: sent vm 1 successfully\n' });
  expect(await vmd.state('a')).toBe('stopped');
  expect(vmd.log).toMatch(/vm 1 \(a\) stopped: it was sent/);
  // 16 MB, nearly all of them zeros.
  expect(statSync(file).size).toBeLessThan(300_000);
  expect(await received('b')).toMatchObject({
    status: 0,
    stderr: 'vmctl: received vm 2 successfully\n',
  });
  await says('b', 'two', /^two/);
  expect(vmd.log).toMatch(/vm 2 \(b\) received/);
  await vmd.ctl('stop', '-f', 'b');
});

test('one file gives many machines, by a pipe too, and under new names', async () => {
  expect(await received('a')).toMatchObject({ status: 0 });
  expect(await shell('$VMCTL send a | $VMCTL receive b')).toMatchObject({ status: 0 });
  expect(await received('new')).toMatchObject({ status: 0 });
  await says('new', 'x', /^x/);
  expect(await vmd.state('b')).toBe('running');
  const made = (await vmd.status()).find(({ name }) => name === 'new');
  expect(made).toMatchObject({ maxmem: 16 << 20 });
  await vmd.ctl('stop', '-f', 'b');
  await vmd.ctl('stop', '-f', 'new');
});

test('a machine that is paused can be sent, and goes on when it is received', async () => {
  await received('a');
  await vmd.ctl('pause', 'a');
  expect(await sent('a')).toMatchObject({ status: 0 });
  expect(await received('a')).toMatchObject({ status: 0 });
  await says('a', 'y', /^y/);
});

test('what cannot be sent or received is refused in a sentence', async () => {
  expect((await shell('$VMCTL send b > /dev/null')).stderr).toBe(
    'vmctl: send vm command failed: vm "b" is stopped, not running or paused.\n',
  );
  expect((await shell('$VMCTL send none > /dev/null')).stderr).toContain('vm not found');
  expect((await received('a')).stderr).toContain('vm "a" is running already.');
  expect((await received('wide')).stderr).toBe(
    'vmctl: receive vm command failed: vm "wide" has 2 interfaces; the suspended machine had 0.\n',
  );
  expect((await received('large')).stderr).toContain('has 17 MB of memory, not the 16 it had.');
  expect(await vmd.state('large')).toBe('stopped');
});

test('damaged and foreign files are refused, and leave no machine', async () => {
  const good = readFileSync(file);
  const bad = async (bytes: Uint8Array): Promise<string> => {
    writeFileSync(file, bytes);
    const { status, stderr } = await received('b');
    expect(status).toBe(1);
    expect(await vmd.state('b')).toBe('stopped');
    return stderr.replace('vmctl: receive vm command failed: ', '');
  };
  const wrong = Buffer.from(good);
  wrong[good.length - 5000]! ^= 1;
  expect(await bad(wrong)).toBe(
    'The suspended machine is damaged: a section has the wrong checksum.\n',
  );
  expect(await bad(good.subarray(0, -20))).toContain('it ends too early');
  expect(await bad(good.subarray(0, 10))).toContain('it ends too early');
  expect(await bad(Buffer.from('#!/bin/sh\necho hello, world\n'))).toContain(
    'This is not a suspended machine',
  );
  writeFileSync(file, good);
});

test('a machine goes on when it does not get there, as it was', async () => {
  for (const before of ['running', 'paused']) {
    if (before === 'paused') await vmd.ctl('pause', 'a');
    expect(await shell('$VMCTL send a > /dev/full')).toMatchObject({ status: 1 });
    await eventually('a goes on', () => /\(a\) was not sent, and goes on/.test(vmd.log));
    expect(await vmd.state('a')).toBe(before);
    vmd.log = '';
    const socket = createConnection(vmd.socket);
    socket.write(messageFrame(envelope({ command: 'send', target: 'a' })));
    await once(socket, 'data');
    socket.destroy();
    await eventually('a goes on', () => /\(a\) was not sent, and goes on/.test(vmd.log));
    expect(await vmd.state('a')).toBe(before);
    vmd.log = '';
  }
  expect((await vmd.ctl('unpause', 'a')).status).toBe(0);
  await says('a', 'z', /z/);
});

test('"vmctl run" suspends to a file, and goes on from it', async () => {
  const run = (...words: string[]) => {
    const child = spawn(process.execPath, [VMCTL, 'run', '-e', 'soft', ...words]);
    const text = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => (text.stdout += chunk));
    child.stderr.on('data', (chunk) => (text.stderr += chunk));
    return { child, text, status: once(child, 'close').then(([status]) => status) };
  };
  const path = join(vmd.folder, 'run.suspended');
  const first = run('-m', '16M', '-b', vmd.kernel('echo'), '--suspend', path, 'name');
  await eventually('ready', () => first.text.stdout.includes('ready'));
  first.child.stdin.write('before');
  await eventually('before', () => first.text.stdout.includes('before'));
  first.child.stdin.write('\r~s');
  expect(await first.status).toBe(0);
  expect(existsSync(path)).toBe(true);
  expect(statSync(path).mode & 0o777).toBe(0o600);

  const second = run('--restore', path, '--jit', 'always');
  second.child.stdin.write('after');
  await eventually('after', () => /^\r?after$/.test(second.text.stdout));
  second.child.stdin.write('\r~.');
  expect(await second.status).toBe(0);
  const refused = (...words: string[]): string =>
    spawnSync(process.execPath, [VMCTL, 'run', '--restore', path, ...words], { encoding: 'utf8' })
      .stderr;
  expect(refused('-m', '32M')).toBe(
    'vmctl: -m is not for a machine that is restored: it has its own.\n',
  );
  writeFileSync(path, 'nothing of the kind');
  expect(refused()).toContain('This is not a suspended machine');
});
