// passwd(5) and group(5), entries for the NIS and broken lines included; the host's own tools are
// asked where there are such.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { isMember, parseAccounts } from './accounts.ts';

const ACCOUNTS = parseAccounts(
  '# comment\nroot:*:0:0:daemon:0:0::/root:/bin/ksh\nalice:x:1000:100::/home/alice:/bin/sh\n' +
    'broken\nno-uid:x::1::/:/bin/sh\n+::::::\n-mallory\nalice:x:2000:200:::\ncut:x:7\n\n',
  'wheel:*:0:root,alice\nstaff:x:50:\nempty:x:60\nusers:x:100: bob , alice\nbad:x:x:alice\n+:::\n',
);

test('parseAccounts() takes the entries that are whole', () => {
  expect(ACCOUNTS.users.map(({ name, uid, gid }) => [name, uid, gid])).toEqual([
    ['root', 0, 0],
    ['alice', 1000, 100],
    ['alice', 2000, 200],
  ]);
  expect(ACCOUNTS.groups).toEqual([
    { name: 'wheel', gid: 0, members: ['root', 'alice'] },
    { name: 'staff', gid: 50, members: [] },
    { name: 'empty', gid: 60, members: [] },
    { name: 'users', gid: 100, members: ['bob', 'alice'] },
  ]);
});

test('isMember() knows primary and secondary groups, and no unknown users', () => {
  expect(isMember(ACCOUNTS, 1000, 100)).toBe(true);
  expect(isMember(ACCOUNTS, 1000, 0)).toBe(true);
  expect(isMember(ACCOUNTS, 1000, 50)).toBe(false);
  expect(isMember(ACCOUNTS, 4711, 0)).toBe(false);
});

test('parseAccounts() reads the files of this host as getent(1) does', ({ skip }) => {
  const isThere = spawnSync('getent', ['-s', 'files', 'passwd', 'root']).status === 0;
  skip(!isThere, 'there is no getent(1) that knows -s');
  const read = (path: string): string => readFileSync(path, 'utf8');
  const { users, groups } = parseAccounts(read('/etc/passwd'), read('/etc/group'));
  const ask = (name: string): string[] =>
    execFileSync('getent', ['-s', 'files', name], { encoding: 'utf8' }).trim().split('\n');
  expect(users.map(({ name, uid, gid }) => [name, String(uid), String(gid)])).toEqual(
    ask('passwd').map((line) => [0, 2, 3].map((field) => line.split(':')[field])),
  );
  expect(groups.map(({ name, gid, members }) => [name, String(gid), members.join()])).toEqual(
    ask('group').map((line) => [0, 2, 3].map((field) => line.split(':')[field])),
  );
});
