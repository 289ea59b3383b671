// The semantics of AVX, AVX2, F16C and FMA, by row: those of this processor's own, or else those of
// the SSE instruction that a row is a form of.

import { rows } from '../isa/rows.ts';
import { laneSemantic } from './avx-lanes.ts';
import { avxMemorySemantics } from './avx-memory.ts';
import { avxMoveSemantics } from './avx-move.ts';
import { avxShuffleSemantics } from './avx-shuffle.ts';
import { type Semantic, type SemanticTable, semanticOf } from './context.ts';
import { fmaSemantic } from './fma.ts';
import { halfSemantics } from './half-precision.ts';
import { ZERO } from './sse-operand.ts';
import { S } from './state.ts';

const own: SemanticTable = {
  ...avxMoveSemantics,
  ...avxMemorySemantics,
  ...avxShuffleSemantics,
  ...halfSemantics,
};

/** VPCMPESTRM, VPCMPISTRM: XMM0, which they write, is an operand that no row lists. */
const clearingUpper =
  (semantic: Semantic): Semantic =>
  (x) => {
    semantic(x);
    x.f.storeV128(x.cpu, ZERO, S.ymmHigh);
  };

/** The semantics of all rows with a VEX prefix that work on vectors, by row name. */
export function avxSemantics(sse: SemanticTable): SemanticTable {
  const table: Record<string, Semantic> = {};
  for (const row of rows) {
    if (row.unit !== 'avx') continue;
    const semantic = semanticOf(own, row) ?? fmaSemantic(row.mnemonic) ?? laneSemantic(row, sse);
    if (!semantic) continue;
    const writesMask = /^vpcmp.strm$/.test(row.mnemonic);
    table[row.name] = writesMask ? clearingUpper(semantic) : semantic;
  }
  return table;
}
