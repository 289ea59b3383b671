// What a guest with a gateway and a switch behind one card says to which of them.
import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { Gateway } from './gateway.ts';
import { LOCAL_PREFIX, localInterface } from './local-interface.ts';
import { Switch } from './switch.ts';
import { SwitchedGateway } from './switched-gateway.ts';
import { EchoHost, TestAlarm, TestCard } from './test-host.ts';

const GUEST_MAC = [0xfe, 0xe1, 0xbb, 0xd1, 0, 1];
const GATEWAY_MAC = [0xfa, 0xe1, 0xbb, 0xd1, 0, 1];
const PEER_MAC = [0xfe, 0xe1, 0xbb, 0xd1, 0, 2];
const ALL = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

function setUp() {
  const clock = new VirtualClock();
  const { gateway, guest } = localInterface(LOCAL_PREFIX, 1, 0);
  const bridge = new Switch({ clock });
  const peer = new TestCard();
  bridge.connect().attach(peer);
  const network = new SwitchedGateway(
    new Gateway({
      clock,
      alarm: new TestAlarm(clock),
      entropy: { fill: (bytes) => bytes.fill(7) },
      guestMac: new Uint8Array(GUEST_MAC),
      mac: new Uint8Array(GATEWAY_MAC),
      guest,
      gateway,
      prefixLength: LOCAL_PREFIX.length,
      host: new EchoHost(),
    }),
    bridge.connect(),
  );
  const card = new TestCard();
  network.attach(card);
  /** Sends a frame; says how many frames the peer and the guest got for it. */
  const send = (to: number[], type: number[], body: number[]): [number, number] => {
    network.send(Uint8Array.from([...to, ...GUEST_MAC, ...type, ...body]), undefined);
    network.flush();
    return [peer.frames.splice(0).length, card.frames.splice(0).length];
  };
  return { send };
}

const arp = (target: number[]): number[] => [
  ...[0, 1, 8, 0, 6, 4, 0, 1],
  ...GUEST_MAC,
  ...[100, 64, 1, 3],
  ...[0, 0, 0, 0, 0, 0],
  ...target,
];

test('who asks for the gateway is answered by it alone, and for others, by them', () => {
  const { send } = setUp();
  expect(send(ALL, [8, 6], arp([100, 64, 1, 2]))).toEqual([0, 1]);
  expect(send(ALL, [8, 6], arp([100, 64, 2, 3]))).toEqual([1, 0]);
});

test('what is for the gateway does not reach the switch, nor the other way round', () => {
  const { send } = setUp();
  // An echo request to the gateway's address.
  const echo = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0xb1, 0x5b, 100, 64, 1, 3, 100, 64, 1, 2];
  const body = [...echo, 8, 0, 0xf7, 0xff, 0, 0, 0, 0];
  expect(send(GATEWAY_MAC, [8, 0], body)[0]).toBe(0);
  expect(send(PEER_MAC, [8, 0], body)).toEqual([1, 0]);
});

test('a request of DHCP stays off the switch', () => {
  const { send } = setUp();
  const discover = [1, 1, 6, 0, 1, 2, 3, 4, ...new Array(20).fill(0), ...GUEST_MAC];
  const message = [...discover, ...new Array(202).fill(0), 0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255];
  const bytes = message.length + 8;
  const udp = [0, 68, 0, 67, bytes >> 8, bytes & 255, 0, 0, ...message];
  const total = 20 + udp.length;
  const ip = [
    0x45,
    0,
    total >> 8,
    total & 255,
    0,
    0,
    0,
    0,
    64,
    17,
    0,
    0,
    0,
    0,
    0,
    0,
    ...ALL.slice(2),
  ];
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += (ip[at] << 8) | ip[at + 1];
  const checksum = ~((sum & 0xffff) + (sum >> 16)) & 0xffff;
  ip[10] = checksum >> 8;
  ip[11] = checksum & 255;
  expect(send(ALL, [8, 0], [...ip, ...udp])).toEqual([0, 1]);
});
