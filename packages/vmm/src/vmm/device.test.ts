import { expect, test } from 'vitest';
import type { FakeVcpu, Step } from '../../test/fake-engine.ts';
import { FakeEngine } from '../../test/fake-engine.ts';
import { VmmError } from '../base/errors.ts';
import type { VmmDevice } from './device.ts';
import { openVmm } from './device.ts';
import { EngineExitReason } from './engine.ts';
import {
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
} from './exit-reasons.ts';
import { emptyRegState, VCPU_CRS, VCPU_REGS, VCPU_SREGS, VM_RWREGS_GPRS } from './registers.ts';
import type { VmCreateParams, VmRunParams } from './structs.ts';
import { runParams, VEE_FAULT_MMIO_ASSIST, VEE_FAULT_PROTECT } from './structs.ts';

const MEGABYTE = 1n << 20n;

const createParams = (name = 'test'): VmCreateParams => ({
  vcp_nmemranges: 1n,
  vcp_ncpus: 1n,
  vcp_memranges: [{ vmr_gpa: 0n, vmr_va: 0x10000n, vmr_size: MEGABYTE }],
  vcp_name: name,
  vcp_id: 0,
});

interface Bench {
  device: VmmDevice;
  engine: FakeEngine;
  /** The first VM's. */
  vcpu: FakeVcpu;
  params: VmRunParams;
  memory: WebAssembly.Memory;
}

function bench(...script: Step[]): Bench {
  const engine = new FakeEngine();
  const memory = new WebAssembly.Memory({ initial: 32 });
  const device = openVmm({ engine, memory, pid: 77 });
  const id = device.create(createParams());
  const vcpu = engine.vcpus[0];
  vcpu.script.push(...script);
  vcpu.calls.length = 0;
  return { device, engine, vcpu, params: runParams(id), memory };
}

const errno = (call: () => void): string => {
  try {
    call();
  } catch (error) {
    if (error instanceof VmmError) return error.code;
    throw error;
  }
  return 'no error';
};

const io =
  (exit: Partial<FakeVcpu['exit']>): Step =>
  (vcpu) => {
    Object.assign(vcpu.exit, { isString: false, hasRep: false, portIsImmediate: false }, exit);
    return EngineExitReason.io;
  };

test('run() reports an OUT and does not answer it', () => {
  const out = io({ port: 0x3f8, size: 1, isIn: false, data: 0x41, portIsImmediate: true });
  const { device, vcpu, params } = bench(out);
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VMX_EXIT_IO);
  expect(params.vrp_exit.vei).toEqual({
    vei_size: 1,
    vei_dir: 0,
    vei_rep: 0,
    vei_string: 0,
    vei_encoding: 1,
    vei_port: 0x3f8,
    vei_data: 0x41,
  });
  params.vrp_continue = 1;
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VM_EXIT_NONE);
  expect(vcpu.calls).toEqual(['run', 'run']);
});

test('run() answers an IN only when told to continue, and once', () => {
  const read = io({ port: 0x60, size: 2, isIn: true });
  const { device, vcpu, params } = bench(read, read);
  device.run(params);
  expect(params.vrp_exit.vei).toMatchObject({ vei_dir: 1, vei_size: 2, vei_encoding: 0 });
  params.vrp_exit.vei.vei_data = 0xbeef;
  device.run(params);
  expect(vcpu.calls).toEqual(['run', 'run']);
  params.vrp_continue = 1;
  params.vrp_exit.vei.vei_data = 0xcafe;
  device.run(params);
  device.run(params);
  expect(vcpu.calls).toEqual(['run', 'run', `finishIo ${0xcafe}`, 'run', 'run']);
});

test('run() marks string instructions', () => {
  const { device, params } = bench(io({ port: 0x61, size: 1, isIn: true, isString: true }));
  device.run(params);
  expect(params.vrp_exit.vei).toMatchObject({ vei_string: 1, vei_rep: 0 });
});

