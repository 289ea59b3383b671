// What RUN promises, shown by guests that execute: registers, I/O, halts, interrupts, protection.
// The numbers are rows of the project's acceptance list. Guest code is assembled by the system's
// assembler; expectations are the processor's manuals and vmm(4).

import { describe, expect, test } from 'vitest';
import { VmmError } from '../src/base/errors.ts';
import { openVmm } from '../src/vmm/device.ts';
import {
  VCPU_STATE_TERMINATED,
  VM_EXIT_NONE,
  VMX_EXIT_EPT_VIOLATION,
  VMX_EXIT_HLT,
  VMX_EXIT_INT_WINDOW,
  VMX_EXIT_IO,
  VMX_EXIT_TRIPLE_FAULT,
} from '../src/vmm/exit-reasons.ts';
import { VMM_IOC_RUN } from '../src/vmm/ioctl-codes.ts';
import {
  emptyRegState,
  powerOnState,
  VCPU_CRS,
  VCPU_REGS,
  VCPU_SREGS,
  VM_RWREGS_GPRS,
} from '../src/vmm/registers.ts';
import {
  runParams,
  VEE_FAULT_MMIO_ASSIST,
  VEE_FAULT_PROTECT,
  VRP_IRQ_NONE,
} from '../src/vmm/structs.ts';
import { guestEngines, testOn } from './engines-under-test.ts';
import {
  assemble,
  Guest,
  guestAddressSpace,
  initialState,
  REPORT,
  reportsOf,
} from './guest-program.ts';

function errno(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof VmmError) return error.code;
    throw error;
  }
  return 'no error';
}

const PROGRAM = 0x10000n;
const DATA = 0x30000;
const protect = (guest: Guest, gpa: number, prot: number): void =>
  guest.device.mprotectEpt({
    vmep_vm_id: guest.id,
    vmep_vcpu_id: 0,
    vmep_sgpa: BigInt(gpa),
    vmep_size: 0x1000n,
    vmep_prot: prot,
  });

/** What vcpu.c of OpenBSD's regression tests has its guest execute. */
const AT_RESET_VECTOR = [0x52, 0x6c];
const AT_HANDLER = [0xe4, 0xf0];

test('30: the guest code of vcpu.c is what the assembler makes of its source', () => {
  expect([...assemble('push dx\ninsb', 16)]).toEqual(AT_RESET_VECTOR);
  expect([...assemble('in al, 0xf0', 16)]).toEqual(AT_HANDLER);
});

