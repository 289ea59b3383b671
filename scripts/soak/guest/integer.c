/*
 * Integer work whose results depend on SEED alone: every width and sign, multiplication and
 * division, shifts, tables, recursion, calls through pointers, and the string functions of libc.
 * One line of output for each part, so that a difference says where it is.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

/* xorshift64*, Vigna 2016. */
static uint64_t next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 2685821657736338717ull;
}

/* One pass of all operators on operands of one type; what C leaves undefined is avoided. */
#define OPERATORS(name, type, bits) \
	static uint64_t name(void) \
	{ \
		uint64_t sum = 0; \
		for (int i = 0; i < 30000; i++) { \
			type a = (type)next(), b = (type)next(); \
			unsigned by = next() % (bits - 1); \
			type divisor = b == 0 || b == (type)-1 ? 7 : b; \
			sum = sum * 31 + (type)((uint64_t)a + (uint64_t)b); \
			sum = sum * 31 + (type)((uint64_t)a - (uint64_t)b); \
			sum = sum * 31 + (type)((uint64_t)a * (uint64_t)b); \
			sum = sum * 31 + (type)(a / divisor) + (type)(a % divisor); \
			sum = sum * 31 + (type)((a & b) ^ (a | ~b)); \
			sum = sum * 31 + (type)((uint64_t)a << by) + (type)(a >> by); \
			sum = sum * 31 + (a < b) + 2 * (a <= b) + 4 * (a == b); \
		} \
		return sum; \
	}

OPERATORS(unsigned8, uint8_t, 8)
OPERATORS(signed8, int8_t, 8)
OPERATORS(unsigned16, uint16_t, 16)
OPERATORS(signed16, int16_t, 16)
OPERATORS(unsigned32, uint32_t, 32)
OPERATORS(signed32, int32_t, 32)
OPERATORS(unsigned64, uint64_t, 64)
OPERATORS(signed64, int64_t, 64)

static uint64_t sieve(void)
{
	static unsigned char composite[200000];
	uint64_t sum = 0;
	unsigned limit = 100000 + next() % 100000;
	for (unsigned i = 2; i < limit; i++) {
		if (composite[i])
			continue;
		sum = sum * 3 + i;
		for (unsigned j = 2 * i; j < limit; j += i)
			composite[j] = 1;
	}
	return sum;
}

static uint64_t crc32(void)
{
	static uint32_t table[256];
	uint32_t crc = ~0u;
	for (unsigned i = 0; i < 256; i++) {
		uint32_t entry = i;
		for (int bit = 0; bit < 8; bit++)
			entry = entry >> 1 ^ (entry & 1 ? 0xedb88320u : 0);
		table[i] = entry;
	}
	for (int i = 0; i < 200000; i++)
		crc = crc >> 8 ^ table[(crc ^ next()) & 255];
	return ~crc;
}

static uint64_t matrix(void)
{
	enum { N = 48 };
	static uint32_t a[N][N], b[N][N];
	uint64_t sum = 0;
	for (int i = 0; i < N * N; i++) {
		a[i / N][i % N] = next();
		b[i / N][i % N] = next();
	}
	for (int i = 0; i < N; i++)
		for (int j = 0; j < N; j++) {
			uint32_t cell = 0;
			for (int k = 0; k < N; k++)
				cell += a[i][k] * b[k][j];
			sum = sum * 7 + cell;
		}
	return sum;
}

static int ascending(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
	return (a > b) - (a < b);
}

static uint64_t sorted(void)
{
	enum { N = 20000 };
	uint64_t *values = malloc(N * sizeof *values), sum = 0;
	for (int i = 0; i < N; i++)
		values[i] = next();
	qsort(values, N, sizeof *values, ascending);
	for (int i = 0; i < N; i++)
		sum = sum * 5 + values[i];
	free(values);
	return sum;
}

static unsigned ackermann(unsigned m, unsigned n)
{
	if (m == 0)
		return n + 1;
	return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

static uint64_t recursion(void)
{
	return ackermann(2, 100 + next() % 100) * 1000ull + ackermann(3, 4);
}

/* libc has these in many forms, by length, alignment and what the processor says it can do. */
static uint64_t strings(void)
{
	static char from[4200], to[4200];
	uint64_t sum = 0;
	for (int i = 0; i < 3000; i++) {
		size_t length = next() % 2000, at = next() % 64, where = next() % 64;
		memset(from, 'a' + i % 26, sizeof from);
		from[at + length] = 0;
		memcpy(to + where, from + at, length + 1);
		sum = sum * 31 + strlen(to + where) + (memcmp(to + where, from + at, length) == 0);
		memmove(to + where + next() % 100, to + where, length);
		to[where + length] = '!';
		to[where + length + 1] = 0;
		sum = sum * 31 + (strchr(to + where, '!') - (to + where));
		sum = sum * 31 + (unsigned char)to[where + length / 2];
		sum = sum * 31 + (strcmp(to + where, from + at) > 0);
	}
	return sum;
}

static uint64_t decimal(void)
{
	uint64_t sum = 0;
	char text[64];
	for (int i = 0; i < 3000; i++) {
		uint64_t value = next() >> (next() % 60);
		unsigned long long same = value;
		char *end;
		snprintf(text, sizeof text, "%llu %llx", same, same);
		sum = sum * 3 + (strtoull(text, &end, 10) == value) + (strtoull(end, NULL, 16) == value);
		for (char *byte = text; *byte; byte++)
			sum = sum * 31 + *byte;
	}
	return sum;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*run)(void);
	} parts[] = {
		{ "unsigned8", unsigned8 }, { "signed8", signed8 },
		{ "unsigned16", unsigned16 }, { "signed16", signed16 },
		{ "unsigned32", unsigned32 }, { "signed32", signed32 },
		{ "unsigned64", unsigned64 }, { "signed64", signed64 },
		{ "sieve", sieve }, { "crc32", crc32 }, { "matrix", matrix }, { "sorted", sorted },
		{ "recursion", recursion }, { "strings", strings }, { "decimal", decimal },
	};
	(void)argc, (void)argv;
	state = SEED * 2 + 1;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		printf("%s %016llx\n", parts[i].name, (unsigned long long)parts[i].run());
	return 0;
}