test('run() gives HLT with interrupts on, and EIO with interrupts off', () => {
  const { device, vcpu, params } = bench(
    (v) => {
      v.setInterruptFlag(true);
      return EngineExitReason.hlt;
    },
    (v) => {
      v.setInterruptFlag(false);
      return EngineExitReason.hlt;
    },
  );
  device.run(params);
  expect(params).toMatchObject({ vrp_exit_reason: VMX_EXIT_HLT, vrp_irqready: 1 });
  expect(errno(() => device.run(params))).toBe('EIO');
  // What the caller had is untouched, and the vCPU is dead but can still be looked at.
  expect(params.vrp_exit_reason).toBe(VMX_EXIT_HLT);
  expect(device.info()[0].vir_vcpu_state[0]).toBe(VCPU_STATE_TERMINATED);
  expect(errno(() => device.run(params))).toBe('EBUSY');
  const reset = { vrp_vm_id: 1, vrp_vcpu_id: 0, vrp_init_state: emptyRegState() };
  expect(errno(() => device.resetcpu(reset))).toBe('EBUSY');
  vcpu.regs.vrs_gprs[VCPU_REGS.RAX] = 5n;
  const regs = emptyRegState();
  const mask = BigInt(VM_RWREGS_GPRS);
  device.readregs({ vrwp_vm_id: 1, vrwp_vcpu_id: 0, vrwp_mask: mask, vrwp_regs: regs });
  expect(regs.vrs_gprs[VCPU_REGS.RAX]).toBe(5n);
});

test('run() gives triple faults to the caller, and the engine failures as EINVAL', () => {
  const { device, params } = bench(
    () => EngineExitReason.tripleFault,
    (v) => {
      v.exit.error = 'The guest executes from a hole.';
      return EngineExitReason.internalError;
    },
  );
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VMX_EXIT_TRIPLE_FAULT);
  expect(() => device.run(params)).toThrow('The guest executes from a hole.');
  expect(errno(() => device.run(params))).toBe('EBUSY');
});

test('run() ends the vCPU at an access outside memory, unless MMIO exits are on', () => {
  const access: Step = (v) => {
    Object.assign(v.exit, { gpa: 0xfe000010, size: 8, isWrite: false });
    return EngineExitReason.mmio;
  };
  const first = bench(access);
  expect(() => first.device.run(first.params)).toThrow('no memory at 0xfe000010');
  expect(errno(() => first.device.run(first.params))).toBe('EBUSY');

  const { device, vcpu, params } = bench(access);
  device.extMmioExits(1, true);
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VMX_EXIT_EPT_VIOLATION);
  expect(params.vrp_exit.vee.vee_fault_type).toBe(VEE_FAULT_MMIO_ASSIST);
  const { mmio } = params.vrp_exit;
  expect(mmio).toMatchObject({ gpa: 0xfe000010, sizeBytes: 8, isWrite: false });
  mmio.dataLow = 7;
  mmio.dataHigh = 9;
  params.vrp_continue = 1;
  device.run(params);
  expect(vcpu.calls).toEqual(['run', 'finishMmio 7 9', 'run']);
});

test('run() lets the caller change the registers after a protection exit only', () => {
  const protection: Step = () => EngineExitReason.protection;
  const { device, vcpu, params } = bench(protection, () => EngineExitReason.none);
  params.vrp_exit.vrs = emptyRegState();
  params.vrp_continue = 1;
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VMX_EXIT_EPT_VIOLATION);
  expect(params.vrp_exit.vee.vee_fault_type).toBe(VEE_FAULT_PROTECT);
  params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.RIP] = 0x1234n;
  device.run(params);
  expect(vcpu.regs.vrs_gprs[VCPU_REGS.RIP]).toBe(0x1234n);
  params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.RIP] = 0x5678n;
  device.run(params);
  expect(vcpu.regs.vrs_gprs[VCPU_REGS.RIP]).toBe(0x1234n);
});

