// A real guest on a local interface: Debian's kernel and busybox, which get their address by
// DHCP, and a server of the test's own on the host's loopback address.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { COMMAND_LINE, type Guest, prepareGuest } from './guest.ts';
import { startVmctl } from './vmctl-process.ts';

const PROMPT = 'guest:/root# ';
const GATEWAY = '100.64.1.2';

let guest: Guest;
beforeAll(() => {
  guest = prepareGuest();
}, 300_000);

/** A guest's shell: types a line, and waits for what comes before the next prompt. */
class Shell {
  private readonly child: ReturnType<typeof startVmctl>;
  private seen = '';
  private wake: () => void = () => {};

  constructor(disk: string, options: readonly string[]) {
    const words = ['--jit', 'on', '-t', '280', ...options];
    const commandLine = `${COMMAND_LINE} quiet`;
    this.child = startVmctl(guest, disk, commandLine, words, ['pipe', 'pipe', 'inherit']);
    this.child.stdout!.setEncoding('latin1');
    this.child.stdout!.on('data', (text: string) => {
      this.seen += text;
      this.wake();
    });
    this.child.once('exit', () => this.wake());
  }

  /** Waits for `text`; returns what came before it. */
  async until(text: string): Promise<string> {
    for (;;) {
      const at = this.seen.indexOf(text);
      if (at >= 0) {
        const before = this.seen.slice(0, at);
        this.seen = this.seen.slice(at + text.length);
        return before;
      }
      if (this.child.exitCode !== null) throw new Error(`the guest has ended: ${this.seen}`);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  async run(line: string): Promise<string> {
    this.child.stdin!.write(`${line}\n`);
    return this.until(PROMPT);
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exit = once(this.child, 'exit');
    this.child.kill('SIGTERM');
    await exit;
  }
}

/** A port that nobody has at the moment. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

test('a guest gets its address by DHCP, and reaches the host as far as it may', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'guest-network-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const disk = join(folder, 'disk.img');
  copyFileSync(guest.disk, disk);
  // Text, since busybox's wget sends a file up to the first zero.
  const content = Buffer.from(randomBytes(6 << 20).toString('base64'));
  const digest = createHash('md5').update(content).digest('hex');
  const hash = createHash('md5');
  const server = createServer((request, response) => {
    request.on('data', (bytes: Buffer) => hash.update(bytes));
    request.on('end', () => response.end(request.method === 'POST' ? 'thanks' : content));
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const forwarded = await freePort();
  const options = ['-L', '--inet6', '--host-loopback', '-p', `${forwarded}:8000`];
  const shell = new Shell(disk, options);
  onTestFinished(() => shell.end());
  await shell.until(PROMPT);

  expect(await shell.run('ip addr show eth0')).toContain('inet 100.64.1.3/31');
  expect(await shell.run('cat /etc/resolv.conf')).toContain(`nameserver ${GATEWAY}`);
  expect(await shell.run(`ping -c 2 ${GATEWAY}`)).toContain('2 packets received');
  const url = `http://${GATEWAY}:${port}/`;
  expect(await shell.run(`wget -q -O /tmp/content ${url}; md5sum </tmp/content`)).toContain(digest);
  expect(await shell.run(`wget -q -O - --post-file /tmp/content ${url}`)).toContain('thanks');
  expect(hash.digest('hex')).toBe(digest);
  // Whatever the host's resolvers say of a name that RFC 6761 says does not exist: an answer.
  expect(await shell.run('nslookup name.invalid')).toMatch(/NXDOMAIN|SERVFAIL|REFUSED|can't find/);
  // The kernel asks for a router when it likes to.
  await shell.run(
    'i=0; until ip -6 route | grep -q default || [ $i = 20 ]; do sleep 1; i=$((i+1)); done',
  );
  expect(await shell.run('ip -6 route')).toMatch(/default via fe80:/);

  await shell.run('nc -l -p 8000 -e cat &');
  await shell.run("until netstat -ltn | grep -q ':8000 '; do :; done");
  const socket = connect(forwarded, '127.0.0.1');
  socket.write('hello');
  const [echoed] = await once(socket, 'data');
  expect(String(echoed)).toBe('hello');
  socket.destroy();
}, 300_000);

test('a guest without a network has no cable', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'guest-network-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const disk = join(folder, 'disk.img');
  copyFileSync(guest.disk, disk);
  const shell = new Shell(disk, []);
  onTestFinished(() => shell.end());
  await shell.until(PROMPT);
  expect(await shell.run('cat /sys/class/net/eth0/carrier')).toMatch(/\n0\r\n/);
}, 300_000);
