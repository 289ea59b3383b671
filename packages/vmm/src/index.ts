// The public face of the library.
export type { Clock, Entropy } from './base/clock.ts';
export { VirtualClock } from './base/clock.ts';
export type { Errno } from './base/errors.ts';
export { VmmError } from './base/errors.ts';
export type { SavedPart, SavedRecord, SavedValue } from './base/saved-state.ts';
export type { BlockFile } from './block/block-file.ts';
export { copyDisk } from './block/copy-disk.ts';
export type { Disk, DiskFormat } from './block/disk.ts';
export { DISK_FORMATS, SECTOR_BYTES } from './block/disk.ts';
export type { ImageFiles, ImageReference } from './block/open-disk.ts';
export { DiskOpener, parseImageReference } from './block/open-disk.ts';
export { Qcow2Disk, readStart } from './block/qcow2.ts';
export type { Decompress, Decompressors } from './block/qcow2-compressed.ts';
export type { NewBacking } from './block/qcow2-create.ts';
export { createQcow2 } from './block/qcow2-create.ts';
export { RawDisk } from './block/raw.ts';
export type { GuestMemory } from './bus/guest-memory.ts';
export type { JitMode, JitStatistics } from './cpu/jit/jit.ts';
export type {
  CompiledBatch,
  RegionFactory,
  RegionRequest,
  RegionService,
} from './cpu/jit/region-factory.ts';
export type { ProcessorImage } from './cpu/processor-image.ts';
export type { BlockBackend } from './devices/block-backend.ts';
export type { NetBackend, NetReceiver } from './devices/net-backend.ts';
export type { SerialPeer } from './devices/ns8250.ts';
export { ScsiCdrom } from './devices/scsi-cdrom.ts';
export type {
  QueueConfig,
  VirtioBackend,
  VirtioDevice,
  VirtioEvents,
} from './devices/virtio/virtio-backend.ts';
export { virtioBlk } from './devices/virtio/virtio-blk.ts';
export { VirtioNetBackend, virtioNet } from './devices/virtio/virtio-net.ts';
export { HeaderWork, writeHeader } from './devices/virtio/virtio-net-header.ts';
export { virtioScsi } from './devices/virtio/virtio-scsi.ts';
export type { ImageKind } from './machine/boot/detect.ts';
export { detectImage } from './machine/boot/detect.ts';
export type { BootModule, KernelImage } from './machine/boot/image.ts';
export type { BootDevice } from './machine/firmware-files.ts';
export type { RamLayout, RamRange } from './machine/guest-ram.ts';
export { GuestRam, ramBytes, ramRanges } from './machine/guest-ram.ts';
export type {
  ExitKind,
  MachineEnd,
  MachineHost,
  MachineOptions,
  MachineStatistics,
} from './machine/machine.ts';
export { Machine } from './machine/machine.ts';
export type { GapStatistics } from './machine/run-gaps.ts';
export { GAP_CLASSES_MS } from './machine/run-gaps.ts';
export type { MachineSummary } from './machine/snapshot/machine-section.ts';
export { restoredModel } from './machine/snapshot/machine-section.ts';
export { SnapshotReader } from './machine/snapshot/snapshot-reader.ts';
export type { SavedParts, Snapshot, SnapshotPiece } from './machine/snapshot/snapshot-writer.ts';
export { writeSnapshot } from './machine/snapshot/snapshot-writer.ts';
export type { Endpoint, IpAddress, Prefix } from './net/address.ts';
export { formatIp, parseIp, parsePrefix } from './net/address.ts';
export {
  FrameStream,
  STREAM_FRAME_BYTES_MAX,
  streamBytesOf,
  writeStreamFrame,
} from './net/frame-stream.ts';
export type { GatewayOptions } from './net/gateway.ts';
export { Gateway } from './net/gateway.ts';
export type {
  DatagramEvents,
  DatagramListener,
  DatagramSocket,
  HostNetwork,
  HostStream,
  NetworkFailure,
  StreamEvents,
} from './net/host-network.ts';
export type { FrameReceiver, Unfinished } from './net/link.ts';
export type { LocalInterface } from './net/local-interface.ts';
export { LOCAL_PREFIX, LOCAL_PREFIX_LENGTH, localInterface } from './net/local-interface.ts';
export type { Policy } from './net/policy.ts';
export { defaultPolicy } from './net/policy.ts';
export type { PortOptions, PortReceiver, SwitchOptions } from './net/switch.ts';
export { Switch, SwitchPort } from './net/switch.ts';
export { SwitchedGateway } from './net/switched-gateway.ts';
export type { Alarm } from './net/timers.ts';
export { CPU_MODEL_DEFAULT, CPU_MODELS, type CpuModel } from './vmm/cpu-model.ts';
export type { CpuidContext, CpuidResult } from './vmm/cpuid.ts';
export { cpuid } from './vmm/cpuid.ts';
export type { VmmOptions } from './vmm/device.ts';
export { openVmm, VmmDevice } from './vmm/device.ts';
export type {
  Engine,
  EngineExit,
  EngineExitReasonValue,
  EngineMemoryRange,
  EngineVcpu,
  EngineVm,
  PvclockState,
} from './vmm/engine.ts';
export {
  EngineExitReason,
  emptyEngineExit,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from './vmm/engine.ts';
export {
  VCPU_STATE_RUNNING,
  VCPU_STATE_STOPPED,
  VCPU_STATE_TERMINATED,
  VM_EXIT_NONE,
  VM_EXIT_TERMINATED,
  VMX_EXIT_EPT_VIOLATION,
  VMX_EXIT_EXTINT,
  VMX_EXIT_HLT,
  VMX_EXIT_INT_WINDOW,
  VMX_EXIT_IO,
  VMX_EXIT_TRIPLE_FAULT,
} from './vmm/exit-reasons.ts';
export type { HotSpot } from './vmm/hot-spots.ts';
export {
  VMM_IOC_CREATE,
  VMM_IOC_INFO,
  VMM_IOC_INTR,
  VMM_IOC_MPROTECT_EPT,
  VMM_IOC_READREGS,
  VMM_IOC_READVMPARAMS,
  VMM_IOC_RESETCPU,
  VMM_IOC_RUN,
  VMM_IOC_TERM,
  VMM_IOC_WRITEREGS,
  VMM_IOC_WRITEVMPARAMS,
} from './vmm/ioctl-codes.ts';
export { filterMiscEnable, MSR, readUnknownMsr, writeUnknownMsr } from './vmm/msr-policy.ts';
export { isPvclockValid, pvclockAddress } from './vmm/pvclock.ts';
export type { VcpuRegState, VcpuSegmentInfo } from './vmm/registers.ts';
export {
  emptyRegState,
  VCPU_CRS,
  VCPU_DRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  VM_RWREGS_ALL,
  VM_RWREGS_CRS,
  VM_RWREGS_DRS,
  VM_RWREGS_GPRS,
  VM_RWREGS_MSRS,
  VM_RWREGS_SREGS,
} from './vmm/registers.ts';
export type { SoftEngineOptions, SoftStatistics } from './vmm/soft-engine.ts';
export { buildProcessor, regionFactory, SoftEngine, SoftVcpu } from './vmm/soft-engine.ts';
export { isControlStatePossible } from './vmm/soft-registers.ts';
export type {
  VmCreateParams,
  VmExit,
  VmInfoResult,
  VmMemRange,
  VmMprotectEptParams,
  VmResetcpuParams,
  VmRunParams,
  VmRwregsParams,
  VmRwvmparamsParams,
} from './vmm/structs.ts';
export {
  runParams,
  VEE_FAULT_MMIO_ASSIST,
  VEE_FAULT_PROTECT,
  VEI_DIR_IN,
  VEI_DIR_OUT,
  VRP_IRQ_NONE,
} from './vmm/structs.ts';
export type { VmmControl } from './vmm/vm-table.ts';
export { createVmmControl } from './vmm/vm-table.ts';