test('run() fills registers and privilege level when there is room for them', () => {
  const { device, vcpu, params } = bench();
  vcpu.regs.vrs_gprs[VCPU_REGS.R15] = 15n;
  vcpu.regs.vrs_sregs[VCPU_SREGS.SS].vsi_ar = 0xf3;
  params.vrp_exit.vrs = emptyRegState();
  device.run(params);
  expect(params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.R15]).toBe(15n);
  expect(params.vrp_exit.cpl).toBe(3);
});

test('run() injects a vector when the guest is ready', () => {
  const { device, vcpu, params } = bench();
  vcpu.setInterruptFlag(true);
  params.vrp_irq = 0x20;
  device.run(params);
  expect(vcpu.calls).toEqual([`interrupt ${0x20}`, 'run']);
  expect(vcpu.window).toBe(false);
});

test('run() does not take a vector too early, and says when it can', () => {
  const { device, vcpu, params } = bench(
    () => EngineExitReason.none,
    (v) => {
      v.setInterruptFlag(true);
      return EngineExitReason.intWindow;
    },
  );
  params.vrp_irq = 0x20;
  device.run(params);
  expect(params).toMatchObject({ vrp_exit_reason: VM_EXIT_NONE, vrp_irqready: 0 });
  expect(vcpu.window).toBe(true);
  device.run(params);
  expect(params).toMatchObject({ vrp_exit_reason: VMX_EXIT_INT_WINDOW, vrp_irqready: 1 });
  device.run(params);
  expect(vcpu.calls).toEqual(['run', 'run', `interrupt ${0x20}`, 'run']);
});

test('run() refuses what is no vector and leaves the vCPU usable', () => {
  const { device, params } = bench();
  params.vrp_irq = 0x100;
  expect(errno(() => device.run(params))).toBe('EINVAL');
  params.vrp_irq = 0xffff;
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VM_EXIT_NONE);
});

test('intr() opens the interrupt window while the line is high', () => {
  const { device, vcpu, params } = bench();
  device.intr({ vip_vm_id: 1, vip_vcpu_id: 0, vip_intr: 1 });
  device.run(params);
  expect(vcpu.window).toBe(true);
  device.intr({ vip_vm_id: 1, vip_vcpu_id: 0, vip_intr: 0 });
  device.run(params);
  expect(vcpu.window).toBe(false);
  vcpu.setInterruptFlag(true);
  device.intr({ vip_vm_id: 1, vip_vcpu_id: 0, vip_intr: 1 });
  device.run(params);
  expect(params).toMatchObject({ vrp_exit_reason: VMX_EXIT_EXTINT, vrp_irqready: 1 });
  expect(vcpu.window).toBe(false);
});

test('extInjectException() pushes an error code in protected mode and for its vectors only', () => {
  const { device, vcpu } = bench();
  device.extInjectException(1, 0, 13, 0x11223344);
  vcpu.regs.vrs_crs[VCPU_CRS.CR0] |= 1n;
  device.extInjectException(1, 0, 13, 0x11223344);
  device.extInjectException(1, 0, 17, 0x11223344);
  device.extInjectException(1, 0, 6, 0x11223344);
  expect(vcpu.calls).toEqual([
    'exception 13 undefined',
    `exception 13 ${0x11223344}`,
    'exception 17 0',
    'exception 6 undefined',
  ]);
  expect(errno(() => device.extInjectException(1, 0, 2))).toBe('EINVAL');
  expect(errno(() => device.extInjectException(1, 0, 32))).toBe('EINVAL');
});

test('extMemoryWritten() passes on what is memory', () => {
  const { device, vcpu } = bench();
  device.extMemoryWritten(1, 0x1000, 16);
  expect(vcpu.calls).toEqual([`invalidate ${0x1000} 16`]);
  expect(errno(() => device.extMemoryWritten(1, 0xffff8, 16))).toBe('EINVAL');
});

