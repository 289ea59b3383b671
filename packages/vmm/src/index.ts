// The public face of the library.
export type { Clock, Entropy } from './base/clock.ts';
export { VirtualClock } from './base/clock.ts';
export type { Errno } from './base/errors.ts';
export { VmmError } from './base/errors.ts';
export type { GuestMemory } from './bus/guest-memory.ts';
export type { BlockBackend } from './devices/block-backend.ts';
export type { NetBackend } from './devices/net-backend.ts';
export type { SerialPeer } from './devices/ns8250.ts';
export type {
  QueueConfig,
  VirtioBackend,
  VirtioDevice,
  VirtioEvents,
} from './devices/virtio/virtio-backend.ts';
export { virtioBlk } from './devices/virtio/virtio-blk.ts';
export { VirtioNetBackend, virtioNet } from './devices/virtio/virtio-net.ts';
export type { BootModule, KernelImage } from './machine/boot/image.ts';
export type { RamRange } from './machine/guest-ram.ts';
export { GuestRam, ramRanges } from './machine/guest-ram.ts';
export type {
  ExitKind,
  MachineEnd,
  MachineHost,
  MachineOptions,
  MachineStatistics,
} from './machine/machine.ts';
export { Machine } from './machine/machine.ts';
export type { Engine } from './vmm/engine.ts';
export type { SoftEngineOptions, SoftStatistics } from './vmm/soft-engine.ts';
export { SoftEngine, SoftVcpu } from './vmm/soft-engine.ts';
