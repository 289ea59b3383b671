// The public face of the library.
export type { Clock, Entropy } from './base/clock.ts';
export { VirtualClock } from './base/clock.ts';
export type { Errno } from './base/errors.ts';
export { VmmError } from './base/errors.ts';
