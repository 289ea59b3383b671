// From IEEE 802.1D, section 7, and vm.conf(5), "locked lladdr".
import { expect, test } from 'vitest';
import { VirtualClock } from '../base/clock.ts';
import { Switch } from './switch.ts';
import { TestCard } from './test-host.ts';

const station = (last: number): number[] => [2, 0, 0, 0, 0, last];
const ALL = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

function setUp(locked?: number) {
  const clock = new VirtualClock();
  const bridge = new Switch({ clock });
  const lock = locked === undefined ? undefined : new Uint8Array(station(locked));
  const ports = [bridge.connect({ lockedMac: lock }), bridge.connect(), bridge.connect()];
  const cards = ports.map((port) => {
    const card = new TestCard();
    port.attach(card);
    return card;
  });
  /** Sends a frame on a port; says on which others it came out. */
  const send = (port: number, from: number[], to: number[], length = 60): number[] => {
    const frame = new Uint8Array(length);
    frame.set(to);
    frame.set(from, 6);
    ports[port].send(frame, undefined);
    return cards.flatMap((card, index) => card.frames.splice(0).map(() => index));
  };
  return { clock, bridge, ports, send };
}

test('a frame for an unknown station goes to all other ports, one for a known to its own', () => {
  const { send } = setUp();
  expect(send(0, station(1), station(2))).toEqual([1, 2]);
  expect(send(1, station(2), station(1))).toEqual([0]);
  expect(send(0, station(1), station(2))).toEqual([1]);
  // Both behind the same port.
  expect(send(0, station(3), station(1))).toEqual([]);
});

test('groups are flooded, and never learned as a source', () => {
  const { bridge, send } = setUp();
  expect(send(0, station(1), ALL)).toEqual([1, 2]);
  expect(send(1, ALL, station(1))).toEqual([0]);
  expect(bridge.size).toBe(1);
});

test('a station that moves is found at its new port, and a silent one is forgotten', () => {
  const { clock, send } = setUp();
  send(0, station(1), ALL);
  send(2, station(1), ALL);
  expect(send(1, station(2), station(1))).toEqual([2]);
  clock.advance(241e9);
  expect(send(1, station(2), station(1))).toEqual([0, 2]);
});

test('a locked port takes frames of its own address only', () => {
  const { bridge, send } = setUp(1);
  expect(send(0, station(2), ALL)).toEqual([]);
  expect(bridge.size).toBe(0);
  expect(send(0, station(1), ALL)).toEqual([1, 2]);
});

test('a port that is taken away is neither sent to nor heard', () => {
  const { bridge, ports, send } = setUp();
  send(1, station(2), ALL);
  bridge.disconnect(ports[1]);
  expect(send(0, station(1), station(2))).toEqual([2]);
  expect(send(1, station(2), station(1))).toEqual([]);
});

test('frames are of 14 to 1518 bytes', () => {
  const { send } = setUp();
  expect(send(0, station(1), ALL, 1518)).toEqual([1, 2]);
  expect(send(0, station(1), ALL, 1519)).toEqual([]);
  const { ports } = setUp();
  ports[0].send(new Uint8Array(13), undefined);
});

test('isolated ports exchange nothing, by flooding or with a station that is known', () => {
  const bridge = new Switch({ clock: new VirtualClock() });
  const ports = [true, true, false].map((isIsolated) => bridge.connect({ isIsolated }));
  const cards = ports.map((port) => {
    const card = new TestCard();
    port.attach(card);
    return card;
  });
  const send = (port: number, from: number[], to: number[]): number[] => {
    ports[port].send(Uint8Array.from([...to, ...from, ...new Array(48).fill(0)]), undefined);
    return cards.flatMap((card, index) => card.frames.splice(0).map(() => index));
  };
  expect(send(0, station(1), ALL)).toEqual([2]);
  expect(send(1, station(2), station(1))).toEqual([]);
  expect(send(2, station(3), station(1))).toEqual([0]);
  expect(send(2, station(3), ALL)).toEqual([0, 1]);
});

test('unfinished frames are finished for cards that do not take them, and for no others', () => {
  const bridge = new Switch({ clock: new VirtualClock() });
  const [from, plain, offloading] = [bridge.connect(), bridge.connect(), bridge.connect()];
  const cards = [new TestCard(), new TestCard()];
  plain.attach(cards[0]);
  offloading.attach(cards[1]);
  cards[1].large = true;
  const frame = new Uint8Array(54 + 3000);
  frame.set([...ALL, ...station(1), 8, 0, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
  frame[34 + 12] = 0x50;
  const unfinished = { checksumStart: 34, checksumOffset: 16, segmentBytes: 1460 };
  from.send(frame, unfinished);
  expect(cards[0].frames.map(({ length }) => length)).toEqual([1514, 1514, 134]);
  expect(cards[0].unfinished).toEqual([undefined, undefined, undefined]);
  expect(cards[1].frames).toEqual([frame]);
  expect(cards[1].unfinished).toEqual([unfinished]);
  // As large without being a segment, or one whose checksum would lie elsewhere.
  from.send(frame, undefined);
  from.send(frame, { ...unfinished, segmentBytes: 0 });
  from.send(frame, { ...unfinished, checksumStart: 5000 });
  expect(cards[0].frames.length + cards[1].frames.length).toBe(4);
});
