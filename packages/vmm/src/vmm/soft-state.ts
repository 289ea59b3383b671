// The soft processor's state to and from what a suspension keeps (vcpu-state.ts): what the register
// classes of soft-registers.ts leave out. Flags, TLBs, decoded code and whatever else follows from
// the architectural state is not here; the engine derives it before it runs.

import { refuse } from '../base/saved-state.ts';
import { MSR } from '../cpu/msr.ts';
import { S, TLB_ALIGNED } from '../cpu/state.ts';
import type { SavedMsr, SavedX87, VcpuState } from './vcpu-state.ts';

/** The MSRs besides those of READREGS: index, and place in the state. */
const MSRS: readonly (readonly [number, number])[] = [
  [MSR.SYSENTER_CS, S.sysenterCs],
  [MSR.SYSENTER_ESP, S.sysenterEsp],
  [MSR.SYSENTER_EIP, S.sysenterEip],
  [MSR.PAT, S.pat],
  [MSR.TSC_AUX, S.tscAux],
  [MSR.SPEC_CTRL, S.specCtrl],
  [MSR.DEBUGCTL, S.debugCtl],
];

const XMM_BYTES = 256;
const X87_BYTES = 128;
/** MXCSR bits 16 to 31 are reserved: no processor can hold them (SDM vol. 1, 10.2.3). */
const MXCSR_VALID = 0xffff;

/** What {@link saveProcessor} and {@link loadProcessor} exchange. */
export type ProcessorState = Pick<
  VcpuState,
  'cr8' | 'x87' | 'xmm' | 'ymmHigh' | 'mxcsr' | 'msrs' | 'tscOffset' | 'shadow'
>;

/** The state at `base`. */
export function saveProcessor(view: DataView, base: number): ProcessorState {
  const get = (offset: number): bigint => view.getBigUint64(base + offset, true);
  return {
    cr8: get(S.cr8),
    x87: saveX87(view, base),
    xmm: copy(view, base + S.xmm, XMM_BYTES),
    ymmHigh: copy(view, base + S.ymmHigh, XMM_BYTES),
    mxcsr: view.getUint32(base + S.mxcsr, true),
    msrs: MSRS.map(([index, offset]): SavedMsr => ({ index, value: get(offset) })),
    tscOffset: get(S.tscOffset),
    shadow: view.getUint32(base + S.shadow, true),
  };
}

/** Puts it back. EINVAL for what the processor cannot hold. */
export function loadProcessor(
  view: DataView,
  base: number,
  state: ProcessorState,
  where: string,
): void {
  const set = (offset: number, value: bigint): void =>
    view.setBigUint64(base + offset, value, true);
  if ((state.mxcsr & ~MXCSR_VALID) !== 0) refuse(where, 'has reserved bits in MXCSR');
  set(S.cr8, state.cr8);
  loadX87(view, base, state.x87);
  paste(view, base + S.xmm, state.xmm);
  paste(view, base + S.ymmHigh, state.ymmHigh);
  view.setUint32(base + S.mxcsr, state.mxcsr, true);
  for (const { index, value } of state.msrs) {
    const place = MSRS.find(([known]) => known === index);
    if (place === undefined) refuse(where, `has an MSR 0x${index.toString(16)}`);
    set(place[1], value);
  }
  set(S.tscOffset, state.tscOffset);
  view.setUint32(base + S.shadow, state.shadow, true);
}

function saveX87(view: DataView, base: number): SavedX87 {
  return {
    fcw: view.getUint16(base + S.fcw, true),
    fsw: view.getUint16(base + S.fsw, true),
    ftw: view.getUint8(base + S.ftw),
    fop: view.getUint16(base + S.fop, true) & 0x7ff,
    fip: view.getBigUint64(base + S.fip, true),
    fdp: view.getBigUint64(base + S.fdp, true),
    fcs: view.getUint16(base + S.fcs, true),
    fds: view.getUint16(base + S.fds, true),
    registers: copy(view, base + S.fpr, X87_BYTES),
  };
}

function loadX87(view: DataView, base: number, x87: SavedX87): void {
  view.setUint16(base + S.fcw, x87.fcw, true);
  view.setUint16(base + S.fsw, x87.fsw, true);
  view.setUint8(base + S.ftw, x87.ftw);
  view.setUint16(base + S.fop, x87.fop, true);
  view.setBigUint64(base + S.fip, x87.fip, true);
  view.setBigUint64(base + S.fdp, x87.fdp, true);
  view.setUint16(base + S.fcs, x87.fcs, true);
  view.setUint16(base + S.fds, x87.fds, true);
  paste(view, base + S.fpr, x87.registers);
}

/** A copy in private memory. */
function copy(view: DataView, at: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  bytes.set(new Uint8Array(view.buffer, at, length));
  return bytes;
}

function paste(view: DataView, at: number, bytes: Uint8Array): void {
  new Uint8Array(view.buffer, at, bytes.length).set(bytes);
}

/** Resets everything that the register classes do not carry; `words` is all of the state. */
export function resetState(view: DataView, base: number, words: Int32Array): void {
  const keep = [S.physicalMap, S.codeMap, S.codeGeneration, S.touchedPages, S.heatLimit].map(
    (offset) => [offset >>> 2, words[offset >>> 2]] as const,
  );
  words.fill(0);
  words.fill(-1, TLB_ALIGNED >>> 2);
  for (const [index, value] of keep) words[index] = value;
  const set64 = (offset: number, value: bigint): void =>
    view.setBigUint64(base + offset, value, true);
  words[S.faultVector >>> 2] = -1;
  words[S.delivering >>> 2] = -1;
  words[S.eflags >>> 2] = 2;
  set64(S.physicalMask, (1n << 40n) - 1n);
  set64(S.addressMask, 0xffn);
  set64(S.addressMask + 8, 0xffffn);
  set64(S.addressMask + 16, 0xffffffffn);
  set64(S.addressMask + 24, 0xffffffffffffffffn);
  set64(S.pat, 0x0007040600070406n);
  set64(S.miscEnable, 0x1801n);
  set64(S.xcr0, 1n);
  view.setUint16(base + S.fcw, 0x40, true);
  words[S.mxcsr >>> 2] = 0x1f80;
}
