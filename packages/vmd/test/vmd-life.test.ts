// vmd(8) and vmctl(8) as processes, with small kernels: the life of machines, from start to stop,
// and what happens when processes die.
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { eventually, freePort, lives, VmdProcess } from './vmd-process.ts';

let vmd: VmdProcess;
beforeEach(() => {
  vmd = new VmdProcess();
});
afterEach(() => vmd.dispose());

test('machines of the configuration start, and their numbers stay', async () => {
  vmd.configure(vmd.vm('a', 'idle'), vmd.vm('b', 'idle', 'disable'));
  await vmd.start();
  await vmd.logged(/^vm 1 \(a\) started successfully$/m);
  const table = (await vmd.ctl('status')).stdout.split('\n');
  expect(table[0]).toBe('   ID   PID VCPUS  MAXMEM  CURMEM     TTY        OWNER    STATE NAME');
  expect(table[1]).toMatch(/^ {4}1 +\d+ {5}1 {3}16\.0M +[\d.]+M {7}- +\w+ {2}running a$/);
  expect(table[2]).toMatch(/^ {4}2 {5}- {5}1 {3}16\.0M {7}- {7}- +\w+ {2}stopped b$/);
  expect((await vmd.ctl('show', '-r', 'b')).stdout.split('\n')).toHaveLength(2);

  expect(await vmd.ctl('start', 'a')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'vmctl: start vm command failed: vm "a" is running already.\n',
  });
  expect((await vmd.ctl('start', '2')).stderr).toBe('vmctl: started vm 2 successfully\n');

  const waiting = vmd.ctl('wait', 'a');
  const other = vmd.ctl('wait', '1');
  // This guest does not listen to anything that could ask it to shut down.
  const stop = await vmd.ctl('stop', 'a');
  expect(stop).toEqual({ status: 0, stdout: '', stderr: 'stopping vm a: terminated vm 1\n' });
  expect((await waiting).stderr).toBe('waiting for vm a: terminated vm 1\n');
  expect((await other).status).toBe(0);
  expect((await vmd.ctl('stop', 'a')).stderr).toBe(
    'vmctl: stopping vm a: cannot stop vm that is not running\n',
  );
  expect((await vmd.ctl('stop', '-fw', '2')).stderr).toBe(
    'stopping vm 2: forced to terminate vm 2\n',
  );
  expect((await vmd.ctl('status', '-r')).status).toBe(1);
  expect((await vmd.ctl('status', 'none')).status).toBe(0);

  // One that is started besides is gone when it stops, and has the next number.
  const start = ['start', '-m', '16M', '-b', vmd.kernel('idle')];
  expect((await vmd.ctl(...start, 'c')).stderr).toBe('vmctl: started vm 3 successfully\n');
  expect((await vmd.ctl('stop', '-a')).stderr).toBe('stopping vm c: terminated vm 3\n');
  expect((await vmd.status()).map(({ name }) => name)).toEqual(['a', 'b']);
  expect((await vmd.ctl(...start, 'c')).stderr).toBe('vmctl: started vm 3 successfully\n');
});

test('a disk and a port of the host go to one machine at a time', async () => {
  const disk = `${vmd.folder}/disk.qcow2`;
  const port = await freePort();
  await vmd.ctl('create', '-s', '1M', disk);
  const network = ['local interface', `forward ${port}:80`];
  vmd.configure(
    vmd.vm('a', 'idle', `disk "${disk}"`, ...network),
    vmd.vm('b', 'idle', ...network, 'disable'),
    vmd.vm('c', 'idle', `disk "${disk}" format qcow2`, 'disable'),
  );
  await vmd.start();
  await vmd.logged(/^vm 1 \(a\) started successfully$/m);
  const start = async (...words: string[]): Promise<string> =>
    (await vmd.ctl('start', ...words)).stderr.replace('vmctl: start vm command failed: ', '');
  expect(await start('b')).toBe(`Cannot listen on TCP 127.0.0.1:${port}: it is in use.\n`);
  expect(await start('c')).toMatch(/^Disk \S+disk\.qcow2 is locked: /);
  await vmd.ctl('stop', 'a');
  expect(await start('b')).toBe('vmctl: started vm 2 successfully\n');
  expect(await start('c')).toBe('vmctl: started vm 3 successfully\n');

  // One that is started besides has what the file gives the others.
  const more = ['-m', '16M', '-b', vmd.kernel('idle'), '-L', '-n', 'uplink'];
  expect(await start(...more, 'd')).toBe(
    'vmctl: vm "d": there is no switch "uplink".\n' + 'vmctl: started vm 4 successfully\n',
  );
});

