/* Scans of strings: libc's, which choose SSE2 or SSE4.2 by CPUID, and PCMPISTRI itself. */

#include <nmmintrin.h>
#include <string.h>

#include "bench.h"

#define TEXT_BYTES 65536
#define STRINGS 512

static char *text;
static char *copy;
static unsigned starts[STRINGS];

/* Strings of 0 to 255 bytes, one after the other, and the same again at another alignment. */
static void
make_strings(void)
{
	uint64_t seed = 2024;
	unsigned at = 0;

	text = allocate(TEXT_BYTES + 64);
	copy = (char *)allocate(TEXT_BYTES + 64) + 3;
	for (unsigned i = 0; i < STRINGS; i++) {
		unsigned length = next_random(&seed) % 126;

		starts[i] = at;
		while (length-- > 0)
			text[at++] = 'a' + next_random(&seed) % 26;
		text[at++] = '\0';
	}
	memcpy(copy, text, TEXT_BYTES);
}

/* The compiler must not know what is called, or it does the work itself. */
static size_t (*volatile libc_strlen)(const char *) = strlen;
static void *(*volatile libc_memchr)(const void *, int, size_t) = memchr;
static int (*volatile libc_strcmp)(const char *, const char *) = strcmp;
static char *(*volatile libc_strstr)(const char *, const char *) = strstr;

static uint64_t
scan_strlen(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++)
		for (unsigned string = 0; string < STRINGS; string++)
			sum = mix(sum, libc_strlen(text + starts[string]));
	return sum;
}

static uint64_t
scan_memchr(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		const char *at = text, *end = text + TEXT_BYTES;

		/* The zeros between the strings, and after the last one each byte. */
		while (at < text + starts[STRINGS - 1] && (at = libc_memchr(at, 0, end - at)) != NULL)
			sum += (size_t)(at++ - text);
	}
	return sum;
}

static uint64_t
scan_strcmp(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned string = 0; string < STRINGS; string++) {
			unsigned other = (string * 7 + i) % STRINGS;

			sum += libc_strcmp(text + starts[string], copy + starts[string]) == 0;
			sum += libc_strcmp(text + starts[string], copy + starts[other]) < 0 ? 3 : 5;
		}
	}
	return sum;
}

static uint64_t
scan_strstr(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++)
		for (unsigned string = 0; string < STRINGS; string++)
			sum += libc_strstr(text + starts[string], "xyz") != NULL ? string : 1;
	return sum;
}

/* Finds digits and vowels as a parser finds its delimiters: equal to any, and in ranges. */
__attribute__((target("sse4.2"))) static uint64_t
scan_pcmpistri(uint64_t steps)
{
	const __m128i any = _mm_setr_epi8('a', 'e', 'i', 'o', 'u', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	const __m128i range = _mm_setr_epi8('x', 'z', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < starts[STRINGS - 1]; at += 8) {
			__m128i chunk = _mm_loadu_si128((const __m128i *)(text + at));

			sum += _mm_cmpistri(any, chunk, _SIDD_CMP_EQUAL_ANY);
			sum += 16 * _mm_cmpistri(range, chunk, _SIDD_CMP_RANGES);
		}
	}
	return sum;
}

const struct item string_items[] = {
	{ "strlen", "call", STRINGS, 1000, 10000, scan_strlen, make_strings },
	{ "memchr", "call", STRINGS, 1000, 10000, scan_memchr, make_strings },
	{ "strcmp", "call", 2 * STRINGS, 400, 4000, scan_strcmp, make_strings },
	{ "strstr", "call", STRINGS, 500, 5000, scan_strstr, make_strings },
	{ "pcmpistri", "step", 1, 50, 500, scan_pcmpistri, make_strings },
	{ NULL },
};