test('extKick() makes a RUN return before the guest moves, but after its answer is taken', () => {
  const { device, vcpu, params } = bench(io({ port: 1, size: 1, isIn: true }));
  device.run(params);
  device.extKick(1, 0);
  params.vrp_continue = 1;
  device.run(params);
  expect(params.vrp_exit_reason).toBe(VM_EXIT_NONE);
  device.run(params);
  expect(vcpu.calls).toEqual(['run', 'finishIo 0', 'run']);
});

test('another opening of the same control sees the VM, and BUSY while it runs', () => {
  const { device, engine, vcpu, params, memory } = bench();
  const other = openVmm({ engine, memory, control: device.control });
  expect(other.info().map((vm) => [vm.vir_id, vm.vir_name])).toEqual([[1, 'test']]);
  const seen: unknown[] = [];
  vcpu.script.push((v) => {
    seen.push(other.info()[0].vir_vcpu_state[0]);
    seen.push(errno(() => other.run(runParams(1))));
    seen.push(
      errno(() =>
        other.resetcpu({ vrp_vm_id: 1, vrp_vcpu_id: 0, vrp_init_state: emptyRegState() }),
      ),
    );
    const protect = { vmep_sgpa: 0n, vmep_size: 4096n, vmep_prot: 1 };
    seen.push(errno(() => other.mprotectEpt({ vmep_vm_id: 1, vmep_vcpu_id: 0, ...protect })));
    other.intr({ vip_vm_id: 1, vip_vcpu_id: 0, vip_intr: 1 });
    seen.push(v.vm.kick[0]);
    return EngineExitReason.none;
  });
  device.run(params);
  expect(seen).toEqual([VCPU_STATE_RUNNING, 'EBUSY', 'EBUSY', 'EBUSY', 1]);
  expect(device.info()[0].vir_vcpu_state[0]).toBe(VCPU_STATE_STOPPED);
  // Stopped, but its registers are in the thread that created it.
  expect(errno(() => other.run(runParams(1)))).toBe('EBUSY');
  // The next ids are shared.
  expect(other.create(createParams())).toBe(2);
  expect(device.create(createParams())).toBe(3);
});

test('term() by another opening ends the VM for its owner, who then frees the vCPU', () => {
  const { device, engine, vcpu, params, memory } = bench();
  const other = openVmm({ engine, memory, control: device.control });
  other.term({ vtp_vm_id: 1 });
  expect(errno(() => device.run(params))).toBe('ENOENT');
  expect(vcpu.isClosed).toBe(false);
  device.create(createParams());
  expect(vcpu.isClosed).toBe(true);
});

test('term() during a RUN that never returns answers EBUSY, and the RUN learns of it', () => {
  const { device, engine, vcpu, params, memory } = bench();
  const other = openVmm({ engine, memory, control: device.control });
  const seen: string[] = [];
  vcpu.script.push(() => {
    // Nobody can leave this RUN while its own thread waits for that.
    seen.push(errno(() => other.term({ vtp_vm_id: 1 })));
    seen.push(errno(() => other.term({ vtp_vm_id: 1 })));
    seen.push(errno(() => other.intr({ vip_vm_id: 1, vip_vcpu_id: 0, vip_intr: 1 })));
    return EngineExitReason.none;
  });
  device.run(params);
  expect(seen).toEqual(['EBUSY', 'EBUSY', 'ENOENT']);
  expect(params.vrp_exit_reason).toBe(VM_EXIT_TERMINATED);
  expect(errno(() => device.run(params))).toBe('ENOENT');
});

test('create() gives the slot back when the engine cannot make a vCPU', () => {
  const { device, engine } = bench();
  const create = engine.createVcpu;
  engine.createVcpu = () => {
    throw new RangeError('out of memory');
  };
  for (let i = 0; i < 600; i++) expect(errno(() => device.create(createParams()))).toBe('ENOMEM');
  engine.createVcpu = create;
  expect(device.create(createParams())).toBe(2);
});

test('openVmm() refuses a control block that is none', () => {
  const { engine, memory } = bench();
  expect(() => openVmm({ engine, memory, control: new ArrayBuffer(64) })).toThrow(TypeError);
});
