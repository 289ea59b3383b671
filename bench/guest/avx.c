/* AVX, AVX2 and FMA, 256 bits at a time. These items run where the processor has them. */

#include <immintrin.h>
#include <string.h>

#include "bench.h"

#define FRAME_BYTES 65536
#define ORDER 64
#define TEXT_BYTES 4096

#define V3 __attribute__((target("avx2,fma")))

static unsigned char *frame_a, *frame_b, *frame_c;
static double *left, *right, *product;

static void
make_frames(void)
{
	frame_a = allocate(FRAME_BYTES + 32);
	frame_b = allocate(FRAME_BYTES + 32);
	frame_c = allocate(FRAME_BYTES + 32);
	fill_random(frame_a, FRAME_BYTES, 201);
	fill_random(frame_b, FRAME_BYTES, 202);
}

static void
make_matrices(void)
{
	left = allocate(ORDER * ORDER * sizeof *left);
	right = allocate(ORDER * ORDER * sizeof *right);
	product = allocate(ORDER * ORDER * sizeof *product);
	for (unsigned i = 0; i < ORDER * ORDER; i++) {
		left[i] = (double)(i % 97) / 89 - 0.5;
		right[i] = (double)(i % 61) / 53 - 0.5;
	}
}

V3 static __m256i
load(const unsigned char *from)
{
	return _mm256_loadu_si256((const __m256i *)from);
}

V3 static void
store(unsigned char *to, __m256i value)
{
	_mm256_storeu_si256((__m256i *)to, value);
}

V3 static uint64_t
sum_of(__m256i sums)
{
	uint64_t lanes[4];

	_mm256_storeu_si256((__m256i *)lanes, sums);
	return mix(mix(lanes[0], lanes[1]), mix(lanes[2], lanes[3]));
}

/* Frames faded into each other, as the SSE2 item has it. */
V3 static uint64_t
avx2(uint64_t steps)
{
	const __m256i zero = _mm256_setzero_si256();
	__m256i sums = zero;

	for (uint64_t i = 0; i < steps; i++) {
		const __m256i weight = _mm256_set1_epi16((short)(i & 127));

		for (unsigned at = 0; at < FRAME_BYTES; at += 32) {
			__m256i a = load(frame_a + at), b = load(frame_b + at);
			__m256i low = _mm256_sub_epi16(_mm256_unpacklo_epi8(a, zero),
			    _mm256_unpacklo_epi8(b, zero));
			__m256i high = _mm256_sub_epi16(_mm256_unpackhi_epi8(a, zero),
			    _mm256_unpackhi_epi8(b, zero));

			low = _mm256_srai_epi16(_mm256_mullo_epi16(low, weight), 7);
			high = _mm256_srai_epi16(_mm256_mullo_epi16(high, weight), 7);
			store(frame_c + at, _mm256_adds_epu8(b, _mm256_packus_epi16(low, high)));
			sums = _mm256_add_epi64(sums,
			    _mm256_sad_epu8(a, _mm256_max_epu8(b, load(frame_c + at))));
		}
	}
	return mix_bytes(sum_of(sums), frame_c, FRAME_BYTES);
}

/* Shuffles within and across halves, and shifts by a count for each lane. */
V3 static uint64_t
avx2_permute(uint64_t steps)
{
	const __m256i order = _mm256_setr_epi32(7, 2, 5, 0, 3, 6, 1, 4);
	const __m256i counts = _mm256_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15);
	__m256i sums = _mm256_setzero_si256();

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < FRAME_BYTES; at += 32) {
			__m256i a = load(frame_a + at), b = load(frame_b + at);
			__m256i across = _mm256_permutevar8x32_epi32(a, order);
			__m256i within = _mm256_shuffle_epi8(across, b);

			within = _mm256_xor_si256(within, _mm256_srlv_epi32(b, counts));
			within = _mm256_permute4x64_epi64(within, 0x4e);
			sums = _mm256_add_epi32(sums, _mm256_blend_epi32(within, across, 0x5a));
		}
	}
	return sum_of(sums);
}

