// The gateway against the Linux kernel's network stack and the programs that everybody uses, in a
// network namespace behind it (kernel-guest.ts).
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Endpoint, type GatewayOptions, parseIp } from 'vmm';
import { NodeNetwork } from '../src/host-network.ts';
import { cannotHaveKernelGuest, KernelGuest, type WireOptions } from './kernel-guest.ts';

const GATEWAY = '100.64.1.2';
const MB = 1 << 20;
const reason = cannotHaveKernelGuest();
const suite = reason === undefined ? describe : describe.skip;
const title = (text: string): string => (reason === undefined ? text : `${text} (${reason})`);

const portOf = (server: Server | HttpServer): number => (server.address() as AddressInfo).port;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function listening<S extends Server | HttpServer>(server: S): Promise<S> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** Serves `content` for GET, and answers PUT with the checksum of what came. */
function fileServer(content: Uint8Array): Promise<HttpServer> {
  return listening(
    createHttpServer((request, response) => {
      if (request.method !== 'PUT') {
        response.end(content);
        return;
      }
      const hash = createHash('sha256');
      request.on('data', (bytes: Buffer) => hash.update(bytes));
      request.on('end', () => response.end(hash.digest('hex')));
    }),
  );
}

/** A generator of numbers from 0 to 1 that is the same for the same seed: xorshift. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** A guest that goes away with the test. */
async function guestOfTest(
  options: Partial<GatewayOptions>,
  wire?: WireOptions,
): Promise<KernelGuest> {
  const guest = await KernelGuest.start(options, wire);
  onTestFinished(() => guest.stop());
  return guest;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kernel-gateway-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

suite.each([
  ['with finished frames', false],
  ['with offloads', true],
])(title('a kernel %s'), (_, offload) => {
  let guest: KernelGuest;
  beforeAll(async () => {
    guest = await KernelGuest.start({}, { offload });
  });
  afterAll(() => guest.stop());

  test('pings the gateway, with fragments too', async () => {
    for (const size of ['56', '4000', '20000']) {
      const words = ['-c', '3', '-i', '0.01', '-w', '10', '-s', size, GATEWAY];
      const { status, output } = await guest.run('ping', ...words);
      expect(output).toContain('3 received, 0% packet loss');
      expect(status).toBe(0);
    }
  });

  test('gets and puts 100 MB unharmed', async () => {
    const content = randomBytes(100 * MB);
    const server = await fileServer(content);
    const path = join(folder, 'content');
    writeFileSync(path, content);
    const url = `http://${GATEWAY}:${portOf(server)}/`;
    const script = `curl -sS ${url} | sha256sum`;
    expect((await guest.run('sh', '-c', script)).output).toBe(`${sha256(content)}  -\n`);
    expect((await guest.run('curl', '-sS', '-T', path, url)).output).toBe(sha256(content));
    server.close();
  }, 120_000);

  test('runs iperf3 both ways, with one connection and with eight', async () => {
    const iperf = startIperf(offload ? 5202 : 5201);
    onTestFinished(() => void iperf.child.kill());
    await iperf.ready;
    for (const words of [[], ['-R'], ['-P', '8'], ['-P', '8', '-R'], ['-P', '4', '--bidir']]) {
      const all = ['-c', GATEWAY, '-p', `${iperf.port}`, '-t', '1', '-J', ...words];
      const { status, output } = await guest.run('iperf3', ...all);
      expect(status, output.slice(-500)).toBe(0);
      const { end } = JSON.parse(output);
      const rate = Math.round(end.sum_received.bits_per_second / 8e6);
      process.stdout.write(`iperf3 ${offload ? 'offload ' : ''}${words.join(' ')}: ${rate} MB/s\n`);
      // A loaded machine is slow; a gateway that has come to a halt passes nothing.
      expect(end.sum_received.bytes).toBeGreaterThan(0);
    }
  }, 60_000);

  test('makes many connections, one after the other and at once', async () => {
    const server = await fileServer(Buffer.from('small'));
    const url = `http://${GATEWAY}:${portOf(server)}/[1-300]`;
    const one = ['-sS', '-H', 'Connection: close', url];
    const { output } = await guest.run('curl', ...one);
    expect(output.split('small').length - 1).toBe(300);
    const parallel = await guest.run('curl', '-Z', '--parallel-max', '100', ...one);
    expect(parallel.output.split('small').length - 1).toBe(300);
    server.close();
  }, 60_000);
});

/** An iperf3 server on the host's loopback address. */
function startIperf(port: number): { child: ChildProcess; port: number; ready: Promise<void> } {
  const words = ['-s', '-B', '127.0.0.1', '-p', `${port}`, '--forceflush'];
  const child = spawn('iperf3', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ready = new Promise<void>((resolve) => {
    child.stdout!.on('data', (text: Buffer) => {
      if (String(text).includes('listening')) resolve();
    });
  });
  return { child, port, ready };
}

suite(title('a kernel'), () => {
  let guest: KernelGuest;
  beforeAll(async () => {
    guest = await KernelGuest.start();
  });
  afterAll(() => guest.stop());

  test('closes one direction, and goes on receiving', async () => {
    // Answers only after the end of the request, with its length.
    const server = await listening(
      createServer({ allowHalfOpen: true }, (socket) => {
        let length = 0;
        socket.on('data', (bytes) => {
          length += bytes.length;
        });
        socket.on('end', () => socket.end(`${length}\n`.padEnd(1 * MB, '.')));
      }),
    );
    const script = `head -c 1000000 /dev/zero |
      socat -t 20 - TCP:${GATEWAY}:${portOf(server)} | (read line; echo $line; wc -c)`;
    const { output } = await guest.run('sh', '-c', script);
    expect(output.trim().split(/\s+/)).toEqual(['1000000', `${MB - '1000000\n'.length}`]);
    server.close();
  });

  test('is reset when the peer resets, and the peer when the kernel does', async () => {
    const server = await listening(createServer());
    const to = `TCP:${GATEWAY}:${portOf(server)}`;
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const first = guest.spawn('socat', '-d', '-d', '-', to);
    first.stdin!.write('x');
    const [socket] = await accepted;
    await once(socket, 'data');
    const said = textOf(first.stderr!);
    socket.resetAndDestroy();
    expect(await said).toContain('Connection reset by peer');

    const again = once(server, 'connection') as Promise<[Socket]>;
    // With a linger time of 0, the end of the process resets.
    const second = guest.spawn('socat', '-u', '-', `${to},linger=0`);
    second.stdin!.write('x');
    const [other] = await again;
    await once(other, 'data');
    const error = new Promise((resolve) => other.once('error', resolve));
    second.kill('SIGKILL');
    expect(await error).toMatchObject({ code: 'ECONNRESET' });
    server.close();
  });

  test('is refused where nobody listens, and told what may not be reached', async () => {
    const server = await listening(createServer());
    const port = portOf(server);
    server.close();
    const tell = async (to: string): Promise<string> =>
      (await guest.run('socat', '-u', `TCP:${to},connect-timeout=5`, '-')).output;
    expect(await tell(`${GATEWAY}:${port}`)).toContain('Connection refused');
    expect(await tell('169.254.169.254:80')).toContain('No route to host');
    const script = `echo x | socat -T 5 -t 5 - UDP:${GATEWAY}:${port}`;
    expect((await guest.run('sh', '-c', script)).output).toContain('Connection refused');
  });

  test('loses no data when the peer is slow, either way', async () => {
    const content = randomBytes(24 * MB);
    const received = createHash('sha256');
    const server = await listening(
      createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('data', (bytes: Buffer) => {
          received.update(bytes);
          socket.pause();
          setImmediate(() => setTimeout(() => socket.resume(), 1));
        });
        socket.on('end', () => socket.end(received.digest('hex')));
      }),
    );
    const path = join(folder, 'slow');
    writeFileSync(path, content);
    const to = `TCP:${GATEWAY}:${portOf(server)}`;
    const script = `socat -t 20 - ${to} < ${path}`;
    expect((await guest.run('sh', '-c', script)).output).toBe(sha256(content));
    server.close();

    const source = await fileServer(content);
    const limited = `curl -sS --limit-rate 12M http://${GATEWAY}:${portOf(source)}/ | sha256sum`;
    expect((await guest.run('sh', '-c', limited)).output).toContain(sha256(content));
    source.close();
  }, 60_000);

  test('exchanges datagrams of all sizes, fragmented where need be', async () => {
    const socket = createSocket('udp4', (bytes, { port }) => socket.send(bytes, port, '127.0.0.1'));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    for (const size of [1, 1472, 1473, 9000, 60000]) {
      const to = `UDP:${GATEWAY}:${socket.address().port}`;
      const script = `head -c ${size} /dev/zero | socat -b 65000 -T 2 -t 1 - ${to} | wc -c`;
      expect((await guest.run('sh', '-c', script)).output.trim()).toBe(`${size}`);
    }
    socket.close();
  }, 30_000);

  test('is reached by forwarded ports, TCP and UDP', async () => {
    const address = new Uint8Array([127, 0, 0, 1]);
    await guest.gateway.forwardTcp({ address, port: 5299 }, 8000);
    await guest.gateway.forwardUdp({ address, port: 5299 }, 8000);
    const tcp = guest.spawn('socat', '-d', '-d', 'TCP-LISTEN:8000,fork', 'EXEC:cat');
    await once(tcp.stderr!, 'data');
    const content = randomBytes(3 * MB);
    const echoed: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port: 5299, allowHalfOpen: true });
    socket.on('data', (bytes: Buffer) => echoed.push(bytes));
    socket.end(content);
    await once(socket, 'end');
    expect(sha256(Buffer.concat(echoed))).toBe(sha256(content));
    tcp.kill();

    const udp = guest.spawn('socat', '-d', '-d', 'UDP-LISTEN:8000,fork', 'EXEC:cat');
    await once(udp.stderr!, 'data');
    const peer = createSocket('udp4');
    const answer = once(peer, 'message');
    peer.send('hello', 5299, '127.0.0.1');
    expect(String((await answer)[0])).toBe('hello');
    peer.close();
    udp.kill();

    // Nobody listens any more; the connection was accepted before that was known.
    const refused = connect({ host: '127.0.0.1', port: 5299 });
    refused.on('error', () => {});
    refused.resume();
    if (!refused.closed) await new Promise((resolve) => refused.once('close', resolve));
    expect(refused.bytesRead).toBe(0);
  }, 30_000);
});

