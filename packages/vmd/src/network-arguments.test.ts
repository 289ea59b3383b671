// What a user can ask of the network, and what makes no sense.
import { expect, test } from 'vitest';
import { parseForward, parseNetwork } from './network-arguments.ts';

const network = (names: string, ...forwards: string[]) =>
  parseNetwork((name) => names.split(' ').includes(name), forwards);

test('parseNetwork() gives no network without -L, and one with NAT with it', () => {
  expect(network('')).toBeUndefined();
  expect(network('L')).toEqual({ nat: true, inet6: false, hostLoopback: false, forwards: [] });
  expect(network('L no-nat inet6')).toMatchObject({ nat: false, inet6: true });
  expect(network('L host-loopback')).toMatchObject({ hostLoopback: true });
});

test.each([
  ['inet6', [], '--inet6 needs -L.'],
  ['no-nat', [], '--no-nat needs -L.'],
  ['', ['80:80'], '-p needs -L.'],
  ['L no-nat', ['80:80'], '-p does not go with --no-nat.'],
  ['L no-nat host-loopback', [], '--host-loopback does not go with --no-nat.'],
])('parseNetwork() refuses %j with %j', (names, forwards, message) => {
  expect(() => network(names, ...forwards)).toThrow(message);
});

test('parseForward() listens on the loopback address with TCP unless told otherwise', () => {
  const loopback = new Uint8Array([127, 0, 0, 1]);
  expect(parseForward('2222:22')).toEqual({
    protocol: 'tcp',
    at: { address: loopback, port: 2222 },
    guestPort: 22,
  });
  expect(parseForward('0.0.0.0:53:53/udp')).toEqual({
    protocol: 'udp',
    at: { address: new Uint8Array(4), port: 53 },
    guestPort: 53,
  });
  expect(parseForward('[::1]:80:8080/tcp').at.address).toEqual(new Uint8Array(16).fill(1, 15));
});

test('parseForward() refuses what it is not', () => {
  const words = '80 80: :80 1:2:3:4 0:80 80:0 65536:1 1:65536 1:2/sctp x:1:2 [::1:1:2 1.2.3:1:2';
  for (const word of words.split(' ')) {
    expect(() => parseForward(word)).toThrow(/^invalid forward: /);
  }
});
