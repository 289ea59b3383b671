// What a guest of vmm(4) finds: CPUID, MSRs, control registers, the time-stamp counter, what is
// #UD, single steps, the paravirtual clock. The numbers are rows of the project's acceptance list.

import { describe, expect, test } from 'vitest';
import { VM_EXIT_NONE, VMX_EXIT_IO } from '../src/vmm/exit-reasons.ts';
import { VCPU_CRS, VCPU_MSRS, VCPU_REGS } from '../src/vmm/registers.ts';
import { guestEngines, testOn } from './engines-under-test.ts';
import { assemble, Guest, REPORT, reportsOf } from './guest-program.ts';

const GP = 0xfa00000d;
const UD = 0xfa000006;
const DB = 0xfa000001;
const DATA = 0x30000;
const KVM_SYSTEM_TIME = 0x4b564d01;

test("57: SVM's instructions are the bytes of AMD's manual", () => {
  // The assembler has names for those without operands; VMRUN and SKINIT are written as bytes.
  expect([...assemble('stgi\nclgi', 64)]).toEqual([0x0f, 0x01, 0xdc, 0x0f, 0x01, 0xdd]);
});

describe.each(guestEngines)('on the $name engine', ({ make, ...engine }) => {
  const test = testOn(engine);
  const reports = (source: string): number[] => reportsOf(make(), 64, `${source}\ndone`);

  function cpuidInGuest(leaf: number, subleaf = 0): number[] {
    return reports(
      `mov eax, ${leaf}\nmov ecx, ${subleaf}\ncpuid\nreport
       mov eax, ebx\nreport\nmov eax, ecx\nreport\nmov eax, edx\nreport`,
    );
  }

  const text = (words: number[]): string =>
    words
      .map((word) => String.fromCharCode(...[0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff)))
      .join('');

  test('47: the hypervisor leaf', () => {
    const [eax, ebx, ecx, edx] = cpuidInGuest(0x40000000);
    expect(text([ebx, ecx, edx])).toBe('OpenBSDVMM58');
    expect(eax).toBe(0);
    expect(cpuidInGuest(1)[2] >>> 31).toBe(1);
  });

  test('48: no VMX, SVM, APIC, X2APIC, MTRR, MWAIT', () => {
    const [, , ecx, edx] = cpuidInGuest(1);
    expect(ecx & ((1 << 5) | (1 << 21) | (1 << 3))).toBe(0);
    expect(edx & ((1 << 9) | (1 << 12))).toBe(0);
    expect(cpuidInGuest(0x80000001)[2] & (1 << 2)).toBe(0);
  });

  test('49, 55: OSXSAVE follows CR4; XSETBV of nonsense is #GP, and #UD without XSAVE', () => {
    const [, , ecx] = cpuidInGuest(1);
    const hasXsave = (ecx >>> 26) & 1;
    expect((ecx >>> 27) & 1).toBe(0);
    const setBit = 'mov rax, cr4\nbts eax, 18\nmov cr4, rax\n';
    const xsetbv = 'xor ecx, ecx\nxor eax, eax\nxor edx, edx\nxsetbv';
    expect(reports(xsetbv)).toEqual([UD]);
    if (hasXsave) {
      const after = reports(`${setBit}mov eax, 1\ncpuid\nmov eax, ecx\nreport`);
      expect((after[0] >>> 27) & 1).toBe(1);
      expect(reports(`${setBit}${xsetbv}`)).toEqual([GP]);
    } else {
      expect(reports(setBit)).toEqual([GP]);
    }
  });

  test("50: KVM's clock leaves", () => {
    const [eax, ebx, ecx, edx] = cpuidInGuest(0x40000100);
    expect([eax, text([ebx, ecx, edx])]).toEqual([0x40000101, 'KVMKVMKVM\0\0\0']);
    const wanted = (1 << 3) | (1 << 24);
    expect(cpuidInGuest(0x40000001)[0] & wanted).toBe(wanted);
    expect(cpuidInGuest(0x40000101)[0] & wanted).toBe(wanted);
  });

  test('51: system call MSRs are read, written, and seen by READREGS', () => {
    const guest = new Guest(
      make(),
      64,
      `wrmsr64 0xc0000080, 0, 0xd01
       wrmsr64 0xc0000081, 0x00230010, 0
       wrmsr64 0xc0000082, 0xffffffff, 0x81000000
       wrmsr64 0xc0000083, 0xffffffff, 0x81000100
       wrmsr64 0xc0000084, 0, 0x47700
       wrmsr64 0xc0000102, 0xffff8880, 0x1000
       mov ecx, 0xc0000082
       rdmsr
       report
       mov eax, edx
       report
       done`,
    );
    guest.reportExceptions(13);
    expect(guest.reports()).toEqual([0x81000000, 0xffffffff]);
    const { vrs_msrs } = guest.registers();
    expect(vrs_msrs[VCPU_MSRS.EFER]).toBe(0xd01n);
    expect(vrs_msrs[VCPU_MSRS.STAR]).toBe(0x0023001000000000n);
    expect(vrs_msrs[VCPU_MSRS.LSTAR]).toBe(0xffffffff81000000n);
    expect(vrs_msrs[VCPU_MSRS.CSTAR]).toBe(0xffffffff81000100n);
    expect(vrs_msrs[VCPU_MSRS.SFMASK]).toBe(0x47700n);
    expect(vrs_msrs[VCPU_MSRS.KGSBASE]).toBe(0xffff888000001000n);
    // A base that is not canonical is #GP.
    expect(reports('wrmsr64 0xc0000102, 0x00ff8880, 0')).toEqual([GP]);
  });

  test('52: unknown MSRs are #GP to read and swallow what is written', () => {
    // MTRR capabilities, the APIC base, and a number that nothing has.
    for (const index of [0xfe, 0x1b, 0x1234]) {
      expect(reports(`mov ecx, ${index}\nrdmsr\nreport`)).toEqual([GP]);
      expect(reports(`wrmsr64 ${index}, 1, 2\nmov eax, 9\nreport`)).toEqual([9]);
    }
    expect(reports('mov ecx, 0x8b\nrdmsr\nreport\nmov eax, edx\nreport')).toEqual([0, 0]);
    expect(reports('wrmsr64 0x9b, 0, 1')).toEqual([GP]);
  });

  test('53: PAT takes memory types only', () => {
    const read = 'mov ecx, 0x277\nrdmsr\nreport\nmov eax, edx\nreport\n';
    expect(reports(read)).toEqual([0x00070406, 0x00070406]);
    expect(reports(`wrmsr64 0x277, 0x05040100, 0x07060504\n${read}`)).toEqual([
      0x07060504, 0x05040100,
    ]);
    expect(reports('wrmsr64 0x277, 0x00000200, 0')).toEqual([GP]);
    expect(reports('wrmsr64 0x277, 0, 0x08000000')).toEqual([GP]);
  });

  test('54: impossible values of CR0 and CR4 are #GP', () => {
    const change = (register: string, set: number[], clear: number[]): number[] =>
      reports(
        [
          `mov rax, ${register}`,
          ...set.map((bit) => `bts rax, ${bit}`),
          ...clear.map((bit) => `btr rax, ${bit}`),
          `mov ${register}, rax`,
          'mov eax, 1',
          'report',
        ].join('\n'),
      );
    // Paging without protection; not write-through without cache disable; a reserved high bit.
    expect(change('cr0', [], [0])).toEqual([GP]);
    expect(change('cr0', [29], [30])).toEqual([GP]);
    expect(change('cr0', [32], [])).toEqual([GP]);
    // Both cache bits are a possible, if slow, state.
    expect(change('cr0', [30, 29], [])).toEqual([1]);
    // VMX that is not there; reserved bits; no PAE in long mode; and one that is there.
    expect(change('cr4', [13], [])).toEqual([GP]);
    expect(change('cr4', [31], [])).toEqual([GP]);
    expect(change('cr4', [63], [])).toEqual([GP]);
    expect(change('cr4', [], [5])).toEqual([GP]);
    expect(change('cr4', [7], [])).toEqual([1]);
  });

  test('56: RDTSC counts, and is no exit', () => {
    const guest = new Guest(
      make(),
      64,
      `rdtsc
       shl rdx, 32
       lea rbx, [rax + rdx]
       mov ecx, 1000
       1: loop 1b
       rdtsc
       shl rdx, 32
       add rax, rdx
       sub rax, rbx
       setg cl
       movzx eax, cl
       report
       done`,
    );
    expect(guest.runUntil((reason) => reason !== VM_EXIT_NONE)).toBe(VMX_EXIT_IO);
    expect(guest.params.vrp_exit.vei).toMatchObject({ vei_port: REPORT, vei_data: 1 });
  });

  test('57: what the processor does not have is #UD', () => {
    const three = ['vmcall', 'vmlaunch', 'vmresume', 'vmxoff', 'vmmcall', 'monitor', 'mwait'];
    const svm = ['.byte 0x0f, 0x01, 0xd8', 'stgi', 'clgi', '.byte 0x0f, 0x01, 0xde'];
    const code = [...three, ...svm].map((name) => `mov eax, ecx\n${name}`).join('\n');
    const guest = new Guest(make(), 64, `xor ebx, ebx\n${code}\nmov eax, ebx\nreport\ndone`);
    // All of them are three bytes long: skip and count.
    guest.handler(6, 'add qword ptr [rsp], 3\ninc ebx\niretq');
    expect(guest.reports()).toEqual([three.length + svm.length]);
    expect(reports(`vmxon [${DATA}]`)).toEqual([UD]);
    expect(reports(`invept rax, [${DATA}]`)).toEqual([UD]);
    expect(reports(`invvpid rax, [${DATA}]`)).toEqual([UD]);
  });

  test('58: a single step over an instruction that a monitor emulates traps after it', () => {
    for (const instruction of ['cpuid', 'rdmsr', 'out 0x80, al', 'in al, 0x80', 'mov rax, cr0']) {
      const guest = new Guest(
        make(),
        64,
        `mov ecx, 0xc0000080
         pushfq
         or dword ptr [rsp], 0x100
         popfq
         ${instruction}
         here: nop
         mov eax, 0
         report
         done
         .org 128
         .quad here`,
      );
      guest.handler(1, 'mov eax, [rsp]\nreport\ndone');
      expect(guest.reports()).toEqual([guest.view.getUint32(0x10000 + 128, true)]);
    }
    expect(reports('pushfq\nor dword ptr [rsp], 0x100\npopfq\nnop')).toEqual([DB]);
  });

  /** A guest that has enabled its clock at DATA and then loops. */
  function clockGuest(): Guest {
    const source = `wrmsr64 ${KVM_SYSTEM_TIME}, 0, ${DATA + 1}\nreport\nsti\njmp $`;
    const guest = new Guest(make(), 64, source);
    guest.reportExceptions(13);
    guest.runToPort(REPORT);
    return guest;
  }

  test('59: the paravirtual clock runs', () => {
    const guest = clockGuest();
    const { view } = guest;
    guest.run();
    const version = view.getUint32(DATA, true);
    const time = view.getBigUint64(DATA + 16, true);
    const tsc = view.getBigUint64(DATA + 8, true);
    expect(version % 2).toBe(0);
    expect(view.getUint32(DATA + 24, true)).toBeGreaterThan(0);
    expect(view.getUint8(DATA + 29)).toBe(1);
    guest.runUntil(() => view.getBigUint64(DATA + 16, true) > time);
    expect(view.getBigUint64(DATA + 8, true)).toBeGreaterThan(tsc);
    expect(view.getUint32(DATA, true)).toBeGreaterThan(version);
    expect(view.getUint32(DATA, true) % 2).toBe(0);
  });

  test('60: a clock record that crosses a page or lies outside memory is #GP', () => {
    expect(reports(`wrmsr64 ${KVM_SYSTEM_TIME}, 0, ${DATA + 0xff1}`)).toEqual([GP]);
    expect(reports(`wrmsr64 ${KVM_SYSTEM_TIME}, 0, 0x40000001`)).toEqual([GP]);
    expect(reports(`wrmsr64 ${KVM_SYSTEM_TIME}, 0, ${DATA + 0xfe1}\nmov eax, 4\nreport`)).toEqual([
      4,
    ]);
  });

  test('61: READVMPARAMS and WRITEVMPARAMS honour their mask', () => {
    const guest = clockGuest();
    const params = {
      vpp_vm_id: guest.id,
      vpp_vcpu_id: 0,
      vpp_mask: 1,
      vpp_pvclock_system_gpa: 0n,
      vpp_pvclock_version: 123,
    };
    guest.device.readvmparams(params);
    expect(params).toMatchObject({
      vpp_pvclock_system_gpa: BigInt(DATA + 1),
      vpp_pvclock_version: 123,
    });
    guest.device.writevmparams({ ...params, vpp_mask: 2, vpp_pvclock_version: 1000 });
    guest.device.readvmparams({ ...params, vpp_mask: 0 });
    params.vpp_mask = 3;
    guest.device.readvmparams(params);
    expect(params).toMatchObject({
      vpp_pvclock_system_gpa: BigInt(DATA + 1),
      vpp_pvclock_version: 1000,
    });
    guest.device.writevmparams({ ...params, vpp_pvclock_system_gpa: BigInt(DATA + 0x1001) });
    guest.run();
    expect(guest.view.getUint32(DATA + 0x1000, true)).toBe(1002);
    // An address that cannot be gives the guest a #GP and the caller nothing.
    guest.device.writevmparams({ ...params, vpp_mask: 1, vpp_pvclock_system_gpa: 0xff1n });
    expect(guest.reports()).toEqual([GP]);
    expect(guest.registers().vrs_gprs[VCPU_REGS.RAX]).toBe(BigInt(GP));
    expect(guest.registers().vrs_crs[VCPU_CRS.CR4]).toBe(0x20n);
  });
});
