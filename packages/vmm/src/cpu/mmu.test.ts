// Guests that use their page tables: what SDM vol. 3A, chapter 4, says of faults, of accessed and
// dirty bits, and of when a translation may be forgotten and when it must.
//
// The guest's own code is in a page of 2 MiB, one to one; the tests have a window of small pages.

import { describe, expect, test } from 'vitest';
import { Guest } from '../../test/guest-program.ts';
import { EXECUTIONS, ObservedEngine } from '../../test/observed-engine.ts';
import { VM_RWREGS_GPRS } from '../vmm/registers.ts';

const WINDOW = 0x4000_0000;
const PML4 = 0x4000;
const PDPT = 0x5000;
const DIRECTORY = 0x6000;
const WINDOW_DIRECTORY = 0x40000;
const WINDOW_TABLE = 0x41000;
/** Where the pages of the window are: guest-physical. */
const FRAMES = 0x50000;

const P = 1;
const W = 2;
const U = 4;
const A = 0x20;
const D = 0x40;
const G = 0x100;
const NX = 1n << 63n;

/** Sets the entry of page `index` of the window. */
function setEntry(guest: Guest, index: number, entry: number | bigint): void {
  guest.view.setBigUint64(WINDOW_TABLE + 8 * index, BigInt(entry), true);
}

const entryOf = (guest: Guest, index: number): bigint =>
  guest.view.getBigUint64(WINDOW_TABLE + 8 * index, true);