test('what cannot be started is refused in a sentence, and leaves nothing', async () => {
  vmd.configure();
  await vmd.start();
  const notKernel = `${vmd.folder}/text`;
  writeFileSync(notKernel, 'hello');
  const start = async (...words: string[]): Promise<string> => {
    const { status, stderr } = await vmd.ctl('start', ...words, 'x');
    expect(status).toBe(1);
    return stderr.replace('vmctl: start vm command failed: ', '');
  };
  expect(await start('-b', '/none')).toBe('Cannot open kernel /none: there is no such file.\n');
  expect(await start('-b', notKernel)).toMatch(/^[^\n]*\btext\b[^\n]*\.\n$/);
  expect(await start('-m', '16M')).toBe('no kernel or disk/cdrom specified\n');
  const idle = vmd.kernel('idle');
  expect(await start('-b', idle, '-r', '/none.iso')).toMatch(/\/none\.iso: there is no such file/);
  expect(await start('-b', idle, '-B', 'disk')).toMatch(/^Cannot boot from device disk: .* kernel/);
  expect(await start('-b', idle, '-d', '/none')).toMatch(/\/none/);
  expect(await start('-b', vmd.kernel('idle'), '-t', 'none')).toBe('invalid template\n');
  expect(await vmd.status()).toEqual([]);
  expect((await vmd.ctl('start', '7')).stderr).toContain('vm not found');
  for (const command of ['pause', 'unpause', 'wait', 'console', 'stop']) {
    const { status, stderr } = await vmd.ctl(command, 'none');
    expect([status, stderr]).toEqual([1, expect.stringContaining('vm not found\n')]);
  }
});

