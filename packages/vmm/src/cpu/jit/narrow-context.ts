// The compiler's side of Context outside 64-bit code: real-address and virtual-8086 mode, 16- and
// 32-bit segments, compatibility mode. SDM vol. 3A, 5.3 (limit checking), vol. 1, 3.3.
//
// What a code page's key says is constant here: how wide the stack pointer is, and whether ES, SS
// and DS are flat, all of the address space. With flat segments an address costs nothing, as only
// an access across 4 GiB can break the limit, and such a one misses the TLB: the limit is looked at
// there. Other segments are looked at each time, by limit and access rights as they are in the
// state; whatever is not plain (expand-down, code, read-only, null) is decided by checkedAddress.

import { c32, c64, call, type I32, type I64, i32, i64 } from '../../wasm/expr.ts';
import type { CodeKind } from '../code-page.ts';
import type { Size } from '../context.ts';
import {
  AR_UNUSABLE,
  CS,
  DS,
  ES,
  SEGMENT_AR,
  SEGMENT_LIMIT,
  SLOT,
  SS,
  segmentCache,
  VECTOR,
} from '../state.ts';
import { JitContext, type RegionParts } from './jit-context.ts';
import type { LocalFlags } from './local-flags.ts';

const LINEAR_MASK = 0xffffffff;
/** Access rights that say whether a segment is data up to its limit that may be written. */
const KIND = AR_UNUSABLE | 0xe;
const WRITABLE_DATA = 2;

/** One instruction of a region outside 64-bit code, on the region's locals. */
export class NarrowContext extends JitContext {
  override readonly stackBytes: Size;
  private readonly kind: CodeKind;
  /** The segment whose limit the next access must respect; undefined when it is seen to. */
  private unchecked: { readonly segment: number; readonly isWrite: boolean } | undefined;

  /** The direct target has been looked at. */
  private isChecked = false;

  constructor(parts: RegionParts, flags: LocalFlags, kind: CodeKind) {
    super(parts, flags);
    this.kind = kind;
    this.stackBytes = kind.stackBytes;
  }

  // Addresses.

  private get maskValue(): number {
    return 2 ** (8 * this.at.instruction.addrSize) - 1;
  }

  override addressMask(): I64 {
    return c64(this.maskValue);
  }

  override setAddressRegister(n: number, value: I64): void {
    this.setGpr(n, this.at.instruction.addrSize, value);
  }

  private masked(offset: I64): I64 {
    return this.f.let(i64.and(offset, this.addressMask()));
  }

  /** The address before it is cut to the address size. */
  private sum(): I64 {
    const { base, index, scale, disp } = this.at.instruction;
    if (this.row.operands.some((operand) => operand.place === 'moffs')) return c64(disp >>> 0);
    let sum: I64 = c64(disp);
    if (base >= 0) sum = i64.add(this.locals.gpr(base), sum);
    if (index >= 0) sum = i64.add(sum, i64.shl(this.locals.gpr(index), c64(scale)));
    return sum;
  }

  override effectiveAddress(): I64 {
    return this.masked(this.sum());
  }

  override linearAddress(bytes: number, write: boolean, delta?: I64): I64 {
    const offset = this.masked(delta ? i64.add(this.sum(), delta) : this.sum());
    const linear = this.address(this.at.instruction.segment, offset, bytes, write);
    this.checkFlat(linear, bytes);
    return linear;
  }

  protected override operandAddress(bytes: number, write: boolean): I64 {
    const offset = this.effectiveAddress();
    return this.address(this.at.instruction.segment, offset, bytes, write);
  }

  override sourceAddress(offset: I64, bytes: number, write: boolean): I64 {
    return this.address(this.at.instruction.segment, this.masked(offset), bytes, write);
  }

  override segmentAddress(segment: number, offset: I64, bytes: number, write: boolean): I64 {
    return this.address(segment, offset, bytes, write);
  }

  private isFlat(segment: number): boolean {
    return this.kind.hasFlatData && (segment === ES || segment === SS || segment === DS);
  }

