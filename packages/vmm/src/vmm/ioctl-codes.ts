// Request codes, as <sys/ioccom.h> makes them: direction, size of the argument, group and number in
// one 32-bit word. The size is part of the code, so that a structure of another release is another
// request, which ends in ENOTTY instead of in garbage.

import type { StructLayout } from './layout.ts';
import {
  VM_CREATE_PARAMS,
  VM_INFO_PARAMS,
  VM_INTR_PARAMS,
  VM_MPROTECT_EPT_PARAMS,
  VM_RESETCPU_PARAMS,
  VM_RUN_PARAMS,
  VM_RWREGS_PARAMS,
  VM_RWVMPARAMS_PARAMS,
  VM_TERMINATE_PARAMS,
} from './structs.ts';

/** The argument is copied in. */
const IOC_IN = 0x80000000;
/** The argument is copied in and out. */
const IOC_INOUT = 0xc0000000;
const IOCPARM_MASK = 0x1fff;
const GROUP_V = 0x56;

/** The bytes of the argument that a request code stands for. */
export const argumentSize = (code: number): number => (code >>> 16) & IOCPARM_MASK;

/** True when the request writes its argument back. */
export const isInOut = (code: number): boolean => code >>> 30 === 3;

function request(direction: number, number: number, argument: StructLayout<unknown>): number {
  return (direction | (argument.size << 16) | (GROUP_V << 8) | number) >>> 0;
}

export const VMM_IOC_CREATE: number = request(IOC_INOUT, 1, VM_CREATE_PARAMS);
export const VMM_IOC_RUN: number = request(IOC_INOUT, 2, VM_RUN_PARAMS);
export const VMM_IOC_INFO: number = request(IOC_INOUT, 3, VM_INFO_PARAMS);
export const VMM_IOC_TERM: number = request(IOC_IN, 4, VM_TERMINATE_PARAMS);
export const VMM_IOC_RESETCPU: number = request(IOC_IN, 5, VM_RESETCPU_PARAMS);
export const VMM_IOC_INTR: number = request(IOC_IN, 6, VM_INTR_PARAMS);
export const VMM_IOC_READREGS: number = request(IOC_INOUT, 7, VM_RWREGS_PARAMS);
export const VMM_IOC_WRITEREGS: number = request(IOC_IN, 8, VM_RWREGS_PARAMS);
export const VMM_IOC_READVMPARAMS: number = request(IOC_INOUT, 9, VM_RWVMPARAMS_PARAMS);
export const VMM_IOC_WRITEVMPARAMS: number = request(IOC_IN, 10, VM_RWVMPARAMS_PARAMS);
export const VMM_IOC_MPROTECT_EPT: number = request(IOC_IN, 11, VM_MPROTECT_EPT_PARAMS);
