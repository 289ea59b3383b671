/*
 * Floating-point work whose results depend on SEED alone: float, double and long double, so both
 * SSE and the x87 FPU. Only what IEEE 754 defines to the last bit is used (no sin, no exp), and
 * results are printed as bits, so that two compilers and two machines must agree exactly.
 */
#include <fenv.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state;

static uint64_t next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 2685821657736338717ull;
}

static double unit(void)
{
	return (double)(int64_t)(next() >> 11) / 9007199254740992.0;
}

static uint64_t bits(double value)
{
	uint64_t word;
	memcpy(&word, &value, sizeof word);
	/* Which NaN an operation makes depends on the order of its operands, which C does not fix. */
	return value != value ? 0x7ff8000000000000ull : word;
}

static uint64_t singles(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < 30000; i++) {
		float a = (float)unit(), b = (float)(unit() + 0.5), c;
		c = a + b;
		sum = sum * 31 + bits(c);
		c = a - b;
		sum = sum * 31 + bits(c);
		c = a * b;
		sum = sum * 31 + bits(c);
		c = a / b;
		sum = sum * 31 + bits(c) + (int)(c * 1000.0f);
	}
	return sum;
}

/* Operands of any exponent: overflow, underflow, denormals, infinities. */
static uint64_t doubles(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < 30000; i++) {
		uint64_t wordA = next(), wordB = next();
		double a, b;
		memcpy(&a, &wordA, sizeof a);
		memcpy(&b, &wordB, sizeof b);
		if (i % 3 == 0)
			b = a * (1 + unit());
		sum = sum * 31 + bits(a + b);
		sum = sum * 31 + bits(a - b);
		sum = sum * 31 + bits(a * b);
		sum = sum * 31 + bits(a / b);
		sum = sum * 31 + bits(sqrt(fabs(a))) + (a > b) + 2 * (a == b);
	}
	return sum;
}

static uint64_t extended(void)
{
	long double sum = 0, scale = 1;
	for (int i = 1; i < 20000; i++) {
		long double a = (long double)unit() + i, b = (long double)unit() + 1;
		scale = scale * 1.0000001L + a / b;
		if (scale > 1e30L)
			scale = scale / 1e29L;
		sum = sum + a * b - scale / (long double)i;
	}
	char text[64];
	snprintf(text, sizeof text, "%.20Lg %.20Lg", sum, scale);
	uint64_t hash = 0;
	for (char *byte = text; *byte; byte++)
		hash = hash * 31 + *byte;
	return hash;
}

static uint64_t conversions(void)
{
	uint64_t sum = 0;
	for (int i = 0; i < 30000; i++) {
		int64_t integer = (int64_t)next() >> (next() % 60);
		double value = (double)integer;
		sum = sum * 31 + bits(value) + (int64_t)(value / 3) + (int32_t)(int64_t)(value / 4294967296.0);
		float single = (float)integer;
		sum = sum * 31 + bits((double)single);
		long double wide = (long double)integer;
		sum = sum * 31 + bits((double)(wide / 3)) + (wide < value) + 2 * (wide == value);
	}
	return sum;
}

static uint64_t rounding(void)
{
	static const int modes[] = { FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO, FE_TONEAREST };
	uint64_t sum = 0;
	for (int i = 0; i < 4000; i++) {
		volatile double a = unit() * 1000 - 500, b = unit() + 0.1, c;
		fesetround(modes[i % 4]);
		c = a / b;
		sum = sum * 31 + bits(c);
		c = a * b;
		sum = sum * 31 + bits(c);
		c = rint(a);
		sum = sum * 31 + bits(c);
		c = sqrt(b);
		sum = sum * 31 + bits(c);
		fesetround(FE_TONEAREST);
		sum = sum * 31 + bits(floor(a)) + bits(ceil(a)) + bits(trunc(a)) + bits(fmod(a, b));
	}
	return sum;
}

static uint64_t bodies(void)
{
	enum { N = 5 };
	double place[N][3], speed[N][3];
	for (int i = 0; i < N; i++)
		for (int k = 0; k < 3; k++) {
			place[i][k] = unit() * 20 - 10;
			speed[i][k] = unit() - 0.5;
		}
	for (int step = 0; step < 1500; step++) {
		for (int i = 0; i < N; i++)
			for (int j = i + 1; j < N; j++) {
				double between[3], square = 0.01;
				for (int k = 0; k < 3; k++) {
					between[k] = place[i][k] - place[j][k];
					square = square + between[k] * between[k];
				}
				double pull = 0.01 / (square * sqrt(square));
				for (int k = 0; k < 3; k++) {
					speed[i][k] = speed[i][k] - between[k] * pull;
					speed[j][k] = speed[j][k] + between[k] * pull;
				}
			}
		for (int i = 0; i < N; i++)
			for (int k = 0; k < 3; k++)
				place[i][k] = place[i][k] + 0.01 * speed[i][k];
	}
	uint64_t sum = 0;
	for (int i = 0; i < N; i++)
		for (int k = 0; k < 3; k++)
			sum = sum * 31 + bits(place[i][k]);
	return sum;
}

static uint64_t decimal(void)
{
	uint64_t sum = 0;
	char text[64];
	for (int i = 0; i < 2000; i++) {
		double value = (unit() - 0.5) * (double)(int64_t)(next() >> (next() % 40));
		snprintf(text, sizeof text, "%.17g", value);
		sum = sum * 31 + (bits(strtod(text, NULL)) == bits(value));
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
		{ "singles", singles }, { "doubles", doubles }, { "extended", extended },
		{ "conversions", conversions }, { "rounding", rounding }, { "bodies", bodies },
		{ "decimal", decimal },
	};
	(void)argc, (void)argv;
	state = SEED * 2 + 1;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		printf("%s %016llx\n", parts[i].name, (unsigned long long)parts[i].run());
	return 0;
}
