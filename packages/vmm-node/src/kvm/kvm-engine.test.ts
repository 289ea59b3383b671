// Guests on this host's KVM, for what the monitor's own suites do not ask of every engine.
import { describe, expect, test } from 'vitest';
import {
  emptyRegState,
  VCPU_REGS,
  VEE_FAULT_PROTECT,
  VM_RWREGS_GPRS,
  VMX_EXIT_EPT_VIOLATION,
  VMX_EXIT_IO,
} from 'vmm';
import { Guest, REPORT } from '../../../vmm/test/guest-program.ts';
import { kvmAbsence, makeKvmEngine } from '../../../vmm/test/kvm-engine-under-test.ts';
import { openKvmEngine, openRefusal } from './kvm-engine.ts';
import { slowness } from './probe.ts';

const DATA = 0x30000;
const median = (values: number[]): number =>
  values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

describe.skipIf(kvmAbsence !== '')(`on KVM${kvmAbsence && ` (${kvmAbsence})`}`, () => {
  test('a guest that never exits comes back within 10 ms', () => {
    const guest = new Guest(makeKvmEngine(), 64, 'sti\n1: jmp 1b');
    const times = Array.from({ length: 25 }, () => {
      const startMs = performance.now();
      guest.run();
      return performance.now() - startMs;
    });
    // The median: others use this machine too.
    expect(median(times)).toBeLessThan(10);
  });

  test.each([
    ['at once', false],
    ['with the registers read at each exit', true],
  ])('REP INS moves any number of elements, answered %s', (_, readsRegisters) => {
    const count = 5000;
    const to = DATA + 0xff1;
    const guest = new Guest(
      makeKvmEngine(),
      64,
      `mov dx, 0x1f0\nmov edi, ${to}\nmov ecx, ${count}\nrep insb\nmov eax, ecx\nreport\ndone`,
    );
    const { vei } = guest.params.vrp_exit;
    if (readsRegisters) guest.params.vrp_exit.vrs = emptyRegState();
    for (let i = 0; i < count; i++) {
      guest.runToPort(0x1f0);
      if (vei.vei_string !== 1 || vei.vei_rep !== 1) expect(vei).toBe('a string instruction');
      if (readsRegisters) {
        // Pointer and count have been stepped; RIP is past the instruction after the last.
        const { vrs_gprs } = guest.params.vrp_exit.vrs!;
        const seen = [VCPU_REGS.RCX, VCPU_REGS.RDI, VCPU_REGS.RIP].map((r) => vrs_gprs[r]);
        const rip = 0x10000 + 14 + (i === count - 1 ? 2 : 0);
        expect(seen.map(Number)).toEqual([count - i - 1, to + i + 1, rip]);
      }
      vei.vei_data = (i * 7) & 0xff;
    }
    expect(guest.reports()).toEqual([0]);
    for (let i = 0; i < count; i++) {
      if (guest.view.getUint8(to + i) !== ((i * 7) & 0xff)) expect(i).toBe('right');
    }
  });

  test('an IN whose registers are read before it is answered takes its answer', () => {
    const guest = new Guest(
      makeKvmEngine(),
      64,
      `mov rax, 0x1122334455667788
       in ax, 0x60
       mov rbx, rax
       shr rbx, 32
       report
       mov eax, ebx
       report
       done`,
    );
    guest.runToPort(0x60);
    const registers = guest.registers();
    expect(registers.vrs_gprs[VCPU_REGS.RAX]).toBe(0x1122334455667788n);
    expect(registers.vrs_gprs[VCPU_REGS.RIP]).toBe(0x1000cn + 1n);
    guest.params.vrp_exit.vei.vei_data = 0xffffabcd;
    expect(guest.reports()).toEqual([0x5566abcd, 0x11223344]);
  });

  test('a store to a read-only page waits for the page, or is dropped with a new RIP', () => {
    const source = `mov dword ptr [${DATA}], 5\nmov eax, [${DATA}]\nreport\ndone`;
    const protect = (guest: Guest, prot: number): void =>
      guest.device.mprotectEpt({
        vmep_vm_id: guest.id,
        vmep_vcpu_id: 0,
        vmep_sgpa: BigInt(DATA),
        vmep_size: 0x1000n,
        vmep_prot: prot,
      });
    const guest = new Guest(makeKvmEngine(), 64, source);
    protect(guest, 1);
    for (let i = 0; i < 3; i++) {
      guest.runUntil((reason) => reason === VMX_EXIT_EPT_VIOLATION);
      expect(guest.params.vrp_exit.vee.vee_fault_type).toBe(VEE_FAULT_PROTECT);
      expect(guest.view.getUint32(DATA, true)).toBe(0);
    }
    protect(guest, 3);
    expect(guest.reports()).toEqual([5]);

    const other = new Guest(makeKvmEngine(), 64, `${source}\n.org 64\nmov eax, 9\nreport\ndone`);
    protect(other, 1);
    other.runUntil((reason) => reason === VMX_EXIT_EPT_VIOLATION);
    const registers = other.registers();
    registers.vrs_gprs[VCPU_REGS.RIP] = 0x10040n;
    other.setRegisters(VM_RWREGS_GPRS, registers);
    expect(other.reports()).toEqual([9]);
    expect(other.view.getUint32(DATA, true)).toBe(0);
  });

  test('an MMIO access across a page comes in parts, and its answer together', () => {
    const guest = new Guest(makeKvmEngine(), 64, 'mov eax, [0x3000ffd]\nreport\ndone');
    guest.device.extMmioExits(guest.id, true);
    const { mmio } = guest.params.vrp_exit;
    const parts: [number, number][] = [];
    guest.runUntil((reason) => {
      if (reason !== VMX_EXIT_EPT_VIOLATION) return reason === VMX_EXIT_IO;
      parts.push([mmio.gpa, mmio.sizeBytes]);
      mmio.dataLow = [0x2211, 0x33, 0x44][parts.length - 1];
      return false;
    });
    expect(parts).toEqual([
      [0x3000ffd, 2],
      [0x3000fff, 1],
      [0x3001000, 1],
    ]);
    expect(guest.params.vrp_exit.vei.vei_data).toBe(0x44332211);
  });

  test('the guest’s clock, computed as its record says, keeps time with the host', () => {
    // ns = system_time + (((tsc - tsc_timestamp) << shift) * mul >> 32), msr.rst of Linux.
    const now = 'call now\nreport\nshr rbx, 32\nmov eax, ebx\nreport';
    const guest = new Guest(
      makeKvmEngine(),
      64,
      `wrmsr64 0x4b564d01, 0, ${DATA + 1}
       ${now}
       ${now}
       done
       now:
       rdtsc
       shl rdx, 32
       or rax, rdx
       sub rax, [${DATA + 8}]
       mov cl, [${DATA + 28}]
       test cl, cl
       js 1f
       shl rax, cl
       jmp 2f
       1: neg cl
       shr rax, cl
       2: mov edx, [${DATA + 24}]
       mul rdx
       shrd rax, rdx, 32
       add rax, [${DATA + 16}]
       mov rbx, rax
       ret`,
    );
    guest.reportExceptions(13, 6);
    const words: number[] = [];
    const timesMs: number[] = [];
    while (words.length < 4) {
      guest.runToPort(REPORT);
      words.push(guest.params.vrp_exit.vei.vei_data >>> 0);
      if (words.length % 2 === 1) timesMs.push(performance.now());
      // Real time passes between the two readings, long enough to compare.
      if (words.length === 2) for (const end = performance.now() + 50; performance.now() < end; );
    }
    const ns = (i: number): number => words[i] + words[i + 1] * 2 ** 32;
    const guestMs = (ns(2) - ns(0)) / 1e6;
    const hostMs = timesMs[1] - timesMs[0];
    expect(Math.abs(guestMs - hostMs)).toBeLessThan(Math.max(5, hostMs / 10));
  });
});