/* A product of matrices: multiplication and addition, then the same fused. */
/* Without FMA, or the compiler would fuse what is not meant to be. */
__attribute__((target("avx2"))) static uint64_t
avx_matrix(uint64_t steps)
{
	for (uint64_t step = 0; step < steps; step++) {
		for (unsigned i = 0; i < ORDER; i++) {
			for (unsigned j = 0; j < ORDER; j += 4) {
				__m256d sum = _mm256_setzero_pd();

				for (unsigned k = 0; k < ORDER; k++) {
					__m256d a = _mm256_broadcast_sd(left + i * ORDER + k);
					__m256d b = _mm256_loadu_pd(right + k * ORDER + j);

					sum = _mm256_add_pd(sum, _mm256_mul_pd(a, b));
				}
				_mm256_storeu_pd(product + i * ORDER + j, sum);
			}
		}
		left[step % (ORDER * ORDER)] += 0.25;
	}
	return mix_bytes(0, (unsigned char *)product, ORDER * ORDER * sizeof *product);
}

V3 static uint64_t
fma_matrix(uint64_t steps)
{
	for (uint64_t step = 0; step < steps; step++) {
		for (unsigned i = 0; i < ORDER; i++) {
			for (unsigned j = 0; j < ORDER; j += 4) {
				__m256d sum = _mm256_setzero_pd();

				for (unsigned k = 0; k < ORDER; k++) {
					__m256d a = _mm256_broadcast_sd(left + i * ORDER + k);
					__m256d b = _mm256_loadu_pd(right + k * ORDER + j);

					sum = _mm256_fmadd_pd(a, b, sum);
				}
				_mm256_storeu_pd(product + i * ORDER + j, sum);
			}
		}
		left[step % (ORDER * ORDER)] += 0.25;
	}
	return mix_bytes(0, (unsigned char *)product, ORDER * ORDER * sizeof *product);
}

/* A copy through YMM registers, four at a time, of sizes that programs copy. */
V3 static uint64_t
avx_copy(uint64_t steps)
{
	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < FRAME_BYTES; at += 128) {
			__m256i a = load(frame_a + at), b = load(frame_a + at + 32);
			__m256i c = load(frame_a + at + 64), d = load(frame_a + at + 96);

			store(frame_c + at, a);
			store(frame_c + at + 32, b);
			store(frame_c + at + 64, c);
			store(frame_c + at + 96, d);
		}
		frame_a[i % FRAME_BYTES]++;
	}
	return mix_bytes(0, frame_c, FRAME_BYTES);
}

/* The length of a string as C libraries find it: 128 bytes a round. */
V3 static uint64_t
avx_strlen(uint64_t steps)
{
	const __m256i zero = _mm256_setzero_si256();
	uint64_t total = 0;

	memset(frame_b, 'x', TEXT_BYTES + 256);
	for (uint64_t i = 0; i < steps; i++) {
		unsigned at = 0, end = TEXT_BYTES - (unsigned)(i & 255);

		frame_b[end] = 0;
		for (;;) {
			__m256i first = _mm256_min_epu8(load(frame_b + at), load(frame_b + at + 32));
			__m256i second = _mm256_min_epu8(load(frame_b + at + 64), load(frame_b + at + 96));
			__m256i least = _mm256_min_epu8(first, second);

			if (_mm256_movemask_epi8(_mm256_cmpeq_epi8(least, zero)) != 0) break;
			at += 128;
		}
		while (frame_b[at] != 0) at++;
		total = mix(total, at);
		frame_b[end] = 'x';
	}
	return total;
}

const struct item avx_items[] = {
	{ "avx2", "byte", FRAME_BYTES, 100, 1000, avx2, make_frames },
	{ "avx2-permute", "byte", FRAME_BYTES, 100, 1000, avx2_permute, make_frames },
	{ "avx-matrix", "product", ORDER * ORDER * ORDER, 10, 100, avx_matrix, make_matrices },
	{ "avx-fma", "product", ORDER * ORDER * ORDER, 4, 40, fma_matrix, make_matrices },
	{ "avx-copy", "byte", FRAME_BYTES, 2500, 25000, avx_copy, make_frames },
	{ "avx-strlen", "byte", TEXT_BYTES, 30000, 300000, avx_strlen, make_frames },
	{ NULL },
};
