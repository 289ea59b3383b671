// What becomes of a vm of vm.conf(5) when it is started: the disks, interfaces and defaults that
// its process gets, what it is warned of, and what is refused.
import { expect, test } from 'vitest';
import type { InterfaceConfig, VmConfig } from '../conf/configuration.ts';
import { GLOBAL_DEFAULT } from '../conf/parse-global.ts';
import { INTERFACE_DEFAULT } from '../conf/parse-interface.ts';
import { completeVm, emptyDraft } from '../conf/vm-draft.ts';
import { type BootOverride, type PlanInterface, planOf, type Surroundings } from './run-plan.ts';

const LOCAL = { prefix: GLOBAL_DEFAULT.localPrefix, prefix6: null };
const SWITCH = { interface: 'veb0', group: null, locked: false, rdomain: null, up: true };
const SURROUNDINGS: Surroundings = {
  local: LOCAL,
  switches: new Map([
    ['lan', { ...SWITCH, name: 'lan' }],
    ['secure', { ...SWITCH, name: 'secure', locked: true }],
    ['host', { ...SWITCH, name: 'host', interface: 'bridge7' }],
    ['off', { ...SWITCH, name: 'off', up: false }],
  ]),
  isHostBridge: (name) => name === 'bridge7',
  makeLladdr: (index) => `fe:e1:bb:d${index + 1}:00:00`,
};

const plan = (more: Partial<VmConfig> = {}, override: BootOverride = {}) =>
  planOf(
    7,
    { ...completeVm(emptyDraft('a', null)), boot: '/kernel', ...more },
    override,
    SURROUNDINGS,
  );
const card = (more: Partial<InterfaceConfig>) => ({ ...INTERFACE_DEFAULT, ...more });

test('planOf() takes the defaults of vmctl(8), "run", for what the file does not say', () => {
  expect(plan()).toEqual({
    plan: {
      id: 7,
      name: 'a',
      memoryBytes: 512 * 2 ** 20,
      boot: '/kernel',
      bootDevice: 'auto',
      cdrom: null,
      initrd: null,
      cmdline: null,
      disks: [],
      interfaces: [],
      local: LOCAL,
      forwards: [],
      engine: 'auto',
      jit: 'on',
      cpu: 'v3',
      noReboot: false,
    },
    warnings: [],
  });
  expect(plan({ engine: 'soft', jit: 'off', cpu: 'v2' }).plan).toMatchObject({
    engine: 'soft',
    jit: 'off',
    cpu: 'v2',
  });
});

test('planOf() gives disks of both formats, and leaves out one that is to be looked at', () => {
  const disks = [
    { path: '/a', format: 'raw' },
    { path: '/b', format: 'qcow2' },
    { path: '/c', format: 'auto' },
  ] as const;
  expect(plan({ disks }).plan.disks).toEqual([
    { path: '/a', format: 'raw', readOnly: false },
    { path: '/b', format: 'qcow2', readOnly: false },
    { path: '/c', readOnly: false },
  ]);
});

test('planOf() plugs interfaces that are up into gateways and switches, or both', () => {
  const { plan: its, warnings } = plan({
    interfaces: [
      card({ local: true, lladdr: '02:00:00:00:00:01' }),
      card({ local: true, switch: 'lan' }),
      card({ switch: 'lan', locked: true }),
      card({ switch: 'secure' }),
      card({ local: true, switch: 'lan', up: false }),
      card({ switch: 'host' }),
      card({ tap: 'tap9', switch: 'lan' }),
      card({}),
      card({ up: false }),
    ],
  });
  const made = (index: number, more: Partial<PlanInterface>) => ({
    lladdr: SURROUNDINGS.makeLladdr(index),
    isLocked: false,
    isLocal: false,
    switch: null,
    tap: null,
    ...more,
  });
  expect(its.interfaces).toEqual([
    made(0, { isLocal: true, lladdr: '02:00:00:00:00:01' }),
    made(1, { isLocal: true, switch: 'lan' }),
    made(2, { isLocked: true, switch: 'lan' }),
    made(3, { isLocked: true, switch: 'secure' }),
    made(4, {}),
    made(5, { tap: { name: null, bridge: 'bridge7', isRequired: true } }),
    made(6, { switch: 'lan', tap: { name: 'tap9', bridge: null, isRequired: true } }),
    made(7, { tap: { name: null, bridge: null, isRequired: false } }),
    made(8, {}),
  ]);
  expect(warnings).toEqual([]);
});

test.each([
  [{ switch: 'off' }, 'switch "off" is down.'],
  [{ switch: 'none' }, 'there is no switch "none".'],
  [{ switch: 'lan', rdomain: 4 }, 'rdomain has no effect, as no interface of the host is its.'],
  [{ switch: 'host', group: 'tenants' }, 'group has no effect, as Linux has no such thing.'],
])('planOf() warns of %j', (interfaceConfig, warning) => {
  const { plan: its, warnings } = plan({ interfaces: [card(interfaceConfig)] });
  expect(warnings).toEqual([`vm "a": ${warning}`]);
  expect(its.interfaces[0]!.switch).toBe(interfaceConfig.switch === 'lan' ? 'lan' : null);
});

test('planOf() lets a start say otherwise, and a boot device end it at a reboot', () => {
  const override = { boot: '/other', initrd: '/initrd', cmdline: 'quiet' };
  expect(plan({ cmdline: 'console=ttyS0' }, override).plan).toMatchObject({
    ...override,
    noReboot: false,
  });
  expect(plan({}, { bootDevice: 'disk' }).plan.noReboot).toBe(true);
});

test('planOf() boots what has no kernel by firmware, from the device that was said last', () => {
  const config = { boot: null, cdrom: '/a.iso', bootDevice: 'disk' } as const;
  expect(plan(config).plan).toMatchObject(config);
  expect(plan(config, { bootDevice: 'cdrom' }).plan.bootDevice).toBe('cdrom');
});

test('planOf() refuses what no engine has', () => {
  expect(() => plan({ sev: 'seves' })).toThrow('vm "a" asks for seves, which no engine has.');
});
