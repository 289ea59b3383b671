// Linux's tap devices, tun(4): a network interface of the host whose other end is a file. Opening
// one takes ioctl(2), and so koffi. Frames have the header of virtio, by which the host's kernel
// leaves checksums and segmentation to the guest, and the guest to it.

import { closeSync, constants, existsSync, openSync, writeFileSync } from 'node:fs';
import { VmmError } from 'vmm/errors';
import { loadKoffi } from '../koffi.ts';

/** The header before each frame, virtio_net_hdr_v1. */
export const TAP_HEADER_BYTES = 12;

const DEVICE = '/dev/net/tun';

// linux/if_tun.h, linux/sockios.h and linux/if.h; the same on all of Linux's architectures that
// Node runs on.
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFINDEX = 0x8933;
const SIOCBRADDIF = 0x89a2;
const IFF_TAP_NO_PI_VNET_HDR = 0x0002 | 0x1000 | 0x4000;
const IFF_UP = 1;
const OFFLOADS = 1 | 2 | 4; // TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6
const AF_INET = 2;
const SOCK_DGRAM = 2;

/** struct ifreq: a name, and what is said of it. */
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

const EPERM = 1;
const EBUSY = 16;
const EINVAL = 22;

/** How a tap is to be. */
export interface TapOptions {
  /** Its name; null for the first "tapN" that is free. */
  readonly name: string | null;
  /** A bridge of the host's that it joins; null for none. */
  readonly bridge: string | null;
  /** What ip(8) shows as its alias. */
  readonly alias: string;
}

/** An open tap: it is there as long as the descriptor, unless somebody made it persistent. */
export interface Tap {
  readonly fd: number;
  readonly name: string;
}

/** Whether the host has a bridge of this name. */
export function isHostBridge(name: string): boolean {
  return existsSync(`/sys/class/net/${name}/bridge`);
}

/** Opens a tap, and has it up. VmmError with the reason when it cannot be had. */
export function openTap({ name, bridge, alias }: TapOptions): Tap {
  if (process.platform !== 'linux') throw new VmmError('ENODEV', 'A tap needs Linux.');
  const calls = new TapCalls();
  const fd = openDevice();
  try {
    const given = calls.name(fd, name ?? 'tap%d');
    calls.setUp(fd, given);
    if (bridge !== null) calls.join(given, bridge);
    writeAlias(given, alias);
    return { fd, name: given };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function openDevice(): number {
  try {
    return openSync(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') {
      throw new VmmError('EPERM', `${DEVICE} may not be opened: permission denied.`, { cause });
    }
    const isAbsent = code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO';
    const reason = isAbsent ? "the host's kernel has no module tun" : message;
    throw new VmmError('ENODEV', `${DEVICE} cannot be opened: ${reason}.`, { cause });
  }
}

function writeAlias(name: string, alias: string): void {
  try {
    writeFileSync(`/sys/class/net/${name}/ifalias`, alias);
  } catch {
    // It is for people, and sysfs may be that of another network namespace.
  }
}

/** The system calls. */
class TapCalls {
  private readonly ioctl: (fd: number, request: number, argument: Uint8Array) => number;
  private readonly ioctlNumber: (fd: number, request: number, argument: number) => number;
  private readonly socket: (family: number, type: number, protocol: number) => number;
  private readonly errno: () => number;

  constructor() {
    const koffi = loadKoffi('A tap');
    const library = koffi.load(null);
    this.ioctl = library.func('ioctl', 'int', ['int', 'ulong', 'void *']);
    this.ioctlNumber = library.func('ioctl', 'int', ['int', 'ulong', 'ulong']);
    this.socket = library.func('socket', 'int', ['int', 'int', 'int']);
    this.errno = () => koffi.errno();
  }

  /** Gives the descriptor its interface; returns the interface's name. */
  name(fd: number, wanted: string): string {
    const request = interfaceRequest(wanted);
    new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TAP_NO_PI_VNET_HDR, true);
    if (this.ioctl(fd, TUNSETIFF, request) >= 0) {
      return Buffer.from(request.subarray(0, IFNAMSIZ)).toString().replace(/\0.*$/s, '');
    }
    const called = wanted.replace('%d', '');
    switch (this.errno()) {
      case EPERM:
        throw new VmmError(
          'EPERM',
          `No ${called} can be opened: that needs the capability CAP_NET_ADMIN, or a tap of this ` +
            'user\'s, made by "ip tuntap add mode tap user".',
        );
      case EBUSY:
        throw new VmmError('EBUSY', `${called} is in use.`);
      case EINVAL:
        throw new VmmError('EINVAL', `${called} is an interface of another kind.`);
      default:
        throw new VmmError('EIO', `No ${called} can be opened: errno ${this.errno()}.`);
    }
  }

  setUp(fd: number, name: string): void {
    const size = new Uint8Array(Int32Array.of(TAP_HEADER_BYTES).buffer);
    this.check(this.ioctl(fd, TUNSETVNETHDRSZ, size), `${name} has no header of virtio`);
    this.check(this.ioctlNumber(fd, TUNSETOFFLOAD, OFFLOADS), `${name} has no offloads`);
    this.withSocket((socket) => {
      const request = interfaceRequest(name);
      const view = new DataView(request.buffer);
      this.check(this.ioctl(socket, SIOCGIFFLAGS, request), `${name} has no flags`);
      const flags = view.getUint16(IFNAMSIZ, true);
      if ((flags & IFF_UP) !== 0) return;
      view.setUint16(IFNAMSIZ, flags | IFF_UP, true);
      // Who may only use it leaves that to who has made it.
      this.ioctl(socket, SIOCSIFFLAGS, request);
    });
  }

  join(name: string, bridge: string): void {
    this.withSocket((socket) => {
      const port = interfaceRequest(name);
      this.check(this.ioctl(socket, SIOCGIFINDEX, port), `${name} has no number`);
      const request = interfaceRequest(bridge);
      request.set(port.subarray(IFNAMSIZ, IFNAMSIZ + 4), IFNAMSIZ);
      // It is a member already, if it is persistent.
      if (this.ioctl(socket, SIOCBRADDIF, request) >= 0 || this.errno() === EBUSY) return;
      this.check(-1, `${name} cannot join the bridge ${bridge}`);
    });
  }

  private withSocket(use: (socket: number) => void): void {
    const socket = this.socket(AF_INET, SOCK_DGRAM, 0);
    this.check(socket, 'there is no socket for ioctl(2)');
    try {
      use(socket);
    } finally {
      closeSync(socket);
    }
  }

  private check(result: number, what: string): void {
    if (result >= 0) return;
    const errno = this.errno();
    const reason = errno === EPERM ? 'permission denied' : `errno ${errno}`;
    throw new VmmError(errno === EPERM ? 'EPERM' : 'EIO', `${what}: ${reason}.`);
  }
}

function interfaceRequest(name: string): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(Buffer.from(name).subarray(0, IFNAMSIZ - 1));
  return request;
}
