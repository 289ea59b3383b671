// Sizes as fmt_scaled(3) of OpenBSD's libutil writes them: at most four characters and a scale, one
// digit after the point below 100.

const SCALES = ['B', 'K', 'M', 'G', 'T', 'P', 'E'];

/** A number of bytes for people: `512M`, `1.0G`, `88.1M`. */
export function fmtScaled(bytes: number): string {
  let exponent = 0;
  let unit = 1;
  while (exponent < SCALES.length - 1 && bytes >= unit * 1024) {
    unit *= 1024;
    exponent++;
  }
  if (exponent === 0) return `${bytes}B`;
  const tenths = Math.floor((bytes * 10) / unit + 0.5);
  // What rounds to a thousand and more of its unit is one of the next, as in 1.0G.
  if (tenths >= 10_240 && exponent < SCALES.length - 1) return `1.0${SCALES[exponent + 1]}`;
  if (tenths >= 1000) return `${Math.floor((tenths + 5) / 10)}${SCALES[exponent]}`;
  return `${Math.floor(tenths / 10)}.${tenths % 10}${SCALES[exponent]}`;
}