  /**
   * The linear address of `offset` in a segment. In a flat one the limit is not looked at yet: that
   * is for the next access to do.
   */
  private address(segment: number, offset: I64, bytes: number, isWrite: boolean): I64 {
    this.unchecked = undefined;
    if (this.isFlat(segment)) {
      if (bytes > 1) this.unchecked = { segment, isWrite };
      return offset;
    }
    const { f, cpu } = this;
    const cache = segmentCache(segment);
    const kind = i32.and(i32.load(cpu, cache + SEGMENT_AR), c32(KIND));
    const last = bytes === 1 ? offset : i64.add(offset, c64(bytes - 1));
    const isBeyond = i64.gt_u(last, i64.load32_u(cpu, cache + SEGMENT_LIMIT));
    f.if(i32.or(i32.ne(kind, c32(WRITABLE_DATA)), isBeyond), () => {
      this.checkSlowly(segment, offset, bytes, isWrite);
    });
    const base = i64.load(cpu, SLOT.segmentBase + 8 * segment);
    return f.let(i64.and(i64.add(base, offset), c64(LINEAR_MASK)));
  }

  private checkSlowly(segment: number, offset: I64, bytes: number, isWrite: boolean): void {
    const { f, cpu } = this;
    const { checkedAddress } = this.runtime.memory;
    f.drop(call(checkedAddress, cpu, c32(segment), offset, c32(bytes), c32(isWrite ? 1 : 0)));
    this.faultIfSet();
  }

  /** Looks at the limit of a flat segment, for accesses that {@link translate} does not see. */
  private checkFlat(linear: I64, bytes: number): void {
    const { unchecked } = this;
    if (!unchecked) return;
    this.unchecked = undefined;
    this.f.if(i64.gt_u(linear, c64(LINEAR_MASK - (bytes - 1))), () => {
      this.checkSlowly(unchecked.segment, linear, bytes, unchecked.isWrite);
    });
  }

  protected override translate(
    linear: I64,
    bytes: number,
    tag: number,
    hit: (host: I32) => void,
    miss: () => void,
  ): void {
    const { unchecked } = this;
    this.unchecked = undefined;
    const checkedMiss = (): void => {
      this.unchecked = unchecked;
      this.checkFlat(linear, bytes);
      miss();
    };
    super.translate(linear, bytes, tag, hit, unchecked ? checkedMiss : miss);
  }

  override get hasPlainStrings(): boolean {
    const { addrSize, segment } = this.at.instruction;
    return addrSize === 4 && this.kind.hasFlatData && this.isFlat(segment);
  }

  // Control.

  /** RIP of the direct target, relative to the page. */
  private get targetOffset(): number {
    const { length, immLo } = this.at.instruction;
    return this.at.offset + length + immLo;
  }

  /** RIP of the direct target, as it would be without a limit to how far it goes. */
  private directRip(): I64 {
    return i64.add(this.locals.ripBase, c64(this.targetOffset));
  }

  /**
   * The limit of CS is what the code page was found by: forward within the page and within the
   * limit, nothing can be wrong, unless IP wraps.
   */
  private get isSurelyWithin(): boolean {
    if (this.opsize === 2) return false;
    if (this.kind.hasFlatCode) return true;
    const { targetOffset } = this;
    return targetOffset >= this.at.offset && targetOffset < this.kind.end;
  }

  override checkBranch(condition?: I32): void {
    if (this.isSurelyWithin || this.isChecked) return;
    this.isChecked = true;
    const mask = this.opsize === 2 ? 0xffff : LINEAR_MASK;
    const isOutside = this.isBeyondCode(i64.and(this.directRip(), c64(mask)));
    const when = condition ? i32.and(condition, isOutside) : isOutside;
    this.raise(VECTOR.GP, { code: c32(0), when });
  }

  override checkTarget(rip: I64): void {
    if (this.kind.hasFlatCode) return;
    this.raise(VECTOR.GP, { code: c32(0), when: this.isBeyondCode(rip) });
  }

  private isBeyondCode(rip: I64): I32 {
    return i64.gt_u(rip, i64.load32_u(this.cpu, segmentCache(CS) + SEGMENT_LIMIT));
  }

  override branch(condition?: I32): void {
    const kept = condition && this.f.let(condition);
    this.checkBranch(kept);
    if (this.opsize === 2) {
      // IP wraps at 64 KiB: to somewhere else in the page, or in memory, than the offset says.
      const wraps = i64.gt_u(this.directRip(), c64(0xffff));
      this.f.if(kept ? i32.and(kept, wraps) : wraps, () => {
        this.f.set(this.locals.target, i64.and(this.directRip(), c64(0xffff)));
        this.ways.wrap();
      });
    }
    super.branch(kept);
  }
}
