// Constants and series coefficients of the transcendental functions, computed when a module is
// built rather than written down as digits.

import { type WideConstant, wideConstant } from './softfloat-wide.ts';

/** Fixed-point numbers with this many fraction bits: 64 more than are needed. */
const FRACTION_BITS = 192n;
const ONE = 1n << FRACTION_BITS;

/**
 * atan(numerator / denominator) for arguments up to 1, by Euler's series
 * x/(1+x²) · Σ Π 2k/(2k+1) · x²/(1+x²): each term is at most half of the one before.
 */
export function arctangent(numerator: bigint, denominator: bigint): WideConstant {
  return fixed(arctangentFixed(numerator, denominator));
}

function arctangentFixed(numerator: bigint, denominator: bigint): bigint {
  const square = numerator * numerator;
  const sum = square + denominator * denominator;
  let term = (ONE * numerator * denominator) / sum;
  let total = 0n;
  for (let k = 1n; term > 0n; k++) {
    total += term;
    term = (term * 2n * k * square) / ((2n * k + 1n) * sum);
  }
  return total;
}

/** ln 2 = 2 atanh(1/3). */
function logarithmOf2(): bigint {
  let power = ONE / 3n;
  let total = 0n;
  for (let k = 1n; power > 0n; k += 2n) {
    total += power / k;
    power /= 9n;
  }
  return 2n * total;
}

const fixed = (value: bigint): WideConstant => wideConstant(value, ONE);

/** π / 4, π / 2, 3π / 4 and π. */
export const quarterPi: WideConstant = fixed(arctangentFixed(1n, 1n));
export const halfPi: WideConstant = fixed(2n * arctangentFixed(1n, 1n));
export const threeQuarterPi: WideConstant = fixed(3n * arctangentFixed(1n, 1n));
export const pi: WideConstant = fixed(4n * arctangentFixed(1n, 1n));
/** ln 2, and 2 / ln 2. */
export const ln2: WideConstant = fixed(logarithmOf2());
export const twoOverLn2: WideConstant = wideConstant(2n * ONE, logarithmOf2());

const factorial = (n: number): bigint => (n === 0 ? 1n : BigInt(n) * factorial(n - 1));
const series = (count: number, term: (k: number) => WideConstant): readonly WideConstant[] =>
  Array.from({ length: count }, (_, k) => term(k));
const alternating = (k: number): bigint => (k % 2 ? -1n : 1n);

/** sin x / x in x², for |x| <= π / 4: the next term is below 2^-102. */
export const sineSeries: readonly WideConstant[] = series(13, (k) =>
  wideConstant(alternating(k), factorial(2 * k + 1)),
);
/** cos x in x², for |x| <= π / 4: the next term is below 2^-106. */
export const cosineSeries: readonly WideConstant[] = series(14, (k) =>
  wideConstant(alternating(k), factorial(2 * k)),
);
/** (e^x - 1) / x in x, for |x| <= ln 2: the next term is below 2^-112. */
export const exponentialSeries: readonly WideConstant[] = series(27, (k) =>
  wideConstant(1n, factorial(k + 1)),
);
/** atan x / x in x², for |x| <= 1/16: the next term is below 2^-108. */
export const arctangentSeries: readonly WideConstant[] = series(13, (k) =>
  wideConstant(alternating(k), BigInt(2 * k + 1)),
);
/** atanh x / x in x², for |x| <= 3 - √8: the next term is below 2^-106. */
export const inverseHyperbolicSeries: readonly WideConstant[] = series(20, (k) =>
  wideConstant(1n, BigInt(2 * k + 1)),
);
