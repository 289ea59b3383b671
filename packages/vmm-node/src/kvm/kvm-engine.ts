// The kvm engine: vCPUs that run on the host's processor by way of Linux's KVM, through koffi.
// Guest RAM is the same WebAssembly memory as with the soft engine, so that devices and virtio
// backends in other threads are the same; interrupt controllers and timers are the machine's own,
// not KVM's. RAM is what WebAssembly can address: a machine of more is not given.

import { type Engine, type EngineVm, VmmError } from 'vmm';
import { HostCalls } from './host-calls.ts';
import { KVM_CAP, KVM_CONSTANT, KVM_REQUEST } from './ioctl-numbers.ts';
import { supportedCpuid } from './kvm-cpuid.ts';
import { KvmVcpu } from './kvm-vcpu.ts';
import { type KvmHost, KvmVm, tooOld } from './kvm-vm.ts';
import { SliceTimer } from './slice-timer.ts';

/** The device of Linux's KVM. */
export const KVM_DEVICE = '/dev/kvm';

const NEEDED = [
  'KVM_CAP_VCPU_EVENTS',
  'KVM_CAP_DEBUGREGS',
  'KVM_CAP_GET_TSC_KHZ',
  'KVM_CAP_SYNC_REGS',
  'KVM_CAP_READONLY_MEM',
  'KVM_CAP_IMMEDIATE_EXIT',
  'KVM_CAP_X86_USER_SPACE_MSR',
  'KVM_CAP_X86_MSR_FILTER',
] as const;

/** What to do about an error of opening the device. */
const REFUSALS: Partial<Record<string, readonly ['ENODEV' | 'EACCES' | 'EBUSY', string]>> = {
  ENOENT: [
    'ENODEV',
    `This host has no ${KVM_DEVICE}: load the module kvm_intel or kvm_amd, and see that ` +
      'virtualization is enabled in its firmware.',
  ],
  EACCES: [
    'EACCES',
    `You may not use ${KVM_DEVICE}: become a member of its group, which is kvm on most systems.`,
  ],
  EPERM: [
    'EACCES',
    `You may not use ${KVM_DEVICE}: a container, for one, has to be given the device.`,
  ],
  EBUSY: ['EBUSY', `${KVM_DEVICE} is in use by another hypervisor: end its machines first.`],
};

/** The refusal for an error of open(2). */
export function openRefusal(cause: unknown): VmmError {
  const { code = '', message = String(cause) } = cause as NodeJS.ErrnoException;
  const known = REFUSALS[code];
  if (known) return new VmmError(known[0], known[1], { cause });
  const absent = code === 'ENXIO' || code === 'ENODEV';
  const text = absent ? REFUSALS.ENOENT![1] : `Cannot open ${KVM_DEVICE}: ${message}.`;
  return new VmmError('ENODEV', text, { cause });
}

/** An engine on KVM, for one thread. */
export class KvmEngine implements Engine {
  readonly name = 'kvm';
  private readonly host: KvmHost;

  constructor(host: KvmHost) {
    this.host = host;
  }

  createVcpu(vm: EngineVm): KvmVcpu {
    return new KvmVcpu(vm, new KvmVm(this.host, vm));
  }

  /** Gives the device back, when all vCPUs are closed. */
  close(): void {
    this.host.timer.close();
    this.host.calls.closeDevice(this.host.fd);
  }
}

/**
 * Opens KVM for the calling thread. Throws VmmError with one sentence that says what to do: ENODEV
 * without koffi, the module, or a new enough Linux, EACCES without permission, EBUSY.
 */
export function openKvmEngine(device: string = KVM_DEVICE): KvmEngine {
  const calls = HostCalls.load();
  let fd: number;
  try {
    fd = calls.open(device);
  } catch (error) {
    throw openRefusal(error);
  }
  const ask = (request: number, argument = 0): number => calls.ioctl(fd, request, argument);
  const has = (cap: keyof typeof KVM_CAP): number =>
    ask(KVM_REQUEST.KVM_CHECK_EXTENSION, KVM_CAP[cap]);
  try {
    if (ask(KVM_REQUEST.KVM_GET_API_VERSION) !== KVM_CONSTANT.KVM_API_VERSION) {
      throw new VmmError('ENODEV', `${device} is not the KVM that this program knows.`);
    }
    if (NEEDED.some((cap) => has(cap) <= 0)) throw tooOld();
    return new KvmEngine({
      calls,
      fd,
      runBytes: ask(KVM_REQUEST.KVM_GET_VCPU_MMAP_SIZE),
      supported: supportedCpuid(calls, fd),
      timer: new SliceTimer(calls),
      quirks: Math.max(has('KVM_CAP_DISABLE_QUIRKS2'), 0),
    });
  } catch (error) {
    calls.closeDevice(fd);
    throw error;
  }
}