test('a machine that is killed is reported, and the others live', async () => {
  vmd.configure(vmd.vm('a', 'idle'), vmd.vm('b', 'echo'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  await vmd.logged(/\(b\) started/);
  const [a, b] = await vmd.status();
  const console = vmd.spawnCtl('console', 'b');
  await eventually('the console of b', () => console.text.stdout.includes('ready'));
  process.kill(a.pid, 'SIGKILL');
  await vmd.logged(/^vm 1 \(a\) stopped: its process failed, it was ended by SIGKILL$/m);
  expect((await vmd.status()).map(({ state, pid }) => [state, pid])).toEqual([
    ['stopped', null],
    ['running', b.pid],
  ]);
  console.process.stdin!.write('alive?');
  await eventually('an echo', () => console.text.stdout.includes('alive?'));
  expect((await vmd.ctl('start', 'a')).status).toBe(0);
  console.process.kill('SIGKILL');
});

test('a process that runs out of memory is reported with the reason', async () => {
  vmd.configure(vmd.vm('a', 'idle'));
  // Enough for vmd, and not for a machine's process, which is made to collect things.
  const greed = `if (/vm-main/.test(process.argv[1])) setTimeout(() => {
    for (const all = []; ; ) all.push(new Array(1e5).fill(0));
  }, 200)`;
  const preload = `--import=data:text/javascript,${encodeURIComponent(greed)}`;
  await vmd.start({ NODE_OPTIONS: `--max-old-space-size=100 ${preload}` });
  await vmd.logged(/\(a\) .*\b(memory limit|heap)\b/);
  expect((await vmd.status()).map(({ state }) => state)).toEqual(['stopped']);
});

test('no machine outlives a vmd that is killed', async () => {
  vmd.configure(vmd.vm('a', 'idle'), vmd.vm('b', 'flood'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  await vmd.logged(/\(b\) started/);
  const pids = (await vmd.status()).map(({ pid }) => pid);
  expect(pids.every(lives)).toBe(true);
  vmd.process!.kill('SIGKILL');
  await eventually('the end of the machines', () => !pids.some(lives));
  // What it left behind does not keep the next one from its work.
  vmd.log = '';
  await vmd.start();
  await vmd.logged(/\(a\) started/);
});

test('a guest that reboots too often too quickly is ended', async () => {
  vmd.configure(vmd.vm('a', 'reboot'));
  await vmd.start();
  await vmd.logged(/^vm 1 \(a\) restarted too quickly, and is ended$/m);
  await vmd.logged(/\(a\) stopped/);
  expect(vmd.log.match(/\(a\) rebooted$/gm)).toHaveLength(3);
});

test('a machine that is paused says nothing until it goes on', async () => {
  vmd.configure(vmd.vm('a', 'echo'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  const console = vmd.spawnCtl('console', 'a');
  await eventually('the console', () => console.text.stdout.includes('ready'));
  expect(await vmd.ctl('unpause', 'a')).toMatchObject({
    status: 1,
    stderr: 'vmctl: unpause vm command failed: vm "a" is running, not paused.\n',
  });
  expect((await vmd.ctl('pause', 'a')).stderr).toBe('vmctl: paused vm 1 successfully\n');
  expect(await vmd.state('a')).toBe('paused');
  console.process.stdin!.write('typed');
  expect((await vmd.ctl('pause', '1')).status).toBe(1);
  expect(console.text.stdout).not.toContain('t');
  expect((await vmd.ctl('unpause', 'a')).stderr).toBe('vmctl: unpaused vm 1 successfully\n');
  await eventually('an echo', () => console.text.stdout.includes('typed'));
  // A machine can be stopped while it is paused.
  await vmd.ctl('pause', 'a');
  expect((await vmd.ctl('stop', '-w', 'a')).status).toBe(0);
  expect((await console.finished).stderr).toContain('vm 1 has ended');
});

test('machines that are to wait are started in batches', async () => {
  const vms = ['a', 'b', 'c'].map((name) => vmd.vm(name, 'idle'));
  vmd.configure('staggered start parallel 1 delay 86400\n', ...vms);
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  const states = async (): Promise<string[]> => (await vmd.status()).map(({ state }) => state);
  expect(await states()).toEqual(['running', 'waiting', 'waiting']);
  expect((await vmd.ctl('start', 'c')).status).toBe(0);
  expect((await vmd.ctl('stop', 'b')).stderr).toBe('stopping vm b: terminated vm 2\n');
  expect(await states()).toEqual(['running', 'stopped', 'running']);

  vmd.configure('staggered start parallel 1 delay 0\n', ...vms, vmd.vm('d', 'idle'));
  expect((await vmd.ctl('reload')).status).toBe(0);
  await vmd.logged(/\(b\) started/);
  await vmd.logged(/\(d\) started/);
});

test('reload, load, reset and log do what they say', async () => {
  vmd.configure(vmd.vm('a', 'idle'), vmd.vm('old', 'idle', 'disable'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  const names = async (): Promise<string[]> => (await vmd.status()).map(({ name }) => name);

  vmd.configure(vmd.vm('new', 'idle', 'disable'), 'bogus\n');
  const failed = await vmd.ctl('reload');
  expect(failed.status).toBe(1);
  expect(failed.stderr).toMatch(/^vmctl: command failed: .*vm\.conf:6: syntax error/);
  expect(await names()).toEqual(['a', 'old']);

  // By SIGHUP; what runs stays though it is in the file no more.
  vmd.configure(vmd.vm('new', 'idle', 'disable'));
  vmd.process!.kill('SIGHUP');
  await vmd.logged(/^the configuration was read anew$/m);
  expect(await names()).toEqual(['a', 'new']);

  const more = `${vmd.folder}/more.conf`;
  writeFileSync(more, vmd.vm('more', 'idle', 'disable') + vmd.vm('a', 'halt'));
  expect((await vmd.ctl('load', more)).status).toBe(0);
  expect(await names()).toEqual(['a', 'new', 'more']);
  expect((await vmd.ctl('load', '/none')).stderr).toContain('/none');

  expect((await vmd.ctl('reset', 'switches')).status).toBe(0);
  expect((await vmd.ctl('log', 'b')).status).toBe(0);
  const before = vmd.log.length;
  expect((await vmd.ctl('reset')).status).toBe(0);
  expect(await vmd.ctl('status')).toMatchObject({ status: 1 });
  expect((await vmd.ctl('reload')).status).toBe(0);
  expect(vmd.log.slice(before)).not.toContain('registered');
  expect(await names()).toEqual(['new']);
});

test('SIGTERM stops the machines and leaves no socket', async () => {
  vmd.configure(vmd.vm('a', 'idle'));
  await vmd.start();
  await vmd.logged(/\(a\) started/);
  expect(statSync(vmd.socket).mode & 0o777).toBe(0o600);
  const [{ pid }] = await vmd.status();
  vmd.process!.kill('SIGTERM');
  expect(await vmd.exit).toBe(0);
  expect(lives(pid)).toBe(false);
  expect(existsSync(vmd.socket)).toBe(false);
  expect(vmd.log).toMatch(/^terminating\nvm 1 \(a\) stopped: it was ended\n$/m);
  expect(await vmd.ctl('status')).toEqual({
    status: 1,
    stdout: '',
    stderr: `vmctl: connect: ${vmd.socket}: no vmd is running there\n`,
  });
});

/** Starts machines that are not to begin with, and waits until their guests say so. */
async function startReady(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const console = vmd.spawnCtl('start', '-c', name);
    await eventually(`${name} is ready`, () => console.text.stdout.includes('ready'));
    console.process.stdin!.write('\r~.');
    await console.finished;
  }
}

test('a guest that listens is asked to stop, and does; by -f it is ended', async () => {
  vmd.configure(vmd.vm('a', 'polite', 'disable'), vmd.vm('b', 'stubborn', 'disable'));
  await vmd.start();
  await startReady('a', 'b');
  expect(await vmd.ctl('stop', '-w', 'a')).toEqual({
    status: 0,
    stdout: '',
    stderr: 'stopping vm a: requested to shutdown vm 1\nterminated vm 1\n',
  });
  expect(vmd.log).toMatch(/^vm 1 \(a\) is asked to shut down\n/m);
  expect(vmd.log).toMatch(/^vm 1 \(a\) stopped: its guest shut down$/m);
  expect((await vmd.ctl('stop', 'b')).stderr).toBe('stopping vm b: requested to shutdown vm 2\n');
  expect(await vmd.state('b')).toBe('stopping');
  expect(await vmd.ctl('stop', '-f', 'b')).toMatchObject({
    status: 0,
    stderr: 'stopping vm b: forced to terminate vm 2\n',
  });
  expect(await vmd.state('b')).toBe('stopped');
});

test('a guest that wants to be asked and does not hear is ended in three seconds', async () => {
  vmd.configure(vmd.vm('a', 'deaf', 'disable'));
  await vmd.start();
  await startReady('a');
  const sinceMs = performance.now();
  expect((await vmd.ctl('stop', 'a')).stderr).toBe('stopping vm a: terminated vm 1\n');
  expect(performance.now() - sinceMs).toBeGreaterThan(2900);
});

test('stop -a, SIGTERM of a machine’s process and SIGTERM of vmd ask the guests', async () => {
  vmd.configure(...['a', 'b', 'c', 'd'].map((name) => vmd.vm(name, 'polite', 'disable')));
  await vmd.start();
  await startReady('a', 'b');
  expect((await vmd.ctl('stop', '-aw')).stderr).toBe(
    'stopping vm a: requested to shutdown vm 1\nterminated vm 1\n' +
      'stopping vm b: requested to shutdown vm 2\nterminated vm 2\n',
  );
  await startReady('c', 'd');
  process.kill((await vmd.status())[2].pid, 'SIGTERM');
  await vmd.logged(/^vm 3 \(c\) stopped: its guest switched it off$/m);
  vmd.process!.kill('SIGTERM');
  expect(await vmd.exit).toBe(0);
  expect(vmd.log).toMatch(/^terminating\nvm 4 \(d\) is asked to shut down\n/m);
  expect(vmd.log).toMatch(/^vm 4 \(d\) stopped: its guest shut down$/m);
});

test('there is one vmd at a socket', async () => {
  vmd.configure();
  await vmd.start();
  const second = new VmdProcess();
  Object.assign(second, { socket: vmd.socket });
  second.configure();
  await expect(second.start()).rejects.toThrow(`vmd is already running at ${vmd.socket}.`);
  expect(await second.exit).toBe(1);
  await second.dispose();
  expect((await vmd.ctl('status')).status).toBe(1);
  expect(existsSync(vmd.socket)).toBe(true);
});
