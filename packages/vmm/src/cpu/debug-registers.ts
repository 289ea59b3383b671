// DR0 to DR7: SDM vol. 3B, 18.2. Modelled: the aliases DR4 and DR5, general detection, reserved
// bits. An enabled breakpoint makes the interpreter go step by step (S.stepping); matching is its
// business. Deliberately not: RTM and bus-lock detection, whose bits stay as a processor without
// them has them.

import { c32, c64, call, type Fn, type I32, i32, i64 } from '../wasm/expr.ts';
import type { FunctionBuilder } from '../wasm/function.ts';
import type { ModuleBuilder } from '../wasm/module.ts';
import { CR4_DE, control, DR6_BD, DR7_GD, hasBits } from './control-bits.ts';
import { Faults } from './faults.ts';
import type { Modes } from './modes.ts';
import { S, VECTOR } from './state.ts';

const DR6 = S.dr + 8 * 6;
const DR7 = S.dr + 8 * 7;
/** DR6: B0 to B3, BD, BS, BT can be written; the others read as one, but for bit 12. */
const DR6_WRITABLE = 0xe00f;
const DR6_FIXED = 0xffff0ff0;
/** DR7: bits 15, 14, 12 and 11 are zero, bit 10 is one. */
const DR7_WRITABLE = 0xffff23ff;
const DR7_FIXED = 0x400;

/** Functions on debug registers. */
export interface DebugRegisters {
  /** (cpu, number) -> the register; S.faultVector tells. */
  readonly read: Fn<'i64'>;
  /** (cpu, number, value) -> fault. */
  readonly write: Fn<'i32'>;
}

/** Defines {@link DebugRegisters}. */
export function defineDebugRegisters(m: ModuleBuilder, modes: Modes): DebugRegisters {
  const check = defineCheck(m);
  return {
    read: m.function('readDebug', ['i32', 'i32'], 'i64', (f) => {
      const [cpu, number] = [f.param(0, 'i32'), f.param(1, 'i32')];
      f.if(call(check, cpu, number), () => f.return(c64(0)));
      f.return(i64.load(registerAt(cpu, aliased(f, number)), S.dr));
    }),
    write: m.function('writeDebug', ['i32', 'i32', 'i64'], 'i32', (f) => {
      const [cpu, value] = [f.param(0, 'i32'), f.param(2, 'i64')];
      const faults = new Faults(f, cpu);
      faults.attempt(check, cpu, f.param(1, 'i32'));
      const number = aliased(f, f.param(1, 'i32'));
      f.if(i32.lt_u(number, c32(4)), () => {
        f.store64(registerAt(cpu, number), value, S.dr);
        f.return(c32(0));
      });
      const upper = i32.wrap(i64.shr_u(value, c64(32)));
      faults.raiseIf(upper, VECTOR.GP, 0);
      const low = f.let(i32.wrap(value));
      const masked = (writable: number, fixed: number) =>
        i64.extend_u(i32.or(i32.and(low, c32(writable)), c32(fixed)));
      f.if(
        i32.eq(number, c32(6)),
        () => f.store64(cpu, masked(DR6_WRITABLE, DR6_FIXED), DR6),
        () => {
          f.store64(cpu, masked(DR7_WRITABLE, DR7_FIXED), DR7);
          f.call(modes.updateStepping, cpu);
        },
      );
      f.return(c32(0));
    }),
  };
}

const registerAt = (cpu: I32, number: I32): I32 => i32.add(cpu, i32.shl(number, c32(3)));

/** DR4 and DR5 are DR6 and DR7. */
function aliased(f: FunctionBuilder, number: I32): I32 {
  const pair = i32.and(number, c32(6));
  return f.let(i32.or(number, i32.shl(i32.eq(pair, c32(4)), c32(1))));
}

/** (cpu, number) -> fault: #UD for registers that do not exist, #DB under general detection. */
function defineCheck(m: ModuleBuilder): Fn<'i32'> {
  return m.function('checkDebug', ['i32', 'i32'], 'i32', (f) => {
    const [cpu, number] = [f.param(0, 'i32'), f.param(1, 'i32')];
    const faults = new Faults(f, cpu);
    const alias = i32.eq(i32.and(number, c32(6)), c32(4));
    const noAlias = i32.and(alias, hasBits(control(cpu, S.cr4), CR4_DE));
    faults.raiseIf(i32.or(i32.gt_u(number, c32(7)), noAlias), VECTOR.UD);
    f.if(hasBits(i32.load(cpu, DR7), DR7_GD), () => {
      f.store32(cpu, i32.or(i32.load(cpu, DR6), c32(DR6_BD)), DR6);
      faults.raise(VECTOR.DB);
    });
    f.return(c32(0));
  });
}
