/* Packed integers, a kernel for each generation: SSE2, SSSE3, SSE4.1. */

#include <smmintrin.h>
#include <tmmintrin.h>

#include "bench.h"

#define FRAME_BYTES 65536

static unsigned char *frame_a, *frame_b, *frame_c;

static void
make_frames(void)
{
	frame_a = allocate(FRAME_BYTES);
	frame_b = allocate(FRAME_BYTES);
	frame_c = allocate(2 * FRAME_BYTES);
	fill_random(frame_a, FRAME_BYTES, 101);
	fill_random(frame_b, FRAME_BYTES, 102);
}

static __m128i
load(const unsigned char *from)
{
	return _mm_loadu_si128((const __m128i *)from);
}

static void
store(unsigned char *to, __m128i value)
{
	_mm_storeu_si128((__m128i *)to, value);
}

/* As in video: differences of two frames, and one faded into the other in 16 bits. */
static uint64_t
sse2(uint64_t steps)
{
	const __m128i zero = _mm_setzero_si128();
	__m128i sums = zero;

	for (uint64_t i = 0; i < steps; i++) {
		const __m128i weight = _mm_set1_epi16((short)(i & 127));

		for (unsigned at = 0; at < FRAME_BYTES; at += 16) {
			__m128i a = load(frame_a + at), b = load(frame_b + at);
			__m128i low = _mm_sub_epi16(_mm_unpacklo_epi8(a, zero), _mm_unpacklo_epi8(b, zero));
			__m128i high = _mm_sub_epi16(_mm_unpackhi_epi8(a, zero), _mm_unpackhi_epi8(b, zero));

			low = _mm_srai_epi16(_mm_mullo_epi16(low, weight), 7);
			high = _mm_srai_epi16(_mm_mullo_epi16(high, weight), 7);
			store(frame_c + at, _mm_adds_epu8(b, _mm_packus_epi16(low, high)));
			sums = _mm_add_epi64(sums, _mm_sad_epu8(a, _mm_max_epu8(b, load(frame_c + at))));
		}
	}
	return mix_bytes(_mm_cvtsi128_si64(sums) + _mm_cvtsi128_si64(_mm_srli_si128(sums, 8)),
	    frame_c, FRAME_BYTES);
}

/* Bytes to hexadecimal digits by a shuffle, and a filter by PMADDUBSW. */
__attribute__((target("ssse3"))) static uint64_t
ssse3(uint64_t steps)
{
	const __m128i digits = _mm_setr_epi8('0', '1', '2', '3', '4', '5', '6', '7',
	    '8', '9', 'a', 'b', 'c', 'd', 'e', 'f');
	const __m128i mask = _mm_set1_epi8(15), taps = _mm_set1_epi32(0x01030301);
	__m128i sums = _mm_setzero_si128();

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < FRAME_BYTES; at += 16) {
			__m128i bytes = load(frame_a + at);
			__m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask);
			__m128i low = _mm_and_si128(bytes, mask);
			__m128i before = _mm_alignr_epi8(bytes, load(frame_b + at), 13);

			high = _mm_shuffle_epi8(digits, high);
			low = _mm_shuffle_epi8(digits, low);
			store(frame_c + 2 * at, _mm_unpacklo_epi8(high, low));
			store(frame_c + 2 * at + 16, _mm_unpackhi_epi8(high, low));
			sums = _mm_add_epi16(sums, _mm_abs_epi16(_mm_maddubs_epi16(before, taps)));
		}
		sums = _mm_hadd_epi16(sums, _mm_set1_epi16((short)i));
	}
	return mix_bytes(_mm_cvtsi128_si64(sums), frame_c, 2 * FRAME_BYTES);
}

/* Dot products of 32-bit numbers, bounds, blends and tests. */
__attribute__((target("sse4.1"))) static uint64_t
sse41(uint64_t steps)
{
	const __m128i most = _mm_set1_epi32(1000000), least = _mm_set1_epi32(-1000000);
	__m128i sums = _mm_setzero_si128();
	uint64_t odd = 0;

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < FRAME_BYTES; at += 16) {
			__m128i a = load(frame_a + at), b = load(frame_b + at);
			__m128i wide = _mm_cvtepi16_epi32(a);
			__m128i products = _mm_mullo_epi32(wide, _mm_cvtepu8_epi32(b));
			__m128i chosen = _mm_blendv_epi8(products, wide, b);

			chosen = _mm_max_epi32(_mm_min_epi32(chosen, most), least);
			sums = _mm_add_epi32(sums, chosen);
			odd += _mm_testz_si128(chosen, _mm_set1_epi32(1));
			odd += (uint32_t)_mm_extract_epi32(sums, 2) & 1;
		}
	}
	return mix(mix(_mm_cvtsi128_si64(sums), _mm_extract_epi64(sums, 1)), odd);
}

const struct item packed_items[] = {
	{ "sse2", "byte", FRAME_BYTES, 100, 1000, sse2, make_frames },
	{ "ssse3", "byte", FRAME_BYTES, 100, 1000, ssse3, make_frames },
	{ "sse41", "byte", FRAME_BYTES, 40, 400, sse41, make_frames },
	{ NULL },
};