suite(title('a kernel whose frames get lost'), () => {
  const cases = [
    [0.01, 4 * MB],
    [0.1, MB / 2],
  ];
  test.each(cases)(
    'gets and puts a file unharmed with %d of them gone',
    async (rate, bytes) => {
      const seed = randomBytes(4).readUInt32LE();
      process.stdout.write(`loss seed ${seed}\n`);
      const number = random(seed);
      const guest = await guestOfTest({}, { lose: () => number() < rate });
      const content = randomBytes(bytes);
      const server = await fileServer(content);
      const path = join(folder, 'lossy');
      writeFileSync(path, content);
      const url = `http://${GATEWAY}:${portOf(server)}/`;
      const get = await guest.run('sh', '-c', `curl -sS ${url} | sha256sum`);
      expect(get.output).toBe(`${sha256(content)}  -\n`);
      expect((await guest.run('curl', '-sS', '-T', path, url)).output).toBe(sha256(content));
      server.close();
    },
    120_000,
  );
});

suite(title('a kernel with IPv6'), () => {
  test('configures itself from advertisements, and reaches what IPv4 does', async () => {
    const gateway6 = parseIp('fd12:3456:789a:1::1')!;
    const guest = await guestOfTest({ gateway6 });
    const server = createHttpServer((_, response) => response.end(content));
    const content = randomBytes(10 * MB);
    server.listen(0, '::1');
    await once(server, 'listening');
    const wait = 'until ip -6 route | grep -q "^default via fe80"; do :; done';
    const dad =
      'until ip -6 addr show dev tap0 scope global | grep -v tentative | grep fd12; do :; done';
    await guest.run('sh', '-c', `${wait}; ${dad}`);
    const ping = await guest.run(
      'ping',
      '-c',
      '2',
      '-i',
      '0.01',
      '-s',
      '3000',
      'fd12:3456:789a:1::1',
    );
    expect(ping.output).toContain('2 received');
    const url = `http://[fd12:3456:789a:1::1]:${portOf(server)}/`;
    const get = await guest.run('sh', '-c', `curl -sS -g '${url}' | sha256sum`);
    expect(get.output).toBe(`${sha256(content)}  -\n`);
    const closed = await guest.run('socat', '-u', 'TCP:[fd12:3456:789a:1::1]:1', '-');
    expect(closed.output).toContain('Connection refused');
    server.close();
  }, 30_000);
});

