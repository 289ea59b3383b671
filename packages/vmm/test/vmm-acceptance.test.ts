// What vmm(4) promises about VMs, their memory and their registers, without executing a guest. The
// numbers are rows of the project's acceptance list.

import { describe, expect, test } from 'vitest';
import { VmmError } from '../src/base/errors.ts';
import { openVmm, type VmmDevice } from '../src/vmm/device.ts';
import { VCPU_STATE_STOPPED } from '../src/vmm/exit-reasons.ts';
import {
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
} from '../src/vmm/ioctl-codes.ts';
import {
  copyRegState,
  emptyRegState,
  VCPU_CRS,
  VCPU_DRS,
  VCPU_MSRS,
  VCPU_REGS,
  VCPU_SREGS,
  type VcpuRegState,
  VM_RWREGS_ALL,
  VM_RWREGS_CRS,
  VM_RWREGS_DRS,
  VM_RWREGS_GPRS,
  VM_RWREGS_MSRS,
  VM_RWREGS_SREGS,
} from '../src/vmm/registers.ts';
import { runParams, VM_RUN_PARAMS, type VmCreateParams } from '../src/vmm/structs.ts';
import { allEngines, type EngineUnderTest } from './engines-under-test.ts';
import { FakeEngine } from './fake-engine.ts';
import { guestAddressSpace, initialState } from './guest-program.ts';

const MEGABYTE = 1n << 20n;
const GIGABYTE = 1n << 30n;
const BASE = 0x100000n;

/** Ranges from rows of [gpa, size], one after the other in the address space. */
function ranges(...rows: [gpa: bigint, size: bigint][]): Partial<VmCreateParams> {
  let va = BASE;
  const list = rows.map(([gpa, size]) => {
    const range = { vmr_gpa: gpa, vmr_va: va, vmr_size: size };
    va += size;
    return range;
  });
  return { vcp_nmemranges: BigInt(list.length), vcp_memranges: list };
}

const createParams = (changes: Partial<VmCreateParams> = {}): VmCreateParams => ({
  ...(ranges([0n, MEGABYTE]) as Pick<VmCreateParams, 'vcp_nmemranges' | 'vcp_memranges'>),
  vcp_ncpus: 1n,
  vcp_name: 'vm',
  vcp_id: 0,
  ...changes,
});

const open = ({ make }: EngineUnderTest): VmmDevice =>
  openVmm({ engine: make(), memory: guestAddressSpace(8), pid: 1234 });

function errno(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof VmmError) return error.code;
    throw error;
  }
  return 'no error';
}

const errnoOfCreate = (device: VmmDevice, changes: Partial<VmCreateParams>): string =>
  errno(() => device.create(createParams(changes)));

/** A state with something of its own in every register that a processor lets one load. */
function fullState(): VcpuRegState {
  const state = initialState(64);
  for (let i = 0; i < 16; i++) state.vrs_gprs[i] = 0x0101010101010101n * BigInt(i + 1);
  state.vrs_gprs[VCPU_REGS.RFLAGS] = 0xad7n; // every status flag, DF and IF off, bit 1
  state.vrs_crs[VCPU_CRS.CR2] = 0xffff800000001234n;
  state.vrs_msrs[VCPU_MSRS.EFER] |= 1n;
  state.vrs_msrs[VCPU_MSRS.STAR] = 0x0023001000000000n;
  state.vrs_msrs[VCPU_MSRS.LSTAR] = 0xffffffff81000000n;
  state.vrs_msrs[VCPU_MSRS.CSTAR] = 0xffffffff81000100n;
  state.vrs_msrs[VCPU_MSRS.SFMASK] = 0x47700n;
  state.vrs_msrs[VCPU_MSRS.KGSBASE] = 0xffff888000000000n;
  state.vrs_msrs[VCPU_MSRS.MISC_ENABLE] = 0x1801n;
  for (const index of [VCPU_DRS.DR0, VCPU_DRS.DR1, VCPU_DRS.DR2, VCPU_DRS.DR3]) {
    state.vrs_drs[index] = 0x7000n + BigInt(index);
  }
  state.vrs_sregs[VCPU_SREGS.FS].vsi_base = 0x7fff12345000n;
  state.vrs_sregs[VCPU_SREGS.GS].vsi_base = 0xffff888012345000n;
  state.vrs_sregs[VCPU_SREGS.TR] = {
    vsi_sel: 0x40,
    vsi_limit: 0x206f,
    vsi_ar: 0x8b,
    vsi_base: 0xfffffe0000003000n,
  };
  return state;
}