test('a device that is not there, or not KVM’s, is refused in one sentence', (context) => {
  const isLinux = process.platform === 'linux' && process.arch === 'x64';
  if (!isLinux) context.skip('no x86-64 Linux');
  expect(() => openKvmEngine('/nonexistent/kvm')).toThrow(/^This host has no \/dev\/kvm: load/);
  expect(() => openKvmEngine('/dev/null')).toThrow(/^\/dev\/null is not the KVM that this/);
});

test.each([
  ['EACCES', 'EACCES', /become a member of its group/],
  ['EPERM', 'EACCES', /a container, for one, has to be given/],
  ['EBUSY', 'EBUSY', /in use by another hypervisor/],
  ['ENXIO', 'ENODEV', /load the module kvm_intel or kvm_amd/],
  ['EIO', 'ENODEV', /^Cannot open \/dev\/kvm: text\.$/],
])('openRefusal() of %s is %s with what to do', (code, errno, sentence) => {
  const refusal = openRefusal(Object.assign(new Error('text'), { code }));
  expect(refusal.code).toBe(errno);
  expect(refusal.message).toMatch(sentence);
});

test('slowness() tells an emulator and a slow exit from a processor', () => {
  expect(slowness({ rate: 5000, exitMicroseconds: 2 })).toBeUndefined();
  expect(slowness({ rate: 0, exitMicroseconds: Infinity })).toContain('emulates');
  expect(slowness({ rate: 40, exitMicroseconds: 9 })).toBe(
    'it emulates instructions: 40 million a second in a loop',
  );
  expect(slowness({ rate: 5000, exitMicroseconds: 400 })).toBe('an exit takes 400 microseconds');
});
