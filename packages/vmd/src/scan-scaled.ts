// Sizes with a scale, as scan_scaled(3) of OpenBSD's libutil reads them: a decimal number, with a
// fraction if there is a scale, and one of B K M G T P E in either case, powers of 1024.

import { VmmError } from 'vmm/errors';

const SCALES = 'BKMGTPE';

/**
 * The number of bytes that `text` means, the fraction of a byte cut off. EINVAL for anything else,
 * and for what a double does not hold exactly; `what` names the value in the refusal.
 */
export function scanScaled(text: string, what: string): number {
  const match = /^\s*([+-]?)(\d*)(?:\.(\d*))?([BKMGTPE]?)$/i.exec(text);
  const [, sign = '', whole = '', fraction = '', scale = ''] = match ?? [];
  if (match === null || (whole === '' && fraction === '') || sign === '-') {
    throw new VmmError('EINVAL', `invalid ${what}: ${text}`);
  }
  const unit = 1024n ** BigInt(scale === '' ? 0 : SCALES.indexOf(scale.toUpperCase()));
  // Exact arithmetic: 0.1G is 107374182 bytes and not what doubles make of it.
  const digits = BigInt(whole + fraction);
  const bytes = (digits * unit) / 10n ** BigInt(fraction.length);
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new VmmError('EINVAL', `invalid ${what}: ${text} is too large`);
  }
  return Number(bytes);
}