suite(title('a kernel without NAT'), () => {
  test('has a gateway that answers pings, and nothing behind it', async () => {
    const guest = await guestOfTest({ host: undefined });
    const { output } = await guest.run('ping', '-c', '1', '-w', '5', GATEWAY);
    expect(output).toContain('1 received');
    const away = await guest.run('ping', '-c', '1', '-w', '5', '192.0.2.1');
    expect(away.output).toContain('Packet filtered');
    const web = await guest.run('socat', '-u', 'TCP:192.0.2.1:80,connect-timeout=5', '-');
    expect(web.output).toContain('No route to host');
  }, 30_000);
});

/** The host's network, but for its resolvers. */
class OtherResolvers extends NodeNetwork {
  private readonly endpoints: readonly Endpoint[];

  constructor(endpoints: readonly Endpoint[]) {
    super();
    this.endpoints = endpoints;
  }

  override nameservers(): readonly Endpoint[] {
    return this.endpoints;
  }
}

/** The answer to a query: 192.0.2.7, for whatever it asks. */
function dnsAnswer(query: Buffer): Buffer {
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(1, 6);
  head.writeUInt32BE(0, 8);
  const end = query.indexOf(0, 12) + 5;
  const record = Buffer.from('c00c000100010000003c0004c0000207', 'hex');
  return Buffer.concat([head, query.subarray(12, end), record]);
}

