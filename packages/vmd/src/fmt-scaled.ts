// Sizes as fmt_scaled(3) of OpenBSD's libutil writes them: the largest scale, a power of 1024, of
// which there is at least one, and a digit after the point if there are fewer than a hundred.

const SCALES = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** A number of bytes, an integer that is not negative, for people: `512M`, `1.0G`, `88.1M`. */
export function fmtScaled(bytes: number): string {
  let scale = 0;
  let below = 1;
  let unit = 1;
  while (scale < SCALES.length - 1 && bytes >= unit * 1024) {
    below = unit;
    unit *= 1024;
    scale++;
  }
  let whole = Math.floor(bytes / unit);
  const parts = Math.floor((bytes % unit) / below); // of 1024
  let tenths = scale === 0 ? 0 : Math.floor((10 * parts + 512) / 1024);
  if (tenths >= 10) {
    whole++;
    tenths = 0;
  }
  if (scale > 0 && whole < 100) return `${whole}.${tenths}${SCALES[scale]}`;
  return `${tenths >= 5 ? whole + 1 : whole}${SCALES[scale]}`;
}
