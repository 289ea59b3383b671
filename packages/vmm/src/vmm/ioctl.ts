// The binary face of vmm(4): structures as bytes in, bytes out. The argument is the caller's copy
// of the structure, as ioctl(2) passes it; vrp_exit and vip_info inside it are addresses in the
// caller's address space, here offsets in a WebAssembly.Memory, with 0 for the null pointer.

import { VmmError } from '../base/errors.ts';
import type { VmmDevice } from './device.ts';
import { VMX_EXIT_EPT_VIOLATION } from './exit-reasons.ts';
import {
  argumentSize,
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
} from './ioctl-codes.ts';
import { offsetOf, pack, type StructLayout, unpack } from './layout.ts';
import { emptyRegState } from './registers.ts';
import {
  emptyExit,
  VM_CREATE_PARAMS,
  VM_EXIT,
  VM_EXIT_EPTVIOLATION,
  VM_EXIT_INOUT,
  VM_INFO_PARAMS,
  VM_INFO_RESULT,
  VM_INTR_PARAMS,
  VM_MPROTECT_EPT_PARAMS,
  VM_RESETCPU_PARAMS,
  VM_RUN_PARAMS,
  VM_RWREGS_PARAMS,
  VM_RWVMPARAMS_PARAMS,
  VM_TERMINATE_PARAMS,
  type VmExit,
} from './structs.ts';

type Handler = (device: VmmDevice, argument: DataView, memory: WebAssembly.Memory) => void;

/** The `size` bytes at `address`; EFAULT unless all of them exist. */
function userBytes(memory: WebAssembly.Memory, address: bigint, size: number): DataView {
  const { buffer } = memory;
  if (address === 0n || address + BigInt(size) > BigInt(buffer.byteLength)) {
    throw new VmmError('EFAULT', `There are no ${size} bytes at address ${address}.`);
  }
  return new DataView(buffer, Number(address), size);
}

function packExit(exit: VmExit, reason: number, view: DataView): void {
  const { vei, vee, vrs, cpl } = exit;
  new Uint8Array(view.buffer, view.byteOffset, VM_EXIT_INOUT.size).fill(0);
  if (reason === VMX_EXIT_EPT_VIOLATION) pack(VM_EXIT_EPTVIOLATION, vee, view, 0);
  else pack(VM_EXIT_INOUT, vei, view, 0);
  pack(VM_EXIT, { vei, vee, vrs: vrs ?? emptyRegState(), cpl }, view, 0);
}

function run(device: VmmDevice, argument: DataView, memory: WebAssembly.Memory): void {
  const params = unpack(VM_RUN_PARAMS, argument);
  // Which VM comes first, then where the exit goes: and all that before the guest moves, so that a
  // bad pointer costs nothing. (It used to leave the vCPU RUNNING for ever.)
  device.checkStopped(params.vrp_vm_id, params.vrp_vcpu_id);
  const user = userBytes(memory, params.vrp_exit, VM_EXIT.size);
  const exit: VmExit = emptyExit();
  if (params.vrp_continue !== 0) Object.assign(exit, unpack(VM_EXIT, user));
  else exit.vrs = emptyRegState();
  const typed = { ...params, vrp_exit: exit };
  device.run(typed);
  packExit(exit, typed.vrp_exit_reason, user);
  pack(VM_RUN_PARAMS, { ...typed, vrp_exit: params.vrp_exit }, argument);
}

function info(device: VmmDevice, argument: DataView, memory: WebAssembly.Memory): void {
  const { vip_size: room, vip_info: address } = unpack(VM_INFO_PARAMS, argument);
  const results = device.info();
  const needed = results.length * VM_INFO_RESULT.size;
  const fits = room >= BigInt(needed);
  if (fits && needed > 0) {
    const user = userBytes(memory, address, needed);
    for (const [i, result] of results.entries()) {
      pack(VM_INFO_RESULT, result, user, i * VM_INFO_RESULT.size);
    }
  }
  const answer = {
    vip_size: BigInt(needed),
    vip_info_ct: BigInt(fits ? results.length : 0),
    vip_info: address,
  };
  pack(VM_INFO_PARAMS, answer, argument);
}

/** A request whose argument goes in only. */
const input =
  <T>(layout: StructLayout<T>, call: (device: VmmDevice, params: T) => void): Handler =>
  (device, argument) =>
    call(device, unpack(layout, argument));

/** A request that answers in its argument. */
const inOut =
  <T>(layout: StructLayout<T>, call: (device: VmmDevice, params: T) => void): Handler =>
  (device, argument) => {
    const params = unpack(layout, argument);
    call(device, params);
    pack(layout, params, argument);
  };

function create(device: VmmDevice, argument: DataView): void {
  const id = device.create(unpack(VM_CREATE_PARAMS, argument));
  argument.setUint32(offsetOf(VM_CREATE_PARAMS, 'vcp_id'), id, true);
}

const HANDLERS = new Map<number, Handler>([
  [VMM_IOC_CREATE, create],
  [VMM_IOC_RUN, run],
  [VMM_IOC_INFO, info],
  [VMM_IOC_TERM, input(VM_TERMINATE_PARAMS, (device, params) => device.term(params))],
  [VMM_IOC_RESETCPU, input(VM_RESETCPU_PARAMS, (device, params) => device.resetcpu(params))],
  [VMM_IOC_INTR, input(VM_INTR_PARAMS, (device, params) => device.intr(params))],
  [VMM_IOC_READREGS, inOut(VM_RWREGS_PARAMS, (device, params) => device.readregs(params))],
  [VMM_IOC_WRITEREGS, input(VM_RWREGS_PARAMS, (device, params) => device.writeregs(params))],
  [
    VMM_IOC_READVMPARAMS,
    inOut(VM_RWVMPARAMS_PARAMS, (device, params) => device.readvmparams(params)),
  ],
  [
    VMM_IOC_WRITEVMPARAMS,
    input(VM_RWVMPARAMS_PARAMS, (device, params) => device.writevmparams(params)),
  ],
  [
    VMM_IOC_MPROTECT_EPT,
    input(VM_MPROTECT_EPT_PARAMS, (device, params) => device.mprotectEpt(params)),
  ],
]);

/** Serves one ioctl. Throws ENOTTY for an unknown code, EFAULT for too short an argument. */
export function dispatchIoctl(
  device: VmmDevice,
  memory: WebAssembly.Memory,
  code: number,
  argument: Uint8Array,
): void {
  const handler = HANDLERS.get(code >>> 0);
  if (!handler) {
    throw new VmmError('ENOTTY', `0x${(code >>> 0).toString(16)} is not a request of vmm(4).`);
  }
  const size = argumentSize(code);
  if (argument.byteLength < size) {
    throw new VmmError('EFAULT', `The argument has ${argument.byteLength} bytes, not ${size}.`);
  }
  handler(device, new DataView(argument.buffer, argument.byteOffset, size), memory);
}