suite(title('a kernel with resolvers'), () => {
  const loopback = new Uint8Array([127, 0, 0, 1]);

  test('asks the one that answers, over UDP and TCP', async () => {
    const udp = createSocket('udp4', (query, { port }) => {
      udp.send(dnsAnswer(query), port, '127.0.0.1');
    });
    udp.bind(0, '127.0.0.1');
    await once(udp, 'listening');
    const { port } = udp.address();
    const tcp = createServer((socket) => {
      socket.once('data', (bytes: Buffer) => {
        const answer = dnsAnswer(bytes.subarray(2));
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        socket.end(Buffer.concat([length, answer]));
      });
    });
    tcp.listen(port, '127.0.0.1');
    await once(tcp, 'listening');
    const closed = await closedPort();
    const works = { address: loopback, port };
    const refuses = { address: loopback, port: closed };
    for (const [servers, words, expected] of [
      [[works], [], '192.0.2.7'],
      [[refuses, works], [], '192.0.2.7'],
      [[works], ['+tcp'], '192.0.2.7'],
      [[refuses, refuses], [], 'status: SERVFAIL'],
      [[], [], 'status: SERVFAIL'],
    ] as const) {
      const guest = await guestOfTest({ host: new OtherResolvers(servers) });
      const all = ['+tries=1', '+time=9', ...words, `@${GATEWAY}`, 'www.example'];
      expect((await guest.run('dig', ...all)).output).toContain(expected);
      expect(guest.gateway.sizes.dns).toBe(0);
    }
    udp.close();
    tcp.close();
  }, 30_000);
});

/** A port that nobody has, of UDP. */
async function closedPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

/** All that a stream says. */
async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  let text = '';
  for await (const bytes of stream) text += bytes;
  return text;
}
