// The host's own sockets are the oracle.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { formatIp, type StreamEvents } from 'vmm';
import { NodeNetwork } from './host-network.ts';
import { parseResolvConf } from './resolv-conf.ts';

const LOOPBACK = new Uint8Array([127, 0, 0, 1]);

/** Events written down by name, with what they tell. */
function logged(log: string[]): StreamEvents & { closing: Promise<void> } {
  let done: () => void;
  const closing = new Promise<void>((resolve) => {
    done = resolve;
  });
  return {
    closing,
    connected: () => log.push('connected'),
    received: (bytes) => log.push(`received ${new TextDecoder().decode(bytes)}`),
    written: (count) => log.push(`written ${count}`),
    ended: () => log.push('ended'),
    failed: (reason) => log.push(`failed: ${reason}`),
    closed: () => {
      log.push('closed');
      done();
    },
  };
}

test('a connection tells what happens to it, and is half-open after one end', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', () => {});
    socket.on('end', () => socket.end('bye'));
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const log: string[] = [];
  const events = logged(log);
  const stream = new NodeNetwork().connectTcp({ address: LOOPBACK, port }, events);
  stream.write(new TextEncoder().encode('hello'));
  stream.end();
  await events.closing;
  expect(log).toEqual(['connected', 'written 5', 'received bye', 'ended', 'closed']);
});

test('a port where nobody listens refuses, over TCP and UDP', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  const log: string[] = [];
  const events = logged(log);
  new NodeNetwork().connectTcp({ address: LOOPBACK, port }, events);
  await events.closing;
  expect(log).toEqual(['failed: refused', 'closed']);
  const reason = await new Promise((failed) => {
    const to = { address: LOOPBACK, port };
    const socket = new NodeNetwork().openUdp(to, { received: () => {}, failed });
    onTestFinished(() => socket.close());
    socket.send(new Uint8Array(1));
  });
  expect(reason).toBe('refused');
});

test('an address that cannot be listened on is refused with one sentence', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void taken.close());
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const network = new NodeNetwork();
  await expect(
    network.listenTcp({ address: LOOPBACK, port }, () => undefined),
  ).rejects.toMatchObject({
    code: 'EBUSY',
    message: `Cannot listen on TCP 127.0.0.1:${port}: it is in use.`,
  });
  const foreign = { address: new Uint8Array([192, 0, 2, 1]), port: 5000 };
  await expect(network.listenUdp(foreign, () => {})).rejects.toMatchObject({
    code: 'EINVAL',
    message: 'Cannot listen on UDP 192.0.2.1:5000: the host has no such address.',
  });
});

test('a datagram sent before the socket is connected is not lost', async () => {
  const peer = createSocket('udp4', (bytes, { port }) => peer.send(bytes, port, '127.0.0.1'));
  onTestFinished(() => void peer.close());
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = new NodeNetwork().openUdp(
      { address: LOOPBACK, port: peer.address().port },
      { received: (bytes) => resolve(new TextDecoder().decode(bytes)), failed: reject },
    );
    onTestFinished(() => socket.close());
    socket.send(new TextEncoder().encode('hello'));
  });
  expect(answer).toBe('hello');
});

test('resolvers are those of resolv.conf(5), three at most, else the local host', () => {
  const text = `# a comment
domain example
nameserver 192.0.2.1
  nameserver 2001:db8::1 # the other
nameserver fe80::1%eth0
nameserver nonsense
nameserver 192.0.2.3
nameserver 192.0.2.4`;
  const found = parseResolvConf(text).map(formatIp);
  expect(found).toEqual(['192.0.2.1', '2001:db8::1', '192.0.2.3']);
  const folder = mkdtempSync(join(tmpdir(), 'resolv-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'resolv.conf');
  const servers = (): string[] =>
    new NodeNetwork(path).nameservers().map(({ address, port }) => `${formatIp(address)} ${port}`);
  expect(servers()).toEqual(['127.0.0.1 53']);
  writeFileSync(path, 'nameserver 192.0.2.9\n');
  expect(servers()).toEqual(['192.0.2.9 53']);
});
