/* Kernels of real programs: sorting, hashing, checksums, compression. */

#include <nmmintrin.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define BLOCK_BYTES 65536

static unsigned char *block;

static void
make_block(void)
{
	block = allocate(BLOCK_BYTES);
	fill_random(block, BLOCK_BYTES, 1);
}

#define SORT_COUNT 20000

static uint32_t *numbers;

static void
make_numbers(void)
{
	numbers = allocate(SORT_COUNT * sizeof(*numbers));
}

/* Quicksort with insertion sort below 16 (Sedgewick, CACM 21:10), written out for one type. */
static void
quicksort(uint32_t *low, uint32_t *high)
{
	while (high - low > 16) {
		uint32_t middle = low[(high - low) / 2], *i = low, *j = high - 1;

		while (i <= j) {
			while (*i < middle)
				i++;
			while (*j > middle)
				j--;
			if (i <= j) {
				uint32_t kept = *i;

				*i++ = *j;
				*j-- = kept;
			}
		}
		quicksort(low, j + 1);
		low = i;
	}
	for (uint32_t *i = low + 1; i < high; i++) {
		uint32_t value = *i, *j = i;

		for (; j > low && j[-1] > value; j--)
			*j = j[-1];
		*j = value;
	}
}

static uint64_t
sort(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		fill_random(numbers, SORT_COUNT * sizeof(*numbers), i + 1);
		quicksort(numbers, numbers + SORT_COUNT);
		for (unsigned at = 1; at < SORT_COUNT; at++)
			if (numbers[at - 1] > numbers[at])
				fail("sort: not sorted");
		sum = mix(sum, numbers[i % SORT_COUNT]);
	}
	return sum;
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* libc's, which calls back for each comparison. */
static uint64_t
sort_libc(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		fill_random(numbers, SORT_COUNT * sizeof(*numbers), i + 1);
		qsort(numbers, SORT_COUNT, sizeof(*numbers), compare);
		sum = mix(sum, numbers[i % SORT_COUNT]);
	}
	return sum;
}

#define SLOTS 65536
#define KEYS 40000

static struct {
	uint64_t key;
	uint64_t value;
} *slots;

static void
make_slots(void)
{
	slots = allocate(SLOTS * sizeof(*slots));
}

/* The slot of a key, or the free one where it belongs: linear probing. */
static unsigned
find_slot(uint64_t key)
{
	unsigned at = (key * 0x9e3779b97f4a7c15ULL) >> 48;

	while (slots[at].key != 0 && slots[at].key != key)
		at = (at + 1) % SLOTS;
	return at;
}

/* Counts words of a stream in which each comes several times. */
static uint64_t
hash(uint64_t steps)
{
	uint64_t sum = 0, seed = 17;

	memset(slots, 0, SLOTS * sizeof(*slots));
	for (uint64_t i = 0; i < steps; i++) {
		uint64_t key = next_random(&seed) % KEYS + 1;
		unsigned at = find_slot(key);

		slots[at].key = key;
		sum += ++slots[at].value;
	}
	return sum;
}

static const uint32_t sha256_constants[64] = { /* FIPS 180-4, 4.2.2 */
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t
rotate_right(uint32_t value, unsigned count)
{
	return value >> count | value << (32 - count);
}

/* One block of 64 bytes: FIPS 180-4, 6.2.2. */
static void
sha256_block(uint32_t state[8], const unsigned char *data)
{
	uint32_t schedule[64], v[8];

	for (int t = 0; t < 16; t++) {
		memcpy(&schedule[t], data + 4 * t, 4);
		schedule[t] = __builtin_bswap32(schedule[t]);
	}
	for (int t = 16; t < 64; t++) {
		uint32_t x = schedule[t - 15], y = schedule[t - 2];

		schedule[t] = schedule[t - 16] + schedule[t - 7] +
		    (rotate_right(x, 7) ^ rotate_right(x, 18) ^ x >> 3) +
		    (rotate_right(y, 17) ^ rotate_right(y, 19) ^ y >> 10);
	}
	memcpy(v, state, sizeof(v));
	for (int t = 0; t < 64; t++) {
		uint32_t a = v[0], e = v[4];
		uint32_t t1 = v[7] + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
		    ((e & v[5]) ^ (~e & v[6])) + sha256_constants[t] + schedule[t];
		uint32_t t2 = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
		    ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));

		v[7] = v[6];
		v[6] = v[5];
		v[5] = e;
		v[4] = v[3] + t1;
		v[3] = v[2];
		v[2] = v[1];
		v[1] = a;
		v[0] = t1 + t2;
	}
	for (int i = 0; i < 8; i++)
		state[i] += v[i];
}

static uint64_t
sha256(uint64_t steps)
{
	uint32_t state[8] = { /* FIPS 180-4, 5.3.3 */
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	for (uint64_t i = 0; i < steps; i++)
		for (unsigned at = 0; at < BLOCK_BYTES; at += 64)
			sha256_block(state, block + at);
	return mix_bytes(0, state, sizeof(state));
}

static uint32_t crc_table[256];

/* The polynomial of IEEE 802.3, reflected. */
static void
make_crc_table(void)
{
	make_block();
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
		crc_table[i] = crc;
	}
}

