// The Linux kernel's network as a guest: a network namespace with a tap device whose frames go
// through a gateway in this process, by way of tap-bridge.c. The kernel's TCP is the second
// implementation that ours is tested against.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  formatIp,
  Gateway,
  type GatewayOptions,
  LOCAL_PREFIX,
  LOCAL_PREFIX_LENGTH,
  localInterface,
  type NetBackend,
  type NetReceiver,
  type Unfinished,
} from 'vmm';
import { HeaderWork, writeHeader } from '../../vmm/src/devices/virtio/virtio-net-header.ts';
import { HostClock, HostEntropy } from '../src/host-capabilities.ts';
import { HostAlarm, NodeNetwork } from '../src/host-network.ts';

export const GUEST_MAC: Uint8Array = new Uint8Array([0xfe, 0xe1, 0xbb, 0xd1, 0x12, 0x34]);
const HEADER_BYTES = 12;
const QUEUED_BYTES_FULL = 1 << 20;

/** Why there can be no kernel guest here; undefined when there can. */
export function cannotHaveKernelGuest(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  for (const tool of ['gcc', 'ip', 'curl', 'dig', 'iperf3', 'ping', 'socat']) {
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `needs ${tool}`;
  }
  const probe = `vmm-probe-${process.pid}`;
  if (spawnSync('ip', ['netns', 'add', probe]).status !== 0) return 'needs network namespaces';
  const tap = spawnSync('ip', ['-n', probe, 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap']);
  spawnSync('ip', ['netns', 'del', probe]);
  return tap.status === 0 ? undefined : 'needs tap devices';
}

/** How frames are treated on the way. */
export interface WireOptions {
  /** Whether the kernel leaves checksums and segmentation to the gateway. */
  readonly offload?: boolean;
  /** Whether to lose this frame. */
  readonly lose?: () => boolean;
}

/** A namespace behind a gateway. */
export class KernelGuest implements NetReceiver {
  readonly namespace: string;
  readonly gateway: Gateway;
  framesIn = 0;
  private readonly child: ChildProcess;
  private readonly folder: string;
  private readonly wire: WireOptions;
  private readonly network: NetBackend;
  private pending = Buffer.alloc(0);
  private readonly work = new HeaderWork();
  private corked = false;
  private wasFull = false;

  private constructor(options: Partial<GatewayOptions>, wire: WireOptions) {
    this.wire = wire;
    this.namespace = `vmm-test-${process.pid}-${count++}`;
    this.folder = mkdtempSync(join(tmpdir(), 'kernel-guest-'));
    const clock = new HostClock();
    const { gateway, guest } = localInterface(LOCAL_PREFIX, 1, 0);
    this.gateway = new Gateway({
      clock,
      alarm: new HostAlarm(clock),
      entropy: new HostEntropy(),
      guestMac: GUEST_MAC,
      guest,
      gateway,
      prefixLength: LOCAL_PREFIX_LENGTH,
      host: new NodeNetwork(),
      hostLoopback: true,
      ...options,
    });
    this.network = this.gateway;
    const program = join(this.folder, 'tap-bridge');
    const source = fileURLToPath(new URL('./tap-bridge.c', import.meta.url));
    execFileSync('gcc', ['-O2', '-Wall', '-o', program, source]);
    execFileSync('ip', ['netns', 'add', this.namespace]);
    const words = ['netns', 'exec', this.namespace, program, 'tap0'];
    if (wire.offload) words.push('offload');
    this.child = spawn('ip', words, { stdio: ['pipe', 'pipe', 'inherit'] });
  }

  /** A guest that has its address and its route. */
  static async start(
    options: Partial<GatewayOptions> = {},
    wire: WireOptions = {},
  ): Promise<KernelGuest> {
    const it = new KernelGuest(options, wire);
    const { stdout } = it.child;
    // The program says with an empty message that the device is there.
    await new Promise<void>((resolve) => {
      stdout!.once('data', (bytes: Buffer) => {
        it.take(bytes);
        stdout!.on('data', (more: Buffer) => it.take(more));
        resolve();
      });
    });
    it.child.stdin!.on('drain', () => {
      if (it.wasFull && !it.full) it.network.resume();
    });
    it.child.stdin!.on('error', () => {});
    const { gateway, guest } = localInterface(LOCAL_PREFIX, 1, 0);
    const mac = Buffer.from(GUEST_MAC)
      .toString('hex')
      .replace(/..(?=.)/g, '$&:');
    it.ip('link set lo up');
    it.ip(`link set tap0 address ${mac} up`);
    it.ip(`addr add ${formatIp(guest)}/31 dev tap0`);
    it.ip(`route add default via ${formatIp(gateway)}`);
    it.network.attach(it);
    return it;
  }

  /** Runs ip(8) for the namespace. */
  ip(words: string): string {
    const all = ['-n', this.namespace, ...words.split(' ')];
    return execFileSync('ip', all, { encoding: 'utf8' });
  }

  /** Runs a program in the namespace, to its end. */
  run(program: string, ...words: string[]): Promise<{ status: number | null; output: string }> {
    const child = this.spawn(program, ...words);
    let output = '';
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        output += text;
      });
    }
    return new Promise((resolve) => {
      child.once('close', (status) => resolve({ status, output }));
    });
  }

  /** Starts a program in the namespace. */
  spawn(program: string, ...words: string[]): ChildProcess {
    const all = ['netns', 'exec', this.namespace, program, ...words];
    return spawn('ip', all, { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  async stop(): Promise<void> {
    this.network.attach(undefined);
    this.gateway.close();
    const ended = new Promise((resolve) => this.child.once('close', resolve));
    this.child.stdin!.end();
    await ended;
    execFileSync('ip', ['netns', 'del', this.namespace]);
    rmSync(this.folder, { recursive: true });
  }

  // The card.

  get full(): boolean {
    const full = (this.child.stdin?.writableLength ?? 0) > QUEUED_BYTES_FULL;
    if (full) this.wasFull = true;
    return full;
  }

  takesLargeFrames(): boolean {
    return this.wire.offload === true;
  }

  get takesUnfinished(): boolean {
    return this.wire.offload === true;
  }

  receive(frame: Uint8Array, unfinished: Unfinished | undefined): void {
    if (this.wire.lose?.()) return;
    const stdin = this.child.stdin!;
    if (!this.corked) {
      this.corked = true;
      stdin.cork();
      setImmediate(() => {
        this.corked = false;
        stdin.uncork();
      });
    }
    const message = Buffer.alloc(4 + HEADER_BYTES + frame.length);
    message.writeUInt32BE(HEADER_BYTES + frame.length);
    message.set(frame, 4 + HEADER_BYTES);
    writeHeader(message.subarray(4), HEADER_BYTES, frame.length, unfinished, false);
    stdin.write(message);
  }

  private take(bytes: Buffer): void {
    let all = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    while (all.length >= 4) {
      const end = 4 + all.readUInt32BE(0);
      if (all.length < end) break;
      if (end > 4 + HEADER_BYTES && !this.wire.lose?.()) {
        this.framesIn++;
        const message = all.subarray(4, end);
        this.network.send(message.subarray(HEADER_BYTES), this.work.read(message));
      }
      all = all.subarray(end);
    }
    this.pending = Buffer.from(all);
    this.network.flush();
  }
}

let count = 0;
