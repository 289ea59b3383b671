// The VEX part of the rows' notation (SDM vol. 2A, 3.1.1.2): `VEX.256.66.0F38.W0 58 /r`.
//
// VEX.length.prefix.map.W, of which the length is 128, 256, LZ (must be 0) or LIG (ignored); the
// prefix NP, 66, F3 or F2; the map 0F, 0F38 or 0F3A; W W0, W1 or WIG. A row that leaves the length
// out is two rows, for 128 and for 256 bits, in which the operand types below stand for those of
// either length; of features given as `avx/avx2` the first is that of 128 bits. `/is4` is a byte
// whose bits 7:4 are a register.

import type { PrefixRule, VexRule } from './row.ts';

/** Operand types of a row for both lengths, with what they are for 128 and for 256 bits. */
const BY_LENGTH: Readonly<Record<string, readonly [string, string]>> = {
  xy: ['xmm', 'ymm'],
  'xy/m': ['xmm/m128', 'ymm/m256'],
  'xy/mh': ['xmm/m64', 'xmm/m128'],
  'xy/mq': ['xmm/m32', 'xmm/m64'],
  'xy/me': ['xmm/m16', 'xmm/m32'],
  mxy: ['m128', 'm256'],
  vm32xy: ['vm32x', 'vm32y'],
  vm64xy: ['vm64x', 'vm64y'],
};

/** The lines that `line` stands for: one, or one for each vector length. */
export function expandVex(line: string, shared: readonly string[]): [string, string[]][] {
  const both = /VEX\.(?!128|256|LIG|LZ)/.exec(line);
  if (both === null) return [[line, [...shared]]];
  return ([128, 256] as const).map((length, i) => {
    const typed = line.replace(/:(\S+)/g, (whole, type) =>
      type in BY_LENGTH ? `:${BY_LENGTH[type][i]}` : whole,
    );
    const features = shared.map((trait) => trait.split('/')[i] ?? trait);
    return [typed.replace('VEX.', `VEX.${length}.`), features];
  });
}

const LENGTHS: Readonly<Record<string, VexRule['length']>> = { 128: 0, LZ: 0, 256: 1, LIG: 'LIG' };
const PREFIXES: readonly string[] = ['NP', '66', 'F3', 'F2'];
const MAPS: Readonly<Record<string, 1 | 2 | 3>> = { '0F': 1, '0F38': 2, '0F3A': 3 };
const W: Readonly<Record<string, VexRule['w']>> = { W0: 0, W1: 1, WIG: 'WIG' };

/** What a VEX token says. */
export interface VexToken {
  readonly vex: VexRule;
  readonly prefix: PrefixRule;
  readonly map: 1 | 2 | 3;
}

/** Reads `VEX.length.prefix.map.W`; undefined when it is not of that form. */
export function parseVex(token: string): VexToken | undefined {
  const [, length, prefix, map, w] = token.split('.');
  const known = length in LENGTHS && PREFIXES.includes(prefix) && map in MAPS && w in W;
  if (!known) return undefined;
  const vex = { length: LENGTHS[length], w: W[w] };
  return { vex, prefix: prefix as PrefixRule, map: MAPS[map] };
}
