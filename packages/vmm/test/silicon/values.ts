// Operand values worth trying: those at which carries, signs, saturation, rounding, underflow and
// special cases change, among random ones. Numbers are bigints of their bit patterns. Formats of SDM
// vol. 1, 4.2 (tables 4-2 to 4-4); unsupported x87 encodings of 8.2.2.

import type { Random } from './random.ts';
import { Fx } from './vectors.ts';

/** What the bytes of a register or of memory are meant as. */
export type ValueStyle = 'integer' | 'single' | 'double';

const mask = (bits: number): bigint => (1n << BigInt(bits)) - 1n;

/** An integer of `bits` bits. */
export function integerValue(random: Random, bits: number): bigint {
  const choice = random.below(100);
  if (choice < 40) return random.bits(bits);
  if (choice < 65) {
    // 0, 1 and -1 at the edges of every narrower width: 0x7f, 0x80, 0xff, 0x100, 0x7fff, ...
    const edge = random.pick([0n, 1n << BigInt(random.pick([7, 8, 15, 16, 31, 32, 63, 64]))]);
    return BigInt.asUintN(bits, edge + BigInt(random.between(-1, 1)));
  }
  if (choice < 85) return BigInt.asUintN(bits, BigInt(random.between(-128, 127)));
  const narrow = random.bits(random.between(1, bits));
  return BigInt.asUintN(bits, random.percent(50) ? narrow : -narrow);
}

/** The fields of a floating-point format. */
interface Format {
  readonly exponentBits: number;
  readonly fractionBits: number;
}

const SINGLE: Format = { exponentBits: 8, fractionBits: 23 };
const DOUBLE: Format = { exponentBits: 11, fractionBits: 52 };

/** A fraction: all zeros, all ones, one bit, few bits at the top, or anything. */
function fraction(random: Random, bits: number): bigint {
  switch (random.below(8)) {
    case 0:
      return 0n;
    case 1:
      return mask(bits);
    case 2:
      return 1n << BigInt(random.below(bits));
    case 3:
    case 4:
      return (random.bits(bits) >> BigInt(bits - 4)) << BigInt(bits - 4);
    default:
      return random.bits(bits);
  }
}

/** A biased exponent, mostly near 1.0 so that operands meet, sometimes where integers end. */
function exponent(random: Random, bits: number): bigint {
  const bias = (1 << (bits - 1)) - 1;
  const choice = random.below(100);
  if (choice < 45) return BigInt(bias + random.between(-3, 4));
  if (choice < 60) return BigInt(bias + random.pick([7, 8, 15, 16, 30, 31, 32, 62, 63, 64]));
  if (choice < 70) return BigInt(random.between(1, 4));
  if (choice < 80) return BigInt((1 << bits) - 1 - random.between(1, 4));
  return BigInt(random.between(1, (1 << bits) - 2));
}

function floatValue(random: Random, format: Format): bigint {
  const { exponentBits, fractionBits } = format;
  const sign = BigInt(random.below(2)) << BigInt(exponentBits + fractionBits);
  const infinity = mask(exponentBits) << BigInt(fractionBits);
  const quiet = 1n << BigInt(fractionBits - 1);
  const choice = random.below(100);
  if (choice < 8) return sign;
  if (choice < 13) return sign | infinity;
  if (choice < 19) return sign | infinity | quiet | random.bits(fractionBits - 1);
  if (choice < 24) return sign | infinity | random.bits(fractionBits - 1) | 1n;
  if (choice < 31) return sign | random.bits(random.between(1, fractionBits));
  const power = exponent(random, exponentBits) << BigInt(fractionBits);
  return sign | power | fraction(random, fractionBits);
}

/** A single-precision number. */
export const singleValue = (random: Random): bigint => floatValue(random, SINGLE);

/** A double-precision number. */
export const doubleValue = (random: Random): bigint => floatValue(random, DOUBLE);

