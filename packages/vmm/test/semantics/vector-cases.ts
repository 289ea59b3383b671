// Vectors for vector instructions: the generator's register forms in 64-bit code, of which many
// have an MXCSR under which the fast paths of SSE are taken, and operands at the edges of those.

import type { Row } from '../../src/isa/row.ts';
import type { SiliconVector } from '../silicon/format.ts';
import { type Form, formsOf } from '../silicon/forms.ts';
import { type GeneratedVector, Generator } from '../silicon/generate.ts';
import { Random } from '../silicon/random.ts';
import { hostFeatures } from '../silicon/runner.ts';
import { Fx } from '../silicon/vectors.ts';

/** All exceptions masked, to nearest, PE set: what programs run with after their first division. */
const MXCSR_FAST = 0x1fa0;
const XMM_BYTES = 256;

/** The forms of `rows` whose operands are registers. */
export function registerForms(rows: readonly Row[]): Form[] {
  const host = hostFeatures();
  return formsOf(64, (feature) => host.has(feature)).filter(
    ({ row, memory }) => !memory && row.encoding.forms !== 'memory' && rows.includes(row),
  );
}

/** `count` vectors of `form`, the same each time. */
export function casesOf(form: Form, count: number): GeneratedVector[] {
  const generator = new Generator();
  const random = new Random(1);
  const cases: GeneratedVector[] = [];
  for (let index = 0; index < count; index++) {
    const generated = generator.generate(form, index);
    if (!generated) continue;
    const fx = generated.vector.fx.slice();
    if (index % 2 === 0) new DataView(fx.buffer).setUint32(Fx.mxcsr, MXCSR_FAST, true);
    if (index % 3 === 0) fillWithEdges(fx, random);
    const vector: SiliconVector = { ...generated.vector, fx };
    cases.push({ ...generated, vector });
  }
  return cases;
}

/** Exponents at which a conversion or a rounding changes its ways. */
const EXPONENTS: readonly number[] = [
  -150, -149, -127, -126, -125, -2, -1, 0, 1, 22, 23, 24, 25, 30, 31, 32, 51, 52, 53, 54, 62, 63,
  64, 126, 127, 128,
]; // biome-ignore format: a list

/**
 * Fills the XMM registers with one kind of number: powers of two and their neighbours, or two
 * groups whose products (or quotients) are at the edge of underflow or overflow.
 */
function fillWithEdges(fx: Uint8Array, random: Random): void {
  const view = new DataView(fx.buffer, Fx.xmm);
  const double = random.percent(50);
  const edge = random.percent(50) ? powers(random) : products(random, double);
  const bytes = double ? 8 : 4;
  for (let at = 0; at < XMM_BYTES; at += bytes) {
    const value = edge() * (random.percent(50) ? 1 : -1);
    if (double) view.setFloat64(at, value, true);
    else view.setFloat32(at, value, true);
    if (Number.isNaN(value)) continue;
    // Some units in the last place up or down.
    view.setInt32(at, view.getInt32(at, true) + random.between(-2, 2), true);
  }
}

const powers =
  (random: Random): (() => number) =>
  () => {
    const power = 2 ** random.pick(EXPONENTS);
    return power + random.pick([0, 0, 0.25, 0.5, -0.5, 1, -1, power / 2]);
  };

function products(random: Random, double: boolean): () => number {
  const [least, greatest] = double ? [-1022, 1023] : [-126, 127];
  const sum = random.pick([least, greatest]) + random.between(-3, 3);
  const one = random.between(Math.ceil(sum / 2) - 20, Math.ceil(sum / 2) + 20);
  const significand = (): number =>
    random.pick([1, 1, 1 + random.below(0x1000) / 0x1000, 2 - 2 ** -20]);
  return () => {
    const exponent = random.pick([one, sum - one, -(sum - one)]);
    return significand() * 2 ** exponent;
  };
}
