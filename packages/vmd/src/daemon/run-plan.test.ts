// What becomes of a vm of vm.conf(5) when it is started: the disks, interfaces and defaults that
// its process gets, what it is warned of, and what is refused.
import { expect, test } from 'vitest';
import type { InterfaceConfig, VmConfig } from '../conf/configuration.ts';
import { GLOBAL_DEFAULT } from '../conf/parse-global.ts';
import { INTERFACE_DEFAULT } from '../conf/parse-interface.ts';
import { completeVm, emptyDraft } from '../conf/vm-draft.ts';
import { type BootOverride, planOf } from './run-plan.ts';

const LOCAL = { prefix: GLOBAL_DEFAULT.localPrefix, prefix6: null };

const plan = (more: Partial<VmConfig> = {}, override: BootOverride = {}) =>
  planOf(7, { ...completeVm(emptyDraft('a', null)), boot: '/kernel', ...more }, override, LOCAL);
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

test('planOf() plugs in local interfaces that are up, and warns of what needs a switch', () => {
  const { plan: its, warnings } = plan({
    interfaces: [
      card({ local: true, lladdr: '02:00:00:00:00:01' }),
      card({ local: true, up: false }),
      card({ switch: 'uplink' }),
    ],
  });
  expect(its.interfaces).toEqual([
    { lladdr: '02:00:00:00:00:01', isPlugged: true },
    { lladdr: null, isPlugged: false },
    { lladdr: null, isPlugged: false },
  ]);
  expect(warnings).toEqual(['vm "a": only its local interfaces are plugged into anything yet.']);
  expect(plan({ interfaces: [card({ local: true })] }).warnings).toEqual([]);
  expect(plan({ interfaces: [card({ local: true, switch: 'uplink' })] }).warnings).toEqual([
    'vm "a": its local interfaces are not in a switch, for there are none yet.',
  ]);
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
