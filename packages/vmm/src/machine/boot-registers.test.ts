// Against the "64-bit Boot Protocol" of Linux's boot.rst, and SDM 3A table 10-1 for what it leaves.
import { expect, test } from 'vitest';
import { VCPU_CRS, VCPU_DRS, VCPU_MSRS, VCPU_REGS, VCPU_SREGS } from '../vmm/registers.ts';
import {
  AR_CODE64,
  AR_DATA32,
  type BootState,
  flatSegment,
  flatSegments,
  gprs,
} from './boot/boot-state.ts';
import { bootRegisters } from './boot-registers.ts';

const boot: BootState = {
  gprs: gprs({ rsi: 0x2000, r15: 0xf15 }),
  rip: 0x1_0000_0200,
  rflags: 2,
  cr0: 0x8000_0031,
  cr3: 0x3000,
  cr4: 0x20,
  efer: 0x500,
  segments: flatSegments(flatSegment(0x10, AR_CODE64), flatSegment(0x18, AR_DATA32)),
  gdtr: { base: 0x1000, limit: 0x1f },
  idtr: { base: 0, limit: 0 },
};

test('bootRegisters() puts every register of the boot state into its place', () => {
  const state = bootRegisters(boot);
  expect(state.vrs_gprs[VCPU_REGS.RSI]).toBe(0x2000n);
  expect(state.vrs_gprs[VCPU_REGS.R15]).toBe(0xf15n);
  expect(state.vrs_gprs[VCPU_REGS.RDX]).toBe(0n);
  expect(state.vrs_gprs[VCPU_REGS.RIP]).toBe(0x1_0000_0200n);
  expect(state.vrs_gprs[VCPU_REGS.RFLAGS]).toBe(2n);
  expect(state.vrs_crs[VCPU_CRS.CR0]).toBe(0x8000_0031n);
  expect(state.vrs_crs[VCPU_CRS.CR3]).toBe(0x3000n);
  expect(state.vrs_crs[VCPU_CRS.CR4]).toBe(0x20n);
  expect(state.vrs_msrs[VCPU_MSRS.EFER]).toBe(0x500n);
  // IA32_MISC_ENABLE: fast strings on, as after power-on.
  expect(state.vrs_msrs[VCPU_MSRS.MISC_ENABLE] & 1n).toBe(1n);
  expect(state.vrs_sregs[VCPU_SREGS.CS]).toEqual({
    vsi_sel: 0x10,
    vsi_limit: 0xffff_ffff,
    vsi_ar: AR_CODE64,
    vsi_base: 0n,
  });
  expect(state.vrs_sregs[VCPU_SREGS.SS].vsi_sel).toBe(0x18);
  expect(state.vrs_sregs[VCPU_SREGS.TR].vsi_limit).toBe(0xffff);
  expect(state.vrs_gdtr).toMatchObject({ vsi_base: 0x1000n, vsi_limit: 0x1f });
  expect(state.vrs_idtr).toMatchObject({ vsi_base: 0n, vsi_limit: 0 });
});

test('bootRegisters() leaves what the boot state does not name as RESET does', () => {
  const state = bootRegisters(boot);
  expect(state.vrs_crs[VCPU_CRS.XCR0]).toBe(1n);
  expect(state.vrs_drs[VCPU_DRS.DR6]).toBe(0xffff_0ff0n);
  expect(state.vrs_drs[VCPU_DRS.DR7]).toBe(0x400n);
});