describe.each(guestEngines)('on the $name engine', ({ make, ...engine }) => {
  const test = testOn(engine);
  test('18: the used size grows as the guest touches memory', () => {
    const touch = `mov ebx, ${DATA}\nmov ecx, 16\n1: mov [rbx], cl\nadd ebx, 4096\nloop 1b\ndone`;
    const guest = new Guest(make(), 64, touch);
    const used = (): number => Number(guest.device.info()[0].vir_used_size);
    expect(used()).toBe(0);
    guest.reports();
    expect(used()).toBeGreaterThanOrEqual(17 * 4096);
    expect(used()).toBeLessThanOrEqual(2 << 20);
  });

  test('28: the guest sees what WRITEREGS wrote, and READREGS what the guest wrote', () => {
    const names = 'rax rbx rcx rdx rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rsp rbp'.split(' ');
    const store = names.map((name, i) => `mov [${DATA} + ${8 * i}], ${name}`).join('\n');
    const guest = new Guest(make(), 64, `nop\n${store}\nbswap r9\nmov r12d, r9d\ndone`);
    const regs = guest.registers();
    for (let i = 0; i < names.length; i++) regs.vrs_gprs[i] = 0x1122334455667700n + BigInt(i);
    regs.vrs_gprs[VCPU_REGS.RIP] = PROGRAM + 1n;
    guest.setRegisters(VM_RWREGS_GPRS, regs);
    guest.reports();
    for (let i = 0; i < names.length; i++) {
      expect(guest.view.getBigUint64(DATA + 8 * i, true)).toBe(0x1122334455667700n + BigInt(i));
    }
    const after = guest.registers();
    expect(after.vrs_gprs[VCPU_REGS.R9]).toBe(0x0777665544332211n);
    expect(after.vrs_gprs[VCPU_REGS.R12]).toBe(0x44332211n);
  });

  test('29: cached limits outlive their selectors (big real mode)', () => {
    const guest = new Guest(make(), 16, 'mov ebx, 0x123456\nmov eax, [ebx]\nreport\ndone');
    guest.reportExceptions(13);
    guest.view.setUint32(0x123456, 0xcafef00d, true);
    const state = initialState(16);
    state.vrs_sregs[VCPU_SREGS.DS].vsi_limit = 0xffffffff;
    guest.reset(state);
    expect(guest.reports()).toEqual([0xcafef00d]);
    guest.reset(initialState(16));
    expect(guest.reports()).toEqual([0xfa00000d]);
  });

  test('30: the sequence of vcpu.c in the regression tests of OpenBSD', () => {
    // Two ranges; the upper one ends at 4 GiB and must begin below the PCI window, which costs
    // address space but no memory. Both are filled with INT3 where the test can get to.
    const top = 1n << 32n;
    const low = 640n << 10n;
    const high = (256n << 20n) + (1n << 20n) - low;
    const memory = guestAddressSpace(260);
    const device = openVmm({ engine: make(), memory, pid: 1 });
    const range = (gpa: bigint, va: bigint, size: bigint) => ({
      vmr_gpa: gpa,
      vmr_va: va,
      vmr_size: size,
    });
    const id = device.create({
      vcp_nmemranges: 2n,
      vcp_ncpus: 1n,
      vcp_memranges: [range(0n, 0x10000n, low), range(top - high, 0x10000n + low, high)],
      vcp_name: 'regress',
      vcp_id: 0,
    });
    const bytes = new Uint8Array(memory.buffer);
    const end = 0x10000 + Number(low + high);
    bytes.fill(0xcc, 0x10000, 0x10000 + Number(low));
    bytes.fill(0xcc, end - 0x10000, end);
    bytes.set([0x5d, 0x0b, 0, 0], 0x10000 + 4 * 13); // vector 13 is 0000:0b5d
    bytes.set(AT_HANDLER, 0x10000 + 0xb5d);
    bytes.set(AT_RESET_VECTOR, end - 16);
    for (let i = 0; i < 2; i++) {
      expect(device.info().map((vm) => [vm.vir_id, vm.vir_name])).toEqual([[id, 'regress']]);
    }

    const state = powerOnState(0);
    state.vrs_gprs[VCPU_REGS.RSP] = 0x800n;
    state.vrs_gprs[VCPU_REGS.RDX] = 0x61n;
    device.resetcpu({ vrp_vm_id: id, vrp_vcpu_id: 0, vrp_init_state: state });
    const params = runParams(id);
    params.vrp_exit.vrs = emptyRegState();
    const runToExit = (): void => {
      for (let slices = 0; slices < 100; slices++) {
        device.run(params);
        if (params.vrp_exit_reason !== VM_EXIT_NONE) return;
      }
    };
    runToExit();
    expect(params.vrp_exit_reason).toBe(VMX_EXIT_IO);
    expect(params.vrp_exit.vei).toMatchObject({ vei_port: 0x61, vei_string: 1, vei_dir: 1 });
    expect(params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.RSP]).toBe(0x7fen);
    expect(params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.RIP]).toBe(0xfff2n);

    device.extInjectException(id, 0, 13, 0x11223344);
    params.vrp_continue = 1;
    runToExit();
    expect(params.vrp_exit_reason).toBe(VMX_EXIT_IO);
    expect(params.vrp_exit.vei).toMatchObject({ vei_port: 0xf0, vei_string: 0, vei_encoding: 1 });
    // FLAGS, CS and IP, 2 bytes each, and no error code.
    expect(params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.RSP]).toBe(0x7f8n);
    device.term({ vtp_vm_id: id });
    expect(device.info()).toEqual([]);
  });

  test('31, 34: OUT of 1, 2 and 4 bytes', () => {
    const guest = new Guest(
      make(),
      64,
      `mov eax, 0x89abcdef
       mov dx, 0x3f8
       out dx, al
       out 0x80, ax
       out dx, eax`,
    );
    guest.params.vrp_exit.vrs = emptyRegState();
    const { vei, vrs } = guest.params.vrp_exit;
    const exits = [1, 2, 3].map(() => {
      guest.runUntil((reason) => reason === VMX_EXIT_IO);
      return [vei.vei_size, vei.vei_dir, vei.vei_port, vei.vei_encoding, vei.vei_data >>> 0];
    });
    expect(exits).toEqual([
      [1, 0, 0x3f8, 0, 0xef],
      [2, 0, 0x80, 1, 0xcdef],
      [4, 0, 0x3f8, 0, 0x89abcdef],
    ]);
    // RIP is past the instruction: 5 + 4 + 1 + 3 + 1 bytes.
    expect(vrs?.vrs_gprs[VCPU_REGS.RIP]).toBe(PROGRAM + 14n);
  });

  test('32: IN of 1, 2 and 4 bytes loads what the caller answers', () => {
    const source = ['in al, dx', 'in ax, dx', 'in eax, dx']
      .map((instruction, i) => `mov rax, r8\n${instruction}\nmov [${DATA} + ${8 * i}], rax`)
      .join('\n');
    const guest = new Guest(
      make(),
      64,
      `mov r8, 0x1122334455667788\nmov dx, 0x60\n${source}\ndone`,
    );
    for (let i = 0; i < 3; i++) {
      guest.runToPort(0x60);
      expect(guest.params.vrp_exit.vei).toMatchObject({ vei_dir: 1, vei_size: 1 << i });
      guest.params.vrp_exit.vei.vei_data = 0xfedcba98;
    }
    guest.reports();
    const results = [0, 1, 2].map((i) => guest.view.getBigUint64(DATA + 8 * i, true));
    expect(results).toEqual([0x1122334455667798n, 0x112233445566ba98n, 0xfedcba98n]);
  });

  test('33: string I/O is marked, and moves one element per exit', () => {
    const guest = new Guest(
      make(),
      64,
      `mov dx, 0x1f0
       mov esi, ${DATA}
       mov edi, ${DATA + 0x100}
       mov ecx, 3
       cld
       rep outsw
       mov ecx, 2
       rep insd
       insb
       mov eax, ecx
       report
       mov eax, edi
       report
       done`,
    );
    const { view } = guest;
    const { vei } = guest.params.vrp_exit;
    for (const [i, value] of [0x1111, 0x2222, 0x3333].entries()) {
      view.setUint16(DATA + 2 * i, value, true);
    }
    for (const value of [0x1111, 0x2222, 0x3333]) {
      guest.runToPort(0x1f0);
      expect(vei).toMatchObject({ vei_string: 1, vei_rep: 1, vei_dir: 0, vei_size: 2 });
      expect(vei.vei_data).toBe(value);
    }
    for (const value of [0x44444444, 0x55555555]) {
      guest.runToPort(0x1f0);
      expect(vei).toMatchObject({ vei_string: 1, vei_rep: 1, vei_dir: 1, vei_size: 4 });
      vei.vei_data = value;
    }
    guest.runToPort(0x1f0);
    expect(vei).toMatchObject({ vei_string: 1, vei_rep: 0, vei_dir: 1, vei_size: 1 });
    vei.vei_data = 0x66;
    expect(guest.reports()).toEqual([0, DATA + 0x109]);
    expect([0, 4].map((at) => view.getUint32(DATA + 0x100 + at, true))).toEqual([
      0x44444444, 0x55555555,
    ]);
    expect(view.getUint16(DATA + 0x108, true)).toBe(0x66);
  });

  test('33: the destination of INS is checked before the exit', () => {
    const guest = new Guest(make(), 64, 'mov dx, 0x1f0\nmov edi, 0x50000000\ninsb');
    guest.reportExceptions(14);
    expect(guest.reports()).toEqual([0xfa00000e]);
  });

  test('35: HLT with interrupts on is an exit, RIP past it', () => {
    const guest = new Guest(make(), 64, 'sti\nhlt\nmov eax, 7\nreport\ndone');
    guest.params.vrp_exit.vrs = emptyRegState();
    guest.runUntil((reason) => reason !== VM_EXIT_NONE);
    expect(guest.params).toMatchObject({ vrp_exit_reason: VMX_EXIT_HLT, vrp_irqready: 1 });
    expect(guest.params.vrp_exit.vrs.vrs_gprs[VCPU_REGS.RIP]).toBe(PROGRAM + 2n);
    expect(guest.reports()).toEqual([7]);
  });

  test('36: HLT with interrupts off ends the vCPU', () => {
    const guest = new Guest(make(), 64, 'cli\nhlt');
    expect(errno(() => guest.reports())).toBe('EIO');
    expect(guest.device.info()[0].vir_vcpu_state[0]).toBe(VCPU_STATE_TERMINATED);
    expect(errno(() => guest.run())).toBe('EBUSY');
    expect(guest.registers().vrs_gprs[VCPU_REGS.RIP]).toBe(PROGRAM + 2n);
  });

  test('37: a triple fault is an exit', () => {
    const guest = new Guest(make(), 64, 'sub rsp, 16\nlidt [rsp]\nud2');
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_TRIPLE_FAULT);
    // It is not the end of the vCPU: a reset is.
    guest.reset(initialState(64));
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_TRIPLE_FAULT);
  });

  test('40: an access outside memory ends the vCPU', () => {
    for (const access of [
      'mov eax, [0x3000000]',
      'mov [0x3000000], al',
      'mov eax, 0x3000000\njmp eax',
    ]) {
      const guest = new Guest(make(), 32, access);
      expect(errno(() => guest.reports())).toBe('EINVAL');
      expect(errno(() => guest.run())).toBe('EBUSY');
    }
  });

  test('40, extension: or is an MMIO exit', () => {
    const guest = new Guest(
      make(),
      64,
      `mov ebx, 0x3000010
       mov rax, 0x1122334455667788
       mov [rbx], rax
       mov [rbx + 8], ax
       mov rax, [rbx]
       mov [${DATA}], rax
       movzx eax, byte ptr [rbx + 3]
       report
       add dword ptr [rbx + 4], 5
       done`,
    );
    guest.device.extMmioExits(guest.id, true);
    const { mmio, vee } = guest.params.vrp_exit;
    const next = (): unknown[] => {
      guest.runUntil((reason) => reason === VMX_EXIT_EPT_VIOLATION);
      expect(vee.vee_fault_type).toBe(VEE_FAULT_MMIO_ASSIST);
      const { gpa, sizeBytes, isWrite, dataLow, dataHigh } = mmio;
      return isWrite ? [gpa, sizeBytes, dataLow >>> 0, dataHigh >>> 0] : [gpa, sizeBytes];
    };
    expect(next()).toEqual([0x3000010, 8, 0x55667788, 0x11223344]);
    expect(next()).toEqual([0x3000018, 2, 0x7788, 0]);
    expect(next()).toEqual([0x3000010, 8]);
    Object.assign(mmio, { dataLow: 0xddccbbaa, dataHigh: 0x99887766 });
    expect(next()).toEqual([0x3000013, 1]);
    expect(guest.view.getBigUint64(DATA, true)).toBe(0x99887766ddccbbaan);
    Object.assign(mmio, { dataLow: 0x5a, dataHigh: 0 });
    guest.runToPort(REPORT);
    expect(guest.params.vrp_exit.vei.vei_data).toBe(0x5a);
    expect(next()).toEqual([0x3000014, 4]);
    Object.assign(mmio, { dataLow: 37, dataHigh: 0 });
    expect(next()).toEqual([0x3000014, 4, 42, 0]);
    guest.reports();
  });

  test('41: a bad vrp_exit is EFAULT and does no harm', () => {
    const guest = new Guest(make(), 64, 'mov eax, 1\nreport\ndone');
    const argument = new Uint8Array(32);
    const view = new DataView(argument.buffer);
    view.setUint32(0, guest.id, true);
    view.setUint16(10, VRP_IRQ_NONE, true);
    view.setBigUint64(16, 1n << 62n, true);
    expect(errno(() => guest.device.ioctl(VMM_IOC_RUN, argument))).toBe('EFAULT');
    expect(guest.reports()).toEqual([1]);
  });

  const HANDLER = 'mov eax, 0x20\nreport\niretq';

  test('42: an injected vector reaches its handler', () => {
    const guest = new Guest(make(), 64, 'sti\nnop\nmov eax, 1\nreport\nmov eax, 2\nreport\ndone');
    guest.handler(0x20, HANDLER);
    guest.runToPort(REPORT);
    expect(guest.params.vrp_irqready).toBe(1);
    guest.params.vrp_irq = 0x20;
    guest.run();
    expect(guest.params.vrp_exit.vei).toMatchObject({ vei_port: REPORT, vei_data: 0x20 });
    guest.params.vrp_irq = VRP_IRQ_NONE;
    expect(guest.reports()).toEqual([2]);
  });

  test('42: HLT ends with the interrupt, after the HLT', () => {
    const guest = new Guest(make(), 64, '1: sti\nhlt\nmov eax, 3\nreport\ndone');
    guest.handler(0x20, HANDLER);
    guest.runUntil((reason) => reason === VMX_EXIT_HLT);
    guest.params.vrp_irq = 0x20;
    guest.run();
    guest.params.vrp_irq = VRP_IRQ_NONE;
    expect(guest.params.vrp_exit.vei.vei_data).toBe(0x20);
    expect(guest.reports()).toEqual([3]);
  });

  test('43: a vector waits for the window, which the shadow of STI delays', () => {
    const guest = new Guest(
      make(),
      64,
      `mov eax, 1
       report
       sti
       mov byte ptr [${DATA}], 1
       mov byte ptr [${DATA}], 2
       mov eax, 2
       report
       done`,
    );
    guest.handler(0x20, HANDLER);
    guest.runToPort(REPORT);
    expect(guest.params.vrp_irqready).toBe(0);
    guest.params.vrp_irq = 0x20;
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_INT_WINDOW);
    expect(guest.params.vrp_irqready).toBe(1);
    expect(guest.view.getUint8(DATA)).toBe(1);
    guest.run();
    expect(guest.params.vrp_exit.vei.vei_data).toBe(0x20);
    expect(guest.view.getUint8(DATA)).toBe(1);
    guest.params.vrp_irq = VRP_IRQ_NONE;
    expect(guest.reports()).toEqual([2]);
  });

  test('43: INTR opens the window without a vector, and MOV SS has a shadow too', () => {
    const guest = new Guest(
      make(),
      64,
      `mov ebx, ss
       mov eax, 1
       report
       sti
       mov ss, ebx
       mov byte ptr [${DATA}], 1
       mov byte ptr [${DATA}], 2
       done`,
    );
    guest.runToPort(REPORT);
    guest.device.intr({ vip_vm_id: guest.id, vip_vcpu_id: 0, vip_intr: 1 });
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_INT_WINDOW);
    expect(guest.view.getUint8(DATA)).toBe(1);
    guest.device.intr({ vip_vm_id: guest.id, vip_vcpu_id: 0, vip_intr: 0 });
    guest.reports();
    expect(guest.view.getUint8(DATA)).toBe(2);
  });

  test('45: an injected exception pushes its error code in protected mode only', () => {
    const source = 'mov eax, 1\nreport\njmp $';
    const pops: Record<32 | 64, string> = {
      32: 'pop eax\nreport\npop eax\nreport\ndone',
      64: 'pop rax\nreport\npop rax\nreport\ndone',
    };
    for (const mode of [32, 64] as const) {
      const guest = new Guest(make(), mode, source);
      guest.handler(13, pops[mode]);
      guest.handler(6, pops[mode]);
      guest.runToPort(REPORT);
      const rip = Number(guest.registers().vrs_gprs[VCPU_REGS.RIP]);
      guest.device.extInjectException(guest.id, 0, 13, 0x11223344);
      expect(guest.reports()).toEqual([0x11223344, rip]);
      // #UD has none: the first word is the address.
      guest.reset(initialState(mode));
      guest.runToPort(REPORT);
      guest.device.extInjectException(guest.id, 0, 6, 0x11223344);
      expect(guest.reports()[0]).toBe(rip);
    }
    const real = new Guest(make(), 16, source);
    real.handler(13, 'xor eax, eax\npop ax\nreport\ndone');
    real.runToPort(REPORT);
    const ip = Number(real.registers().vrs_gprs[VCPU_REGS.RIP]);
    real.device.extInjectException(real.id, 0, 13, 0x11223344);
    expect(real.reports()).toEqual([ip]);
  });

  test('46: vrp_irqready is RFLAGS.IF', () => {
    const guest = new Guest(make(), 64, 'report\nsti\nnop\nreport\ncli\nreport\ndone');
    const ready = [0, 1, 2].map(() => {
      guest.runToPort(REPORT);
      return guest.params.vrp_irqready;
    });
    expect(ready).toEqual([0, 1, 0]);
  });

  test('62: a write to a read-only page is a protection exit, and can be let through', () => {
    const guest = new Guest(
      make(),
      64,
      `mov eax, [${DATA}]
       report
       mov dword ptr [${DATA}], 5
       mov eax, [${DATA}]
       report
       done`,
    );
    protect(guest, DATA, 1);
    guest.runToPort(REPORT);
    guest.params.vrp_exit.vrs = emptyRegState();
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_EPT_VIOLATION);
    const { vee, vrs } = guest.params.vrp_exit;
    expect(vee.vee_fault_type).toBe(VEE_FAULT_PROTECT);
    // At the instruction: past a load of 7 bytes and an OUT of 2.
    expect(vrs?.vrs_gprs[VCPU_REGS.RIP]).toBe(PROGRAM + 9n);
    expect(guest.view.getUint32(DATA, true)).toBe(0);
    protect(guest, DATA, 3);
    expect(guest.reports()).toEqual([5]);
  });

  test('62: the caller can have the guest go on elsewhere', () => {
    const guest = new Guest(
      make(),
      64,
      `mov [${DATA}], eax\njmp $\n.org 32\nmov eax, ebx\nreport\ndone`,
    );
    protect(guest, DATA, 5);
    guest.params.vrp_exit.vrs = emptyRegState();
    guest.runUntil((reason) => reason === VMX_EXIT_EPT_VIOLATION);
    const { vrs_gprs } = guest.params.vrp_exit.vrs;
    vrs_gprs[VCPU_REGS.RIP] = PROGRAM + 32n;
    vrs_gprs[VCPU_REGS.RBX] = 77n;
    expect(guest.reports()).toEqual([77]);
  });

  test('63: a fetch from a page without execution is a protection exit', () => {
    const guest = new Guest(make(), 64, `mov eax, ${DATA}\njmp rax`);
    guest.load(DATA, Uint8Array.of(0x90, 0xe6, 0x1f)); // nop; out 0x1f, al
    protect(guest, DATA, 3);
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_EPT_VIOLATION);
    expect(guest.registers().vrs_gprs[VCPU_REGS.RIP]).toBe(BigInt(DATA));
    protect(guest, DATA, 5);
    expect(guest.reports()).toEqual([]);
    // Page tables are read by the processor itself, which needs no right to execute.
    protect(guest, 0x4000, 1);
    guest.reset(initialState(64));
    expect(guest.reports()).toEqual([]);
  });

  test('RESETCPU and a RUN of the same guest are repeatable', () => {
    const guest = new Guest(make(), 32, 'mov eax, cr0\nreport\ndone');
    expect(guest.reports()).toEqual([0x31]);
    guest.reset(initialState(32));
    expect(guest.reports()).toEqual([0x31]);
    expect(guest.registers().vrs_crs[VCPU_CRS.CR0]).toBe(0x31n);
    expect(reportsOf(make(), 16, 'smsw ax\nand eax, 1\nreport\ndone')).toEqual([0]);
  });
});
