// Who may make which instances, by "VM INSTANCES" of vm.conf(5): root everything, others what the
// parent allows them.
import { describe, expect, test } from 'vitest';
import { TEST_ACCOUNTS } from '../../test/conf-host.ts';
import type { InstanceOption, Owner, VmConfig } from './configuration.ts';
import { hasRights, makeInstance } from './instances.ts';
import { INTERFACE_DEFAULT } from './parse-interface.ts';
import { completeVm, emptyDraft, type VmDraft } from './vm-draft.ts';

const ROOT = 0;
const ALICE = 1000;
const BOB = 1001;
const STAFF = 50;

function parentWith(options: InstanceOption[], owner: Owner | null): VmConfig {
  const draft: VmDraft = {
    ...emptyDraft('parent', null),
    disks: [{ path: '/img/parent', format: 'raw' }],
    interfaces: [{ ...INTERFACE_DEFAULT, tap: 'tap0', switch: 's', lladdr: '02:00:00:00:00:01' }],
    boot: '/bsd',
    owner: { uid: ALICE, gid: STAFF },
  };
  return { ...completeVm(draft), allow: { options, owner } };
}

function make(
  parent: VmConfig,
  uid: number,
  changes: Partial<VmDraft> = { disks: [{ path: '/img/child', format: 'auto' }] },
): VmConfig {
  const draft = { ...emptyDraft('child', 'parent'), ...changes };
  return makeInstance(parent, draft, uid, TEST_ACCOUNTS);
}

test.each([
  [ROOT, null, true],
  [ALICE, null, false],
  [ALICE, { uid: ALICE, gid: null }, true],
  [BOB, { uid: ALICE, gid: null }, false],
  [BOB, { uid: 0, gid: STAFF }, true],
  [ALICE, { uid: 0, gid: STAFF }, false],
  [BOB, { uid: 0, gid: BOB }, true],
  [4711, { uid: 0, gid: STAFF }, false],
])('hasRights() of user %d for owner %j is %s', (uid, owner, answer) => {
  expect(hasRights(TEST_ACCOUNTS, owner, uid)).toBe(answer);
});

test('only root may make instances where nobody is named', () => {
  expect(() => make(parentWith(['disk'], null), BOB)).toThrow(
    'no permission to create vm instance',
  );
  expect(make(parentWith([], null), ROOT).disks[0]?.path).toBe('/img/child');
});

describe('a user who is named', () => {
  const owner = { uid: BOB, gid: null };
  const settings: [InstanceOption, string, Partial<VmDraft>][] = [
    ['memory', 'memory', { memoryBytes: 1 << 20 }],
    ['disk', 'disks', { disks: [{ path: '/img/child', format: 'auto' }] }],
    ['interface', 'interfaces', { interfaces: [INTERFACE_DEFAULT] }],
    ['interface', 'interfaces', { interfaceCount: 2 }],
    [
      'interface',
      'interfaces',
      { forwards: [{ protocol: 'tcp', hostAddress: '::1', hostPort: 1, guestPort: 2 }] },
    ],
    ['boot', 'boot image', { boot: '/bsd.rd' }],
    ['boot', 'boot image', { bootDevice: 'net' }],
    ['boot', 'boot image', { initrd: '/img/initrd' }],
    ['boot', 'boot image', { cmdline: 'single' }],
    ['cdrom', 'cdrom', { cdrom: '/img/cd.iso' }],
  ];

  test.each(settings)('may set %s, if allowed (%s)', (option, what, changes) => {
    const others = settings.map(([name]) => name).filter((name) => name !== option);
    const refused = (): VmConfig => make(parentWith(others, owner), BOB, changes);
    expect(refused).toThrow(`no permission to set ${what}`);
    expect(make(parentWith([option], owner), BOB, changes)).toMatchObject(
      'interfaceCount' in changes ? {} : changes,
    );
    expect(make(parentWith([], owner), ROOT, changes).name).toBe('child');
  });

  test('inherits the owner, and may become it, but no other', () => {
    const parent = parentWith([], owner);
    expect(make(parent, BOB, {}).owner).toEqual({ uid: ALICE, gid: STAFF });
    const own = { uid: BOB, gid: null };
    expect(make(parent, BOB, { owner: own }).owner).toEqual(own);
    expect(() => make(parent, BOB, { owner: { uid: 4711, gid: null } })).toThrow('user mismatch');
    expect(() => make(parent, BOB, { owner: { uid: BOB, gid: 4711 } })).toThrow('group mismatch');
    expect(make(parent, ROOT, { owner: { uid: 4711, gid: 4711 } }).owner.uid).toBe(4711);
  });
});

test('permissions pass on to instances of instances only if "instance" is allowed', () => {
  const owner = { uid: BOB, gid: null };
  expect(make(parentWith(['memory'], owner), ROOT).allow).toEqual({ options: [], owner: null });
  const allow = { options: ['memory', 'instance'] as const, owner };
  expect(make(parentWith(['memory', 'instance'], owner), ROOT).allow).toEqual(allow);
});

test('nobody may change permissions in an instance', () => {
  const changes = { allowOptions: new Set<InstanceOption>(['disk']) };
  expect(() => make(parentWith([], null), ROOT, changes)).toThrow(
    'cannot change instance permissions',
  );
});

test('what only one vm can have is neither inherited nor used twice', () => {
  const parent = parentWith([], null);
  const child = make(parent, ROOT, { boot: '/bsd.rd' });
  expect(child.disks).toEqual([]);
  expect(child.interfaces).toEqual([{ ...INTERFACE_DEFAULT, switch: 's' }]);
  const refuse = (changes: Partial<VmDraft>, message: string): void =>
    expect(() => make(parent, ROOT, changes)).toThrow(message);
  refuse({ disks: [...parent.disks] }, 'disk /img/parent cannot be reused');
  refuse({ interfaces: [{ ...INTERFACE_DEFAULT, tap: 'tap0' }] }, 'tap0 cannot be reused');
  const lladdr = '02:00:00:00:00:01';
  refuse({ interfaces: [{ ...INTERFACE_DEFAULT, lladdr }] }, `lladdr ${lladdr} cannot be reused`);
});
