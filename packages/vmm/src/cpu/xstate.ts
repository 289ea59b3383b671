// The state components of XSAVE: SDM vol. 1, 13.1 and 13.4 (layout of an area), table 13-1.

/** Bits of the state components, as in XCR0. */
export const XSTATE = { x87: 1, sse: 2, avx: 4 } as const;
/** Those that XCR0 can enable, on a processor with AVX. */
export const XSTATE_MASK: number = XSTATE.x87 | XSTATE.sse | XSTATE.avx;

/** Bytes of the legacy region and the header: all of an area without AVX state. */
export const XSAVE_BASE_BYTES = 576;
/**
 * Where AVX state lies, in the standard format and in the compacted one: there is nothing before it
 * but what always has its place.
 */
export const XSAVE_AVX_OFFSET: number = XSAVE_BASE_BYTES;
/** Bytes of AVX state: the upper halves of sixteen YMM registers. */
export const XSAVE_AVX_BYTES = 256;
/** Bytes of an area with everything. */
export const XSAVE_BYTES: number = XSAVE_AVX_OFFSET + XSAVE_AVX_BYTES;
/** Alignment of an area. */
export const XSAVE_ALIGNMENT = 64;
