// All instruction rows. The order gives the ids, and has no other meaning.

import { parseRows } from './parse-rows.ts';
import type { Row } from './row.ts';
import { arithmetic } from './rows/arithmetic.ts';
import { avxFloat } from './rows/avx-float.ts';
import { avxInteger } from './rows/avx-integer.ts';
import { bits } from './rows/bits.ts';
import { bmi } from './rows/bmi.ts';
import { control } from './rows/control.ts';
import { fma } from './rows/fma.ts';
import { mmx } from './rows/mmx.ts';
import { move } from './rows/move.ts';
import { sseFloat } from './rows/sse-float.ts';
import { sseInteger } from './rows/sse-integer.ts';
import { system } from './rows/system.ts';
import { x87 } from './rows/x87.ts';

/** Every instruction encoding known, with `rows[i].id === i`. */
export const rows: readonly Row[] = parseRows([
  arithmetic,
  bits,
  move,
  control,
  system,
  x87,
  mmx,
  sseFloat,
  sseInteger,
  bmi,
  avxFloat,
  avxInteger,
  fma,
]);
