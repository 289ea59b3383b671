// The interfaces of a machine's process: who is plugged in, as whom, and who has the host's ports.
import { expect, test } from 'vitest';
import type { VmConfig } from '../conf/configuration.ts';
import { GLOBAL_DEFAULT } from '../conf/parse-global.ts';
import { INTERFACE_DEFAULT } from '../conf/parse-interface.ts';
import { completeVm, emptyDraft } from '../conf/vm-draft.ts';
import { type LocalPrefixes, planOf } from './run-plan.ts';
import { runInterfaces } from './vm-interfaces.ts';

const PREFIXES: LocalPrefixes = { prefix: GLOBAL_DEFAULT.localPrefix, prefix6: null };
const MADE = 'fe:e1:bb:d1:12:34';
const MAC = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34]);
const CARD = INTERFACE_DEFAULT;
const LOCAL = { ...CARD, local: true };

function interfaces(config: Partial<VmConfig>, prefixes = PREFIXES) {
  const whole = { ...completeVm(emptyDraft('a', null)), boot: '/kernel', ...config };
  const surroundings = {
    local: prefixes,
    switches: new Map(),
    isHostBridge: () => false,
    makeLladdr: () => MADE,
  };
  return runInterfaces(planOf(7, whole, {}, surroundings).plan, []);
}

test('runInterfaces() of a vm without interfaces gives none', () => {
  expect(interfaces({})).toEqual([]);
});

test('runInterfaces() numbers local interfaces by vm, with the network behind them', () => {
  const numbering = { prefix: { address: new Uint8Array([100, 64, 0, 0]), length: 10 }, vmId: 7 };
  const network = { numbering, nat: true, inet6: false, hostLoopback: false, forwards: [] };
  expect(interfaces({ interfaces: [CARD, LOCAL] })).toEqual([{ mac: MAC }, { mac: MAC, network }]);
});

test('runInterfaces() has the prefixes and hardware addresses of the file', () => {
  const [card] = interfaces(
    { interfaces: [{ ...LOCAL, lladdr: '0a:00:00:00:00:ff' }] },
    {
      prefix: { address: '10.0.0.0', length: 8 },
      prefix6: { address: 'fd12:3456::', length: 64 },
    },
  );
  expect(card).toMatchObject({
    mac: new Uint8Array([10, 0, 0, 0, 0, 255]),
    network: {
      inet6: true,
      numbering: {
        prefix: { address: new Uint8Array([10, 0, 0, 0]), length: 8 },
        prefix6: new Uint8Array([0xfd, 0x12, 0x34, 0x56, ...new Uint8Array(12)]),
      },
    },
  });
});

test('runInterfaces() forwards ports to the first local interface that is up', () => {
  const forward = { protocol: 'udp', hostAddress: '::1', hostPort: 53, guestPort: 5353 } as const;
  const cards = [CARD, { ...LOCAL, up: false }, LOCAL, LOCAL];
  const all = interfaces({ interfaces: cards, forwards: [forward] });
  expect(all.map(({ network }) => network?.forwards)).toEqual([
    undefined,
    undefined,
    [
      {
        protocol: 'udp',
        at: { address: new Uint8Array(16).fill(1, 15), port: 53 },
        guestPort: 5353,
      },
    ],
    [],
  ]);
});