describe.each(EXECUTIONS)('with the compiler %s', (jit) => {
  /**
   * A guest whose window has four pages, present and writable. A page fault reports its error code
   * and CR2's offset in the window, and goes on at the address in R15.
   */
  function guestOf(source: string): Guest {
    const guest = new Guest(new ObservedEngine(jit), 64, source);
    guest.reportExceptions(6, 8, 13);
    guest.view.setBigUint64(PDPT + 8, BigInt(WINDOW_DIRECTORY | P | W | U), true);
    guest.view.setBigUint64(WINDOW_DIRECTORY, BigInt(WINDOW_TABLE | P | W | U), true);
    guest.view.setBigUint64(PML4, BigInt(PDPT | P | W | U), true);
    for (let index = 0; index < 4; index++)
      setEntry(guest, index, (FRAMES + 0x1000 * index) | P | W);
    guest.handler(
      14,
      `
    mov r14, rax
    mov eax, [rsp]
    report
    mov rax, cr2
    sub rax, ${WINDOW}
    report
    mov rax, r14
    add rsp, 8
    mov [rsp], r15
    iretq
  `,
    );
    return guest;
  }

  test('accessed and dirty bits are set by the first access that needs them', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov rax, [rbx]
    mov eax, [${WINDOW_TABLE}]
    report
    mov [rbx + 0x1000], rax
    mov eax, [${WINDOW_TABLE + 8}]
    report
    mov [rbx], rax # in the TLB already, but for reading
    mov eax, [${WINDOW_TABLE}]
    report
    mov eax, [${WINDOW_DIRECTORY}]
    report
    done
  `);
    expect(guest.reports()).toEqual([
      FRAMES | P | W | A,
      (FRAMES + 0x1000) | P | W | A | D,
      FRAMES | P | W | A | D,
      WINDOW_TABLE | P | W | U | A,
    ]);
    expect(entryOf(guest, 2)).toBe(BigInt((FRAMES + 0x2000) | P | W));
  });

  test('an instruction that faulted runs again once its page is there', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov ecx, 5
    lea r15, [rip + again]
  again:
    add dword ptr [rbx + rcx * 4], ecx
    mov eax, [rbx + rcx * 4]
    report
    done
  `);
    setEntry(guest, 0, 0);
    guest.view.setUint32(FRAMES + 20, 100, true);
    guest.runToPort(0x10);
    const { vei } = guest.params.vrp_exit;
    expect(vei.vei_data).toBe(2); // a write by the supervisor, not present
    guest.runToPort(0x10);
    expect(vei.vei_data).toBe(20);
    setEntry(guest, 0, FRAMES | P | W);
    expect(guest.reports()).toEqual([105]);
  });

  test('a store across pages changes nothing when either of them faults', () => {
    for (const missing of [0, 1]) {
      const guest = guestOf(`
      mov rbx, ${WINDOW + 0xffc}
      mov rax, -1
      lea r15, [rip + behind]
      mov [rbx], rax
    behind:
      done
    `);
      setEntry(guest, missing, (FRAMES + 0x1000 * missing) | P); // read-only
      const wp = guest.registers();
      wp.vrs_crs[0] |= 0x10000n;
      guest.setRegisters(4, wp);
      expect(guest.reports()).toEqual([3, missing === 0 ? 0xffc : 0x1000]);
      expect(guest.view.getUint32(FRAMES + 0xffc, true)).toBe(0);
      expect(guest.view.getUint32(FRAMES + 0x1000, true)).toBe(0);
    }
  });

  test('loads and stores across pages whose frames are apart', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW + 0xffd}
    mov eax, 0x44332211
    mov [rbx], eax
    mov eax, [rbx]
    report
    mov ax, [rbx + 2]
    movzx eax, ax
    report
    add dword ptr [rbx], 0x01010101
    lock add dword ptr [rbx], 0x01010101
    mov eax, [rbx]
    report
    done
  `);
    setEntry(guest, 0, (FRAMES + 0x3000) | P | W);
    expect(guest.reports()).toEqual([0x44332211, 0x4433, 0x46352413]);
    expect(guest.view.getUint8(FRAMES + 0x3ffd)).toBe(0x13);
    expect(guest.view.getUint8(FRAMES + 0x1000)).toBe(0x46);
  });

  test('the supervisor writes read-only pages unless CR0.WP is set', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    lea r15, [rip + behind]
    mov dword ptr [rbx], 7
    mov eax, [rbx]
    report
    mov rax, cr0
    or eax, 0x10000
    mov cr0, rax
    mov dword ptr [rbx], 8
    mov eax, 99
    report
  behind:
    mov eax, [rbx]
    report
    done
  `);
    setEntry(guest, 0, FRAMES | P);
    expect(guest.reports()).toEqual([7, 3, 0, 7]);
  });

  test('pages with NX are read, not executed', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov byte ptr [rbx], 0xc3 # RET
    mov eax, [rbx]
    report
    lea r15, [rip + behind]
    call rbx
    mov eax, 99
    report
  behind:
    done
  `);
    setEntry(guest, 0, BigInt(FRAMES | P | W) | NX);
    expect(guest.reports()).toEqual([0xc3, 0x11, 0]);
  });

  test('SMEP and SMAP keep the supervisor off user pages; STAC lifts SMAP', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov byte ptr [rbx], 0xc3 # RET
    call rbx
    mov rax, cr4
    or eax, 0x300000
    mov cr4, rax
    lea r15, [rip + 1f]
    mov eax, [rbx]
  1:
    stac
    mov eax, [rbx]
    report
    mov dword ptr [rbx], 0xc3c3
    clac
    lea r15, [rip + 2f]
    mov dword ptr [rbx + 4], 1
  2:
    stac
    mov eax, [rbx]
    report
    lea r15, [rip + 3f] # SMEP knows no AC
    call rbx
  3:
    done
  `);
    setEntry(guest, 0, FRAMES | P | W | U);
    expect(guest.reports()).toEqual([1, 0, 0xc3, 3, 4, 0xc3c3, 0x11, 0]);
  });

  test('a translation lives until INVLPG, and INVLPG forgets no other', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov dword ptr [rbx], 10
    mov dword ptr [rbx + 0x1000], 11
    mov qword ptr [${WINDOW_TABLE}], ${(FRAMES + 0x2000) | P | W}
    invlpg [rbx + 0x123]
    mov eax, [rbx]
    report
    mov eax, [rbx + 0x1000]
    report
    done
  `);
    guest.view.setUint32(FRAMES + 0x2000, 12, true);
    expect(guest.reports()).toEqual([12, 11]);
  });

  test('INVLPG of any address in a page of 2 MiB forgets all of it', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov eax, [rbx + 0x50000]
    report
    mov eax, [rbx + 0x51000]
    report
    mov qword ptr [${WINDOW_DIRECTORY}], ${WINDOW_TABLE | P | W}
    invlpg [rbx + 0x7000]
    mov eax, [rbx + 0x50000]
    report
    mov eax, [rbx + 0x51000]
    report
    done
  `);
    guest.view.setBigUint64(WINDOW_DIRECTORY, 0x83n, true);
    for (let index = 0; index < 4; index++) {
      setEntry(guest, 0x50 + index, (FRAMES + 0x2000 + 0x1000 * (index & 1)) | P | W);
      guest.view.setUint32(FRAMES + 0x1000 * index, 20 + index, true);
    }
    expect(guest.reports()).toEqual([20, 21, 22, 23]);
  });

  test('MOV CR3 forgets what is not global, and a change of CR4.PGE everything', () => {
    const guest = guestOf(`
    mov rax, cr4
    or rax, 0x80
    mov cr4, rax
    mov rbx, ${WINDOW}
    mov eax, [rbx] # global
    mov eax, [rbx + 0x1000] # not
    mov qword ptr [${WINDOW_TABLE}], ${(FRAMES + 0x2000) | P | W | G}
    mov qword ptr [${WINDOW_TABLE + 8}], ${(FRAMES + 0x3000) | P | W}
    mov rax, cr3
    mov cr3, rax
    mov eax, [rbx]
    report
    mov eax, [rbx + 0x1000]
    report
    mov rax, cr4
    xor rax, 0x80
    mov cr4, rax
    mov eax, [rbx]
    report
    done
  `);
    for (let index = 0; index < 4; index++) {
      guest.view.setUint32(FRAMES + 0x1000 * index, 30 + index, true);
    }
    setEntry(guest, 0, FRAMES | P | W | G);
    expect(guest.reports()).toEqual([30, 33, 32]);
  });

  test('user mode reaches user pages only, and its faults say so', () => {
    // The supervisor's reads fill a TLB of their own, which must be of no use to user mode.
    const guest = guestOf(`
    or qword ptr [${PDPT}], 4
    or qword ptr [${DIRECTORY}], 4
    lgdt [rip + gdtr]
    mov ax, 0x28
    ltr ax
    mov rbx, ${WINDOW}
    mov eax, [rbx]
    mov eax, [rbx + 0x1000]
    push 0x23
    push 0x38000
    push 0x3002
    push 0x1b
    lea rax, [rip + user]
    push rax
    mov rax, cr3
    mov cr3, rax
    iretq
  user:
    mov eax, [rbx + 0x1000]
    report
    mov dword ptr [rbx + 0x1000], 42
    mov eax, [rbx]
    done
  gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00affb000000ffff, 0x00cff3000000ffff
    .quad 0x00008903a0000067, 0
  gdtr:
    .word 0x37
    .quad gdt
  `);
    guest.view.setBigUint64(0x3a004, 0x3f000n, true); // RSP0 of the TSS at 0x3a000
    setEntry(guest, 1, (FRAMES + 0x1000) | P | W | U);
    guest.view.setUint32(FRAMES + 0x1000, 41, true);
    guest.handler(
      14,
      `
    mov eax, [rsp]
    report
    mov rax, cr2
    sub rax, ${WINDOW}
    report
    done
  `,
    );
    expect(guest.reports()).toEqual([41, 5, 0]);
    expect(guest.view.getUint32(FRAMES + 0x1000, true)).toBe(42);
  });

  test('a store that the monitor forbids exits before it has done anything', () => {
    const guest = guestOf(`
    mov rbx, ${WINDOW}
    mov eax, [rbx]
    report
    mov dword ptr [rbx], 1
    mov eax, [rbx]
    report
    done
  `);
    guest.view.setUint32(FRAMES, 50, true);
    const protect = (prot: number): void =>
      guest.device.mprotectEpt({
        vmep_vm_id: guest.id,
        vmep_vcpu_id: 0,
        vmep_sgpa: BigInt(FRAMES),
        vmep_size: 4096n,
        vmep_prot: prot,
      });
    protect(1);
    const { vei } = guest.params.vrp_exit;
    guest.runToPort(0x10);
    expect(vei.vei_data).toBe(50);
    const EPT_VIOLATION = 48;
    guest.runUntil((reason) => reason === EPT_VIOLATION);
    const before = guest.registers();
    expect(guest.view.getUint32(FRAMES, true)).toBe(50);
    protect(3);
    guest.setRegisters(VM_RWREGS_GPRS, before);
    guest.params.vrp_continue = 0;
    expect(guest.reports()).toEqual([1]);
  });
});
