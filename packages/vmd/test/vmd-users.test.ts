// The system's vmd(8), root's, and its users: who may do what, and as whom machines run. Needs
// root, to be somebody else; users are numbers that no file knows.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAccounts } from '../src/conf/accounts.ts';
import { usersOf } from '../src/daemon/user-sockets.ts';
import { eventually, lives, VmdProcess } from './vmd-process.ts';

const VMCTL = fileURLToPath(new URL('../bin/vmctl.js', import.meta.url));
const ADA = 41_001;
const BOB = 41_002;

const isRoot = process.getuid?.() === 0;

function as(uid: number, words: string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, [VMCTL, ...words], {
    ...(isRoot && { uid, gid: uid }),
    encoding: 'utf8',
    cwd: '/',
    env: { PATH: process.env.PATH, ...env },
  });
}

/** Why tests as other users are skipped; undefined if they need not be. */
function reasonToSkip(): string | undefined {
  if (!isRoot) return 'only root can be other users';
  if (as(ADA, ['completion', 'bash']).status !== 0) return 'other users cannot read the programs';
  return undefined;
}
const SKIP = reasonToSkip();

const uidOf = (pid: number): number =>
  Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);

test('usersOf() are those who own something, and the members of groups that do', () => {
  const accounts = parseAccounts(
    'root:x:0:0:::\nada:x:1:10:::\nbob:x:2:20:::\ncy:x:3:30:::\n',
    'wheel:x:0:cy\nops:x:10:bob\n',
  );
  const users = (uid: number, gid: number | null): number[] =>
    usersOf(accounts, [null, { uid, gid }]).sort();
  expect(users(0, null)).toEqual([]);
  expect(users(0, 0)).toEqual([]);
  expect(users(7, null)).toEqual([7]);
  expect(users(0, 10)).toEqual([1, 2]);
});

describe('at the system’s vmd', () => {
  let vmd: VmdProcess;
  beforeAll(async () => {
    if (SKIP !== undefined) return;
    vmd = new VmdProcess();
    chmodSync(vmd.folder, 0o755);
    vmd.configure(
      vmd.vm('roots', 'idle'),
      vmd.vm('hers', 'idle', `owner ${ADA}`),
      vmd.vm('shared', 'idle', 'disable', `allow instance { memory, owner ${ADA} }`),
    );
    await vmd.start();
    await vmd.logged(/\(roots\) started/);
    await vmd.logged(/\(hers\) started/);
  });
  afterAll(() => vmd?.dispose());

  const ctl = (uid: number, ...words: string[]): string => {
    const { status, stdout, stderr } = as(uid, ['-s', vmd.socket, ...words]);
    return `${status} ${stdout}${stderr}`;
  };

  test('each user with rights has a socket that nobody else can open', ({ skip }) => {
    skip(SKIP !== undefined, SKIP);
    const { uid, mode } = statSync(`${vmd.socket}.d/${ADA}`);
    expect([uid, mode & 0o777]).toEqual([ADA, 0o600]);
    expect(ctl(BOB, 'status')).toBe(`1 vmctl: connect: ${vmd.socket}: permission denied\n`);
    const hers = as(BOB, ['-s', `${vmd.socket}.d/${ADA}`, 'status']);
    expect(hers.stderr).toMatch(/belongs to user 41001|permission denied/);
  });

  test('an owner controls her machine, which runs as her, and no other', async ({ skip }) => {
    skip(SKIP !== undefined, SKIP);
    expect(ctl(ADA, 'status')).toMatch(/^0 [\s\S]* roots\n[\s\S]* 41001 +running hers\n/);
    const [roots, hers] = await vmd.status();
    expect([uidOf(roots!.pid), uidOf(hers!.pid)]).toEqual([0, ADA]);
    const denied = 'vm "roots" is not yours: permission denied.\n';
    expect(ctl(ADA, 'stop', 'roots')).toBe(`1 vmctl: stopping vm roots: ${denied}`);
    expect(ctl(ADA, 'console', 'roots')).toBe(`1 vmctl: ${denied}`);
    expect(ctl(ADA, 'pause', '1')).toContain(denied);
    expect(ctl(ADA, 'stop', 'hers')).toBe('0 stopping vm hers: terminated vm 2\n');
    expect(ctl(ADA, 'start', 'hers')).toBe('0 vmctl: started vm 2 successfully\n');
  });

  test('only root administrates, and defines machines', ({ skip }) => {
    skip(SKIP !== undefined, SKIP);
    for (const words of [['reload'], ['load', '/x'], ['reset'], ['log', 'brief']]) {
      expect(ctl(ADA, ...words)).toBe(
        `1 vmctl: command failed: Only root may ${words[0]}: permission denied.\n`,
      );
    }
    expect(ctl(ADA, 'start', '-b', vmd.kernel('idle'), 'new')).toContain('vm not found');
  });

  test('instances have what is allowed, and run as who made them', async ({ skip }) => {
    skip(SKIP !== undefined, SKIP);
    const start = (...words: string[]): string =>
      ctl(ADA, 'start', '-t', 'shared', ...words, 'mine');
    expect(start('-b', vmd.kernel('idle'))).toContain('no permission to set boot image');
    const hers = ctl(ADA, 'start', '-t', 'hers', '-m', '20M', 'mine');
    expect(hers).toContain('no permission to create vm instance');
    expect(start('-m', '20M')).toBe('0 vmctl: started vm 4 successfully\n');
    const mine = (await vmd.status()).find(({ name }) => name === 'mine');
    expect(uidOf(mine!.pid)).toBe(ADA);
    expect(ctl(ADA, 'stop', 'mine')).toContain('terminated vm 4');
  });
});

test('a user’s own vmd starts when it is needed', async ({ skip }) => {
  skip(SKIP !== undefined, SKIP);
  const kernels = new VmdProcess();
  chmodSync(kernels.folder, 0o755);
  const runtime = mkdtempSync(join(tmpdir(), 'vmd-runtime-'));
  chownSync(runtime, ADA, ADA);
  const environment = { XDG_RUNTIME_DIR: runtime, HOME: runtime };
  const ctl = (...words: string[]): SpawnSyncReturns<string> => as(ADA, words, environment);
  try {
    const socket = join(runtime, 'vmd', 'vmd.sock');
    expect(ctl('status').stderr).toBe(`vmctl: connect: ${socket}: no vmd is running there\n`);
    const words = ['start', '-m', '16M', '-b', kernels.kernel('idle'), 'mine'];
    expect(ctl(...words).stderr).toBe('vmctl: started vm 1 successfully\n');
    const [{ pid, owner }] = JSON.parse(ctl('status', '--json').stdout);
    expect(owner).toBe(String(ADA));
    expect(statSync(join(runtime, 'vmd')).mode & 0o777).toBe(0o700);
    const daemon = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
    expect(uidOf(daemon)).toBe(ADA);
    process.kill(daemon, 'SIGTERM');
    await eventually('the end of vmd', () => !lives(daemon) && !lives(pid));
    // In the background, what it says is in the system's log, or else beside its socket.
    if (!existsSync('/dev/log')) {
      expect(readFileSync(`${socket}.log`, 'utf8')).toMatch(
        /^\S+ listening at .*\n\S+ vm 1 \(mine\) started successfully\n\S+ terminating\n/,
      );
    }
  } finally {
    rmSync(runtime, { recursive: true });
    await kernels.dispose();
  }
});