/** Without what vmm(4) does not exchange: CR8, and the PDPTEs, which the processor loads itself. */
function comparable(state: VcpuRegState): VcpuRegState {
  const copy = emptyRegState();
  copyRegState(copy, state, VM_RWREGS_ALL);
  copy.vrs_crs.fill(0n, VCPU_CRS.PDPTE0);
  copy.vrs_crs[VCPU_CRS.CR8] = 0n;
  return copy;
}

const registersOf = (device: VmmDevice, id: number): VcpuRegState => {
  const regs = emptyRegState();
  device.readregs({
    vrwp_vm_id: id,
    vrwp_vcpu_id: 0,
    vrwp_mask: BigInt(VM_RWREGS_ALL),
    vrwp_regs: regs,
  });
  return regs;
};

test('1: without an engine the device cannot be opened', () => {
  expect(errno(() => openVmm({ engine: undefined, memory: guestAddressSpace(1) }))).toBe('ENODEV');
});

test('12: the host has 512 vCPUs', () => {
  const device = openVmm({ engine: new FakeEngine(), memory: guestAddressSpace(8) });
  for (let i = 1; i <= 512; i++) expect(device.create(createParams())).toBe(i);
  expect(errnoOfCreate(device, {})).toBe('ENOMEM');
  expect(device.info().length).toBe(512);
  device.term({ vtp_vm_id: 7 });
  // A failed CREATE takes no id.
  expect(device.create(createParams())).toBe(513);
});