/** An 80-bit number, sometimes of the encodings that no x87 since the 387 produces. */
export function extendedValue(random: Random): bigint {
  const sign = BigInt(random.below(2)) << 79n;
  const top = 0x7fffn << 64n;
  const integerBit = 1n << 63n;
  const choice = random.below(100);
  if (choice < 8) return sign;
  if (choice < 13) return sign | top | integerBit;
  if (choice < 18) return sign | top | (3n << 62n) | random.bits(62);
  if (choice < 22) return sign | top | integerBit | random.bits(62) | 1n;
  if (choice < 27) return sign | random.bits(random.between(1, 63));
  if (choice < 30) return sign | integerBit | random.bits(63); // pseudo-denormal
  if (choice < 32) return sign | (exponent(random, 15) << 64n) | random.bits(63); // unnormal
  if (choice < 34) return sign | top | random.bits(63); // pseudo-infinity, pseudo-NaN
  return sign | (exponent(random, 15) << 64n) | integerBit | fraction(random, 63);
}

/** `length` bytes of values in `style`. */
export function styledBytes(random: Random, style: ValueStyle, length: number): Uint8Array {
  const bytes = new Uint8Array((length + 7) & ~7);
  const view = new DataView(bytes.buffer);
  // Equal lanes now and then: comparisons and saturation want them.
  const integerBits = random.pick([8, 16, 32, 64]);
  for (let at = 0; at < bytes.length; at += 8) {
    if (style === 'double') view.setBigUint64(at, doubleValue(random), true);
    else if (style === 'single') {
      view.setUint32(at, Number(singleValue(random)), true);
      view.setUint32(at + 4, Number(singleValue(random)), true);
    } else {
      let lanes = 0n;
      for (let bit = 0; bit < 64; bit += integerBits) {
        lanes |= integerValue(random, integerBits) << BigInt(bit);
      }
      view.setBigUint64(at, lanes, true);
    }
  }
  return bytes.subarray(0, length);
}

const STATUS_ERRORS = 0x3f;
const STATUS_SUMMARY = 0x8080; // ES, and B, which mirrors it (SDM vol. 1, 8.1.3)

/** The x87 control word: rounding and precision anyhow, exceptions masked as a rule. */
export function controlWord(random: Random): number {
  const masks = random.percent(75) ? 0x3f : random.below(64);
  return 0x40 | masks | (random.pick([0, 2, 3, 3]) << 8) | (random.below(4) << 10);
}

/** The status word that goes with `control`: an unmasked exception pending only if `pending`. */
export function statusWord(random: Random, control: number, pending: boolean): number {
  const sticky = random.percent(50) ? 0 : random.below(0x80);
  const errors = pending ? sticky : sticky & (control | 0x40);
  const summary = (errors & ~control & STATUS_ERRORS) !== 0 ? STATUS_SUMMARY : 0;
  return (
    errors | summary | (random.below(8) << 8) | (random.below(8) << 11) | (random.below(2) << 14)
  );
}

/** MXCSR: rounding, FTZ and DAZ anyhow, exceptions masked as a rule, some flags already set. */
export function mxcsrValue(random: Random): number {
  const masks = random.percent(80) ? 0x3f : random.below(64);
  const modes = random.percent(60) ? 0 : random.pick([0x8000, 0x0040, 0x8040]);
  const flags = random.percent(60) ? 0 : random.below(64);
  return flags | (masks << 7) | (random.below(4) << 13) | modes;
}

/** A random FXSAVE image; `style` is that of the XMM registers, `mmx` that ST holds MMX values. */
export function fxValue(random: Random, style: ValueStyle, mmx: boolean): Uint8Array {
  const fx = new Uint8Array(512);
  const view = new DataView(fx.buffer);
  const control = controlWord(random);
  view.setUint16(Fx.fcw, control, true);
  view.setUint16(Fx.fsw, statusWord(random, control, random.percent(5)), true);
  // FXSAVE's tag byte has a bit for each register in use. Programs use few at a time.
  fx[Fx.ftw] = random.percent(70) ? 0xff : random.below(256);
  view.setUint32(Fx.mxcsr, mxcsrValue(random), true);
  for (let index = 0; index < 8; index++) {
    const at = Fx.st + index * 16;
    const value = extendedValue(random);
    view.setBigUint64(at, value & mask(64), true);
    view.setUint16(at + 8, Number(value >> 64n), true);
    if (mmx) fx.set(styledBytes(random, 'integer', 8), at);
  }
  fx.set(styledBytes(random, style, Fx.end - Fx.xmm), Fx.xmm);
  return fx;
}