static uint64_t
crc_by_table(uint64_t steps)
{
	uint32_t crc = ~0U;

	for (uint64_t i = 0; i < steps; i++)
		for (unsigned at = 0; at < BLOCK_BYTES; at++)
			crc = crc >> 8 ^ crc_table[(crc ^ block[at]) & 0xff];
	return ~crc;
}

__attribute__((target("sse4.2"))) static uint64_t
crc_by_instruction(uint64_t steps)
{
	uint64_t crc = ~0U;

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < BLOCK_BYTES; at += 16) {
			uint64_t word;
			uint32_t half;

			memcpy(&word, block + at, 8);
			crc = _mm_crc32_u64(crc, word);
			memcpy(&half, block + at + 8, 4);
			crc = _mm_crc32_u32(crc, half);
			crc = _mm_crc32_u8(crc, block[at + 12]);
		}
	}
	return ~crc;
}

#define LZ_HASH_BITS 12
#define LZ_MIN 4
#define LZ_MAX (LZ_MIN + 255)

static unsigned char *lz_packed, *lz_unpacked;

/* Text-like: words of a small vocabulary. */
static void
make_words(void)
{
	static const char *const words[16] = {
		"the ", "guest ", "of ", "processor ", "and ", "memory ", "a ", "register ",
		"in ", "page ", "to ", "interrupt ", "is ", "virtual ", "for ", "machine.\n",
	};
	uint64_t seed = 3;
	unsigned at = 0;

	block = allocate(BLOCK_BYTES);
	lz_packed = allocate(2 * BLOCK_BYTES);
	lz_unpacked = allocate(BLOCK_BYTES);
	while (at < BLOCK_BYTES) {
		const char *word = words[next_random(&seed) >> 7 & 15];

		if ((seed & 7) == 0)
			block[at++] = seed >> 40;
		while (*word != '\0' && at < BLOCK_BYTES)
			block[at++] = *word++;
	}
}

static unsigned
lz_hash(const unsigned char *data)
{
	uint32_t word;

	memcpy(&word, data, sizeof(word));
	return word * 2654435761U >> (32 - LZ_HASH_BITS);
}

/*
 * Greedy Lempel-Ziv: a byte 1, the length and the distance of a match, or a byte 0 and a literal.
 * Returns the packed size.
 */
static size_t
lz_pack(const unsigned char *from, size_t size, unsigned char *to)
{
	static uint32_t recent[1 << LZ_HASH_BITS];
	unsigned char *start = to;
	size_t at = 0;

	memset(recent, 0, sizeof(recent));
	while (at + LZ_MIN <= size) {
		unsigned slot = lz_hash(from + at);
		size_t candidate = recent[slot], length = 0;

		recent[slot] = at;
		if (candidate < at)
			while (length < LZ_MAX && at + length < size &&
			    from[candidate + length] == from[at + length])
				length++;
		if (length >= LZ_MIN) {
			*to++ = 1;
			*to++ = length - LZ_MIN;
			*to++ = (at - candidate) & 0xff;
			*to++ = (at - candidate) >> 8;
			at += length;
		} else {
			*to++ = 0;
			*to++ = from[at++];
		}
	}
	while (at < size) {
		*to++ = 0;
		*to++ = from[at++];
	}
	return to - start;
}

static void
lz_unpack(const unsigned char *from, size_t size, unsigned char *to)
{
	const unsigned char *end = from + size;

	while (from < end) {
		if (*from++ == 0) {
			*to++ = *from++;
		} else {
			unsigned length = *from++ + LZ_MIN, distance = from[0] | from[1] << 8;

			from += 2;
			for (; length > 0; length--, to++)
				*to = to[-(int)distance];
		}
	}
}

static uint64_t
lz(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		size_t size;

		block[i * 31 % BLOCK_BYTES] ^= i;
		size = lz_pack(block, BLOCK_BYTES, lz_packed);
		lz_unpack(lz_packed, size, lz_unpacked);
		if (memcmp(block, lz_unpacked, BLOCK_BYTES) != 0)
			fail("lz: what was unpacked is not what was packed");
		sum = mix(sum, size);
	}
	return sum;
}

const struct item algorithm_items[] = {
	{ "sort", "number", SORT_COUNT, 20, 200, sort, make_numbers },
	{ "sort-libc", "number", SORT_COUNT, 5, 50, sort_libc, make_numbers },
	{ "hash", "lookup", 1, 4000000, 40000000, hash, make_slots },
	{ "sha256", "byte", BLOCK_BYTES, 40, 400, sha256, make_block },
	{ "crc32-table", "byte", BLOCK_BYTES, 100, 1000, crc_by_table, make_crc_table },
	{ "crc32-sse42", "byte", BLOCK_BYTES, 100, 1000, crc_by_instruction, make_block },
	{ "lz", "byte", BLOCK_BYTES, 60, 600, lz, make_words },
	{ NULL },
};
