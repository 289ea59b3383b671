// The few calls of Linux and its C library that the engine needs, through koffi, an optional
// dependency. Addresses are numbers: user space ends at 2^47. Functions that can fail return what
// the C function returns, and the reason is errno() until the next call.

import { closeSync, openSync } from 'node:fs';
import { VmmError } from 'vmm';
import { type Koffi, loadKoffi } from '../koffi.ts';

type Native = (...args: (number | bigint | string)[]) => number;

/** Memory outside the JavaScript heap, by its address and as bytes. */
export interface HostMemory {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FAILED = -1;
/** Numbers of system calls that old C libraries have no functions for, x86-64. */
const SYSCALL = { gettid: 186, timer_create: 222, timer_settime: 223, timer_delete: 226 } as const;

/** sigevent(3type) and itimerspec(3type) on x86-64. */
const SIGEVENT = { signo: 8, notify: 12, threadId: 16 } as const;
const SIGEV_THREAD_ID = 4;
const CLOCK_MONOTONIC = 1;
const ITIMERSPEC = { intervalSec: 0, intervalNs: 8, valueSec: 16, valueNs: 24 } as const;

/** struct sigaction of the C library, as glibc and musl have it. */
const SIGACTION = { handler: 0, flags: 136 } as const;
const SA_ONSTACK_RESTART = 0x1800_0000;

/** The calls, once for each thread that uses them. */
export class HostCalls {
  private readonly koffi: Koffi;
  private readonly native: Record<
    'ioctl' | 'mmap' | 'munmap' | 'mincore' | 'close' | 'syscall' | 'sigaction' | 'dlsym',
    Native
  >;
  private readonly scratch: HostMemory;

  private constructor(koffi: Koffi) {
    this.koffi = koffi;
    const library = koffi.load(null);
    const declare = (name: string, result: string, ...args: string[]): Native =>
      library.func(name, result, args);
    this.native = {
      ioctl: declare('ioctl', 'int', 'int', 'uint64', 'uint64'),
      mmap: declare('mmap', 'int64', 'uint64', 'uint64', 'int', 'int', 'int', 'int64'),
      munmap: declare('munmap', 'int', 'uint64', 'uint64'),
      mincore: declare('mincore', 'int', 'uint64', 'uint64', 'uint64'),
      close: declare('close', 'int', 'int'),
      syscall: declare('syscall', 'int64', 'int64', 'int64', 'int64', 'int64', 'int64'),
      sigaction: declare('sigaction', 'int', 'int', 'uint64', 'uint64'),
      dlsym: declare('dlsym', 'uint64', 'uint64', 'str'),
    };
    this.scratch = this.allocate(4096);
  }

  /** Throws ENODEV when this host is no x86-64 Linux, or koffi is not installed. */
  static load(): HostCalls {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
      throw new VmmError('ENODEV', 'The kvm engine needs Linux on x86-64.');
    }
    return new HostCalls(loadKoffi('The kvm engine'));
  }

  /** Opens a device for reading and writing. Throws what node:fs throws. */
  open(path: string): number {
    return openSync(path, 'r+');
  }

  /** Closes what {@link open} opened. */
  closeDevice(fd: number): void {
    closeSync(fd);
  }

  /** ioctl(2); `argument` is a number or an address. */
  ioctl(fd: number, request: number, argument: number): number {
    return this.native.ioctl(fd, request, argument);
  }

  /** Closes a descriptor that {@link ioctl} made. */
  close(fd: number): void {
    this.native.close(fd);
  }

  /** The errno of the last call that failed. */
  errno(): number {
    return this.koffi.errno();
  }

  /** Zeroed memory, a whole number of pages. Throws ENOMEM. */
  allocate(sizeBytes: number): HostMemory {
    return this.map(sizeBytes, MAP_PRIVATE_ANONYMOUS, -1);
  }

  /** The pages that a descriptor gives. Throws ENOMEM. */
  mapDevice(fd: number, sizeBytes: number): HostMemory {
    return this.map(sizeBytes, MAP_SHARED, fd);
  }

  /** Gives back what {@link allocate} and {@link mapDevice} gave. Views of it must not be used. */
  unmap(memory: HostMemory): void {
    this.native.munmap(memory.address, memory.bytes.byteLength);
  }

  /** Where the bytes of a WebAssembly memory lie; they do not move. */
  addressOf(memory: WebAssembly.Memory): number {
    return Number(this.koffi.address(new Uint8Array(memory.buffer)));
  }

  /** mincore(2): one byte for each page of `sizeBytes` from `address`. False when it fails. */
  residentPages(address: number, sizeBytes: number, into: HostMemory): boolean {
    return this.native.mincore(address, sizeBytes, into.address) === 0;
  }

  /**
   * Gives `signal` a handler that does nothing, so that its arrival ends a system call. The handler
   * must not be JavaScript: it is abs(3), which takes the number of the signal and returns.
   */
  ignoreSignal(signal: number): void {
    const { address, view, bytes } = this.scratch;
    bytes.fill(0);
    view.setBigUint64(SIGACTION.handler, BigInt(this.native.dlsym(0, 'abs')), true);
    view.setInt32(SIGACTION.flags, SA_ONSTACK_RESTART, true);
    this.check(this.native.sigaction(signal, address, 0), 'sigaction');
  }

  /** A timer that sends `signal` to the calling thread. */
  createTimer(signal: number): number {
    const { address, view, bytes } = this.scratch;
    const id = 128;
    bytes.fill(0);
    view.setInt32(SIGEVENT.signo, signal, true);
    view.setInt32(SIGEVENT.notify, SIGEV_THREAD_ID, true);
    view.setInt32(SIGEVENT.threadId, this.native.syscall(SYSCALL.gettid, 0, 0, 0, 0), true);
    const { timer_create: create } = SYSCALL;
    this.check(
      this.native.syscall(create, CLOCK_MONOTONIC, address, address + id, 0),
      'timer_create',
    );
    return view.getInt32(id, true);
  }

  /** Has a timer fire every `intervalNs` (below a second), or no more when that is 0. */
  setTimer(timer: number, intervalNs: number): void {
    const { address, view } = this.scratch;
    view.setBigInt64(ITIMERSPEC.intervalSec, 0n, true);
    view.setBigInt64(ITIMERSPEC.intervalNs, BigInt(intervalNs), true);
    view.setBigInt64(ITIMERSPEC.valueSec, 0n, true);
    view.setBigInt64(ITIMERSPEC.valueNs, BigInt(intervalNs), true);
    this.check(this.native.syscall(SYSCALL.timer_settime, timer, 0, address, 0), 'timer_settime');
  }

  deleteTimer(timer: number): void {
    this.native.syscall(SYSCALL.timer_delete, timer, 0, 0, 0);
  }

  private map(sizeBytes: number, flags: number, fd: number): HostMemory {
    const address = this.native.mmap(0, sizeBytes, PROT_READ_WRITE, flags, fd, 0);
    if (address === MAP_FAILED) {
      throw new VmmError('ENOMEM', `This host cannot map ${sizeBytes} bytes for a vCPU.`);
    }
    const buffer = this.koffi.view(BigInt(address), sizeBytes);
    return { address, bytes: new Uint8Array(buffer), view: new DataView(buffer) };
  }

  private check(result: number, call: string): void {
    if (result < 0) throw new VmmError('EIO', `${call}(2) failed with errno ${this.errno()}.`);
  }
}
