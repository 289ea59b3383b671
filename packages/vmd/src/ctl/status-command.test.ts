import { expect, test } from 'vitest';
import { parseAccounts } from '../conf/accounts.ts';
import type { VmStatus } from '../control/protocol.ts';
import { statusJson, statusTable } from './status-command.ts';

const ACCOUNTS = parseAccounts(
  'root:x:0:0:::\nada:x:1000:1000:::\nprofessorlongname:x:1001:1:::\n',
  'wheel:x:0:\nusers:x:100:ada\n',
);

const VM: VmStatus = {
  id: 1,
  name: 'openbsd.vm',
  state: 'running',
  pid: 64053,
  vcpus: 1,
  memoryBytes: 2 ** 30,
  residentBytes: Math.round(88.1 * 2 ** 20),
  owner: { uid: 0, gid: null },
};
const STOPPED = { ...VM, pid: null, residentBytes: null, state: 'stopped' } as const;
const VMS: readonly VmStatus[] = [
  VM,
  { ...STOPPED, id: 2, name: 'web', owner: { uid: 1000, gid: 100 } },
  { ...VM, id: 3, state: 'paused', owner: { uid: 1001, gid: 7 }, memoryBytes: 512 * 2 ** 20 },
  { ...STOPPED, id: 12345, state: 'waiting', owner: { uid: 99, gid: null } },
];

// vmctl(8)'s format: "%5s %5s %5s %7s %7s %7s %12s %8s %s", by hand. Owners are cut at 15.
test('statusTable() has the columns of vmctl(8)', () => {
  expect(statusTable(VMS, ACCOUNTS)).toBe(
    [
      '   ID   PID VCPUS  MAXMEM  CURMEM     TTY        OWNER    STATE NAME',
      '    1 64053     1    1.0G   88.1M       -         root  running openbsd.vm',
      '    2     -     1    1.0G       -       -    ada:users  stopped web',
      '    3 64053     1    512M   88.1M       - professorlongna   paused openbsd.vm',
      '12345     -     1    1.0G       -       -           99  waiting openbsd.vm',
      '',
    ].join('\n'),
  );
});

test('statusTable() of none is its header', () => {
  expect(statusTable([], ACCOUNTS).trim().split(/ +/)).toEqual(
    'ID PID VCPUS MAXMEM CURMEM TTY OWNER STATE NAME'.split(' '),
  );
});

test('statusJson() is an array of objects, sizes in bytes', () => {
  expect(JSON.parse(statusJson(VMS.slice(1, 2), ACCOUNTS))).toEqual([
    {
      id: 2,
      name: 'web',
      state: 'stopped',
      pid: null,
      vcpus: 1,
      maxmem: 1073741824,
      curmem: null,
      owner: 'ada:users',
    },
  ]);
});
