// The semantics of MMX, SSE to SSE4.2, AES, PCLMULQDQ, CRC32 and POPCNT.

import { aesSemantics } from './aes.ts';
import { polynomialSemantics } from './binary-polynomials.ts';
import type { SemanticTable } from './context.ts';
import { sseCompareSemantics } from './sse-compare.ts';
import { sseConvertSemantics } from './sse-convert.ts';
import { sseFloatSemantics } from './sse-float.ts';
import { sseIntegerSemantics } from './sse-integer.ts';
import { sseMoveSemantics } from './sse-move.ts';
import { sseReciprocalSemantics } from './sse-reciprocal.ts';
import { sseRoundSemantics } from './sse-round.ts';
import { sseShuffleSemantics } from './sse-shuffle.ts';
import { sseStringSemantics } from './sse-string.ts';

/** The semantics of MMX and SSE, by mnemonic. */
export const sseSemantics: SemanticTable = {
  ...sseMoveSemantics,
  ...sseIntegerSemantics,
  ...sseShuffleSemantics,
  ...sseFloatSemantics,
  ...sseCompareSemantics,
  ...sseRoundSemantics,
  ...sseConvertSemantics,
  ...sseReciprocalSemantics,
  ...sseStringSemantics,
  ...aesSemantics,
  ...polynomialSemantics,
};