describe.each(allEngines)('on the $name engine', (engine) => {
  test('1: the device opens', () => {
    expect(open(engine).info()).toEqual([]);
  });

  test('2, 3, 4: the eleven requests and no others are known', () => {
    const device = open(engine);
    const codes = [
      [VMM_IOC_CREATE, 0xc5005601, 'EINVAL'],
      [VMM_IOC_RUN, 0xc0205602, 'ENOENT'],
      [VMM_IOC_INFO, 0xc0185603, 'no error'],
      [VMM_IOC_TERM, 0x80045604, 'ENOENT'],
      [VMM_IOC_RESETCPU, 0x82405605, 'ENOENT'],
      [VMM_IOC_INTR, 0x800c5606, 'ENOENT'],
      [VMM_IOC_READREGS, 0xc2485607, 'ENOENT'],
      [VMM_IOC_WRITEREGS, 0x82485608, 'ENOENT'],
      [VMM_IOC_READVMPARAMS, 0xc0205609, 'ENOENT'],
      [VMM_IOC_WRITEVMPARAMS, 0x8020560a, 'ENOENT'],
      [VMM_IOC_MPROTECT_EPT, 0x8020560b, 'ENOENT'],
    ] as const;
    for (const [code, number, answer] of codes) {
      expect(code).toBe(number);
      // The size of the argument is bits 16 to 28 of the code.
      const argument = new Uint8Array((number >>> 16) & 0x1fff);
      expect(errno(() => device.ioctl(code, argument))).toBe(answer);
    }
    expect(errno(() => device.ioctl(0xc0005600 | 0x0b, new Uint8Array(64)))).toBe('ENOTTY');
    expect(VM_RUN_PARAMS.size).toBe(32);
  });

  test('5: ids count up and are not used again', () => {
    const device = open(engine);
    expect(device.create(createParams())).toBe(1);
    const second = createParams();
    device.create(second);
    expect(second.vcp_id).toBe(2);
    device.term({ vtp_vm_id: 2 });
    expect(device.create(createParams())).toBe(3);
  });

  test('6: a VM has one vCPU', () => {
    const device = open(engine);
    for (const count of [0n, 2n, 64n]) {
      expect(errnoOfCreate(device, { vcp_ncpus: count })).toBe('EINVAL');
    }
  });

  test('7: a VM has 1 to 16 memory ranges', () => {
    const device = open(engine);
    const many = (count: number): Partial<VmCreateParams> =>
      ranges(
        ...Array.from({ length: count }, (_, i): [bigint, bigint] => [BigInt(i) << 21n, 1n << 16n]),
      );
    expect(errnoOfCreate(device, { vcp_nmemranges: 0n })).toBe('EINVAL');
    expect(errnoOfCreate(device, many(17))).toBe('EINVAL');
    expect(errnoOfCreate(device, many(16))).toBe('no error');
  });

  test('8: ranges are whole pages', () => {
    const device = open(engine);
    const range = { vmr_gpa: 0n, vmr_va: BASE, vmr_size: MEGABYTE };
    for (const change of [
      { vmr_gpa: 0x800n },
      { vmr_va: BASE + 1n },
      { vmr_size: MEGABYTE + 0x10n },
      { vmr_size: 0n },
    ]) {
      const vcp_memranges = [{ ...range, ...change }];
      expect(errnoOfCreate(device, { vcp_memranges })).toBe('EINVAL');
    }
    // And a whole number of megabytes altogether, inside the caller's address space.
    expect(errnoOfCreate(device, ranges([0n, MEGABYTE + 0x1000n]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([0n, 1n << 40n]))).toBe('EINVAL');
    const wrapping = [{ ...range, vmr_va: (1n << 64n) - 0x1000n }];
    expect(errnoOfCreate(device, { vcp_memranges: wrapping })).toBe('EINVAL');
  });

  test('9: ranges ascend and do not overlap', () => {
    const device = open(engine);
    const half = MEGABYTE / 2n;
    expect(errnoOfCreate(device, ranges([0n, half], [half - 0x1000n, half]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([half, half], [0n, half]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([0n, half], [half, half]))).toBe('no error');
    expect(errnoOfCreate(device, ranges([0n, half], [MEGABYTE, half]))).toBe('no error');
  });

  test('10: guest memory ends at 32 GiB', () => {
    const device = open(engine);
    const top = 32n * GIGABYTE;
    expect(errnoOfCreate(device, ranges([top - MEGABYTE, MEGABYTE]))).toBe('no error');
    expect(errnoOfCreate(device, ranges([top - 0x1000n, MEGABYTE]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([top, MEGABYTE]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([(1n << 64n) - 0x1000n, MEGABYTE]))).toBe('EINVAL');
  });

  test('11: no range begins or ends in the PCI window', () => {
    const device = open(engine);
    const window = 0xf0000000n;
    expect(errnoOfCreate(device, ranges([window, MEGABYTE]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([window - 0x1000n, MEGABYTE]))).toBe('EINVAL');
    // It ends below the firmware.
    const firmware = 0xffc00000n;
    expect(errnoOfCreate(device, ranges([firmware - MEGABYTE, MEGABYTE]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([firmware - 0x1000n, MEGABYTE]))).toBe('EINVAL');
    expect(errnoOfCreate(device, ranges([firmware, MEGABYTE]))).toBe('no error');
    expect(errnoOfCreate(device, ranges([window - MEGABYTE, MEGABYTE]))).toBe('no error');
    expect(errnoOfCreate(device, ranges([4n * GIGABYTE, MEGABYTE]))).toBe('no error');
  });

  test('13: names are cut to 63 bytes and need not be unique', () => {
    const device = open(engine);
    device.create(createParams({ vcp_name: 'n'.repeat(64) }));
    device.create(createParams({ vcp_name: 'n'.repeat(64) }));
    const names = device.info().map((vm) => vm.vir_name);
    expect(names).toEqual(['n'.repeat(63), 'n'.repeat(63)]);
  });

  test('14, 16: INFO tells what VMs there are, newest first', () => {
    const device = open(engine);
    device.create(createParams({ vcp_name: 'first' }));
    device.create(createParams({ vcp_name: 'second', ...ranges([0n, 3n * MEGABYTE]) }));
    const vms = device.info();
    expect(vms.map((vm) => vm.vir_id)).toEqual([2, 1]);
    expect(vms[0]).toMatchObject({
      vir_memory_size: 3n,
      vir_used_size: 0n,
      vir_ncpus: 1n,
      vir_creator_pid: 1234,
      vir_name: 'second',
    });
    expect(vms[0].vir_vcpu_state.length).toBe(64);
    expect(vms[0].vir_vcpu_state[0]).toBe(VCPU_STATE_STOPPED);
  });

  test('15, 17: INFO tells the room it needs, and refuses a bad pointer', () => {
    const device = open(engine);
    device.create(createParams());
    device.create(createParams());
    const params = new Uint8Array(24);
    const view = new DataView(params.buffer);
    device.ioctl(VMM_IOC_INFO, params);
    expect([view.getBigUint64(0, true), view.getBigUint64(8, true)]).toEqual([320n, 0n]);
    view.setBigUint64(16, 1n << 63n, true);
    expect(errno(() => device.ioctl(VMM_IOC_INFO, params))).toBe('EFAULT');
  });

  test('19, 20: a terminated VM is gone', () => {
    const device = open(engine);
    expect(errno(() => device.term({ vtp_vm_id: 1 }))).toBe('ENOENT');
    const id = device.create(createParams());
    device.term({ vtp_vm_id: id });
    expect(device.info()).toEqual([]);
    expect(errno(() => device.run(runParams(id)))).toBe('ENOENT');
    expect(errno(() => device.term({ vtp_vm_id: id }))).toBe('ENOENT');
    for (const never of [0, -1, 0xffffffff]) {
      expect(errno(() => device.term({ vtp_vm_id: never }))).toBe('ENOENT');
    }
  });

  test('23: RESETCPU sets every class of registers, READREGS gets them back', () => {
    const device = open(engine);
    const id = device.create(createParams());
    const state = fullState();
    device.resetcpu({ vrp_vm_id: id, vrp_vcpu_id: 0, vrp_init_state: state });
    expect(comparable(registersOf(device, id))).toEqual(comparable(state));
  });

  test('25: there is vCPU 0 only', () => {
    const device = open(engine);
    const id = device.create(createParams());
    const vrp_init_state = emptyRegState();
    const reset = { vrp_vm_id: id, vrp_vcpu_id: 1, vrp_init_state };
    expect(errno(() => device.resetcpu(reset))).toBe('ENOENT');
    expect(errno(() => device.run(runParams(id, 1)))).toBe('ENOENT');
    expect(errno(() => device.intr({ vip_vm_id: id, vip_vcpu_id: 1, vip_intr: 1 }))).toBe('ENOENT');
  });

  test('26: masks select classes, in READREGS and in WRITEREGS', () => {
    const device = open(engine);
    const id = device.create(createParams());
    const before = initialState(64);
    const after = fullState();
    after.vrs_gdtr.vsi_base = 0x5000n;
    for (const mask of [
      VM_RWREGS_GPRS,
      VM_RWREGS_SREGS,
      VM_RWREGS_CRS,
      VM_RWREGS_MSRS,
      VM_RWREGS_DRS,
    ]) {
      device.resetcpu({ vrp_vm_id: id, vrp_vcpu_id: 0, vrp_init_state: before });
      const call = { vrwp_vm_id: id, vrwp_vcpu_id: 0, vrwp_mask: BigInt(mask) };
      device.writeregs({ ...call, vrwp_regs: after });
      const expected = emptyRegState();
      copyRegState(expected, before, VM_RWREGS_ALL);
      copyRegState(expected, after, mask);
      expect(comparable(registersOf(device, id))).toEqual(comparable(expected));

      const untouched = fullState();
      untouched.vrs_gprs.fill(0x77n);
      const read = emptyRegState();
      copyRegState(read, untouched, VM_RWREGS_ALL);
      device.readregs({ ...call, vrwp_regs: read });
      copyRegState(untouched, after, mask);
      expect(comparable(read)).toEqual(comparable(untouched));
    }
  });

  test('27: registers have the order of the releases before 7.3', () => {
    expect(Object.keys(VCPU_REGS).join(' ')).toBe(
      'RAX RBX RCX RDX RSI RDI R8 R9 R10 R11 R12 R13 R14 R15 RSP RBP RIP RFLAGS',
    );
    expect(Object.values(VCPU_REGS)).toEqual(Array.from({ length: 18 }, (_, i) => i));
    expect(Object.keys(VCPU_SREGS).join(' ')).toBe('CS DS ES FS GS SS LDTR TR');
    const device = open(engine);
    const id = device.create(createParams());
    const argument = new Uint8Array(584);
    const view = new DataView(argument.buffer);
    view.setUint32(0, id, true);
    view.setBigUint64(8, BigInt(VM_RWREGS_GPRS), true);
    device.ioctl(VMM_IOC_READREGS, argument);
    view.setBigUint64(16 + 1 * 8, 0xb0b0n, true);
    device.ioctl(VMM_IOC_WRITEREGS, argument);
    expect(registersOf(device, id).vrs_gprs[VCPU_REGS.RBX]).toBe(0xb0b0n);
  });

  test('64: MPROTECT_EPT checks what it is asked for', () => {
    const device = open(engine);
    const parts = ranges([0n, MEGABYTE / 2n], [MEGABYTE, MEGABYTE / 2n]);
    const id = device.create(createParams(parts));
    const protect = (vmep_sgpa: bigint, vmep_size: bigint, vmep_prot: number): string =>
      errno(() =>
        device.mprotectEpt({ vmep_vm_id: id, vmep_vcpu_id: 0, vmep_sgpa, vmep_size, vmep_prot }),
      );
    for (const prot of [1, 3, 4, 5]) expect(protect(0x1000n, 0x2000n, prot)).toBe('no error');
    // Nothing, write-only, writable and executable, unknown bits.
    for (const prot of [0, 2, 6, 7, 8]) expect(protect(0x1000n, 0x2000n, prot)).toBe('EINVAL');
    expect(protect(0x1001n, 0x1000n, 1)).toBe('EINVAL');
    expect(protect(0x1000n, 0x1001n, 1)).toBe('EINVAL');
    expect(protect(0x1000n, 0n, 1)).toBe('EINVAL');
    expect(protect(0n, 512n * GIGABYTE, 1)).toBe('EINVAL');
    expect(protect((1n << 64n) - 0x1000n, 0x2000n, 1)).toBe('EINVAL');
    expect(protect(0xf0000000n, 0x1000n, 1)).toBe('EINVAL');
    expect(protect(0n, 0xf0001000n, 1)).toBe('EINVAL');
    expect(protect(0x90000n, 0x1000n, 1)).toBe('EINVAL');
    expect(protect(0x7f000n, 0x2000n, 1)).toBe('EFAULT');
    expect(
      errno(() =>
        device.mprotectEpt({
          vmep_vm_id: id + 1,
          vmep_vcpu_id: 0,
          vmep_sgpa: 0n,
          vmep_size: 0x1000n,
          vmep_prot: 0,
        }),
      ),
    ).toBe('ENOENT');
  });
});
