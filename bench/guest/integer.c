/* The integer unit and the flow of control, with data that fits the smallest cache. */

#include "bench.h"

static uint64_t
alu(uint64_t steps)
{
	uint64_t a = 1, b = 0x9e3779b97f4a7c15ULL;
	uint32_t c = 7, d = 11;

	for (uint64_t i = 0; i < steps; i++) {
		a += b ^ i;
		b = (b << 13 | b >> 51) - a;
		c = (c << 5 | c >> 27) + (uint32_t)b;
		d ^= c + (d >> 3);
		a ^= (uint64_t)d << 9;
		b |= 1;
		a = a > b ? a - b : a + d;
	}
	return mix(mix(a, b), (uint64_t)c << 32 | d);
}

/* High and low halves of products, and quotients and remainders of 64 and 32 bits, signed too. */
static uint64_t
multiply_divide(uint64_t steps)
{
	uint64_t x = 88172645463325252ULL, sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		uint64_t y = next_random(&x);
		unsigned __int128 product = (unsigned __int128)y * (x + i);
		uint64_t divisor = (y >> (i & 31)) | 1;
		int64_t small = (int64_t)(y >> 40) - 8388608;

		sum += (uint64_t)(product >> 64) ^ (uint64_t)product;
		sum += (x ^ sum) / divisor;
		sum ^= (uint64_t)((int64_t)sum % (small | 1));
		sum += (uint32_t)sum / ((uint32_t)divisor | 1);
	}
	return sum;
}

#define TEXT_BYTES 65536

static char text[TEXT_BYTES + 1];

static void
make_text(void)
{
	static const char letters[] = "abcdefghijk_xyz0123456789 +-*/(){};\"\n,.     ";
	uint64_t seed = 12345;

	for (int i = 0; i < TEXT_BYTES; i++)
		text[i] = letters[next_random(&seed) % (sizeof(letters) - 1)];
}

/* A scanner for a small language, whose branches no predictor knows. */
OPAQUE static uint64_t
scan(const char *p, const char *end)
{
	uint64_t words = 0, numbers = 0, strings = 0, marks = 0, lines = 0, depth = 0;

	while (p < end) {
		char c = *p++;

		if (c == ' ') {
			continue;
		} else if ((c >= 'a' && c <= 'z') || c == '_') {
			while (p < end && ((*p >= 'a' && *p <= 'z') || *p == '_'))
				p++;
			words++;
		} else if (c >= '0' && c <= '9') {
			uint64_t value = c - '0';

			while (p < end && *p >= '0' && *p <= '9')
				value = value * 10 + (*p++ - '0');
			numbers += value;
		} else if (c == '"') {
			while (p < end && *p != '"' && *p != '\n')
				p++;
			strings++;
		} else if (c == '\n') {
			lines++;
		} else if (c == '(' || c == '{') {
			depth++;
		} else if ((c == ')' || c == '}') && depth > 0) {
			depth--;
		} else {
			marks += c;
		}
	}
	return mix(mix(mix(mix(mix(words, numbers), strings), marks), lines), depth);
}

static uint64_t
branches(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++)
		sum = mix(sum, scan(text + i % 97, text + TEXT_BYTES));
	return sum;
}

/* Two functions, as the compiler makes a loop of one. */
OPAQUE static uint64_t fibonacci_odd(unsigned n);

OPAQUE static uint64_t
fibonacci(unsigned n)
{
	return n < 2 ? n : fibonacci_odd(n - 1) + fibonacci_odd(n - 2);
}

OPAQUE static uint64_t
fibonacci_odd(unsigned n)
{
	return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

static uint64_t
calls(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++)
		sum = mix(sum, fibonacci(20));
	return sum;
}

#define OPERATIONS 16
#define PROGRAM_LENGTH 4096

#define OPERATION(number, expression) \
	OPAQUE static uint64_t operation_##number(uint64_t a, uint64_t b) \
	{ \
		(void)a; \
		(void)b; \
		return expression; \
	}

OPERATION(0, a + b)
OPERATION(1, a - b)
OPERATION(2, a ^ b)
OPERATION(3, a | (b & 0xff))
OPERATION(4, a & ~(b & 0xff))
OPERATION(5, a << (b & 7) | 1)
OPERATION(6, a >> (b & 3))
OPERATION(7, a * 3 + b)
OPERATION(8, ~a + b)
OPERATION(9, a ^ a >> 32)
OPERATION(10, a > b ? a : b)
OPERATION(11, a + (b >> 5))
OPERATION(12, a * 5)
OPERATION(13, (a << 32 | a >> 32))
OPERATION(14, a - (b << 4))
OPERATION(15, b)

static uint64_t (*const operations[OPERATIONS])(uint64_t, uint64_t) = {
	operation_0, operation_1, operation_2, operation_3, operation_4, operation_5,
	operation_6, operation_7, operation_8, operation_9, operation_10, operation_11,
	operation_12, operation_13, operation_14, operation_15,
};
static unsigned char program[PROGRAM_LENGTH];

static void
make_program(void)
{
	fill_random(program, sizeof(program), 99);
}

static uint64_t
indirect_calls(uint64_t steps)
{
	uint64_t a = 1, b = 2;

	for (uint64_t i = 0; i < steps; i++) {
		for (unsigned at = 0; at < PROGRAM_LENGTH; at++) {
			uint64_t c = operations[program[at] % OPERATIONS](a, b);

			b = a + at;
			a = c ^ i << 20;
		}
	}
	return mix(a, b);
}

/* A bytecode machine by computed goto, as interpreters are: one indirect jump an instruction. */
static uint64_t
indirect_jumps(uint64_t steps)
{
	static const void *const labels[8] = {
		&&add, &&subtract, &&exclusive, &&rotate, &&skip, &&store, &&load, &&swap,
	};
	uint64_t a = 1, b = 2, c, cells[16] = { 0 };
	unsigned at = 0;

#define DISPATCH goto *labels[program[at & (PROGRAM_LENGTH - 1)] & 7]
#define NEXT \
	do { \
		if (++at == PROGRAM_LENGTH * steps) \
			return mix_bytes(mix(a, b), cells, sizeof(cells)); \
		DISPATCH; \
	} while (0)

	DISPATCH;
add:
	a += b;
	NEXT;
subtract:
	b -= a ^ at;
	NEXT;
exclusive:
	a ^= b << 1;
	NEXT;
rotate:
	a = a << 7 | a >> 57;
	NEXT;
skip:
	if (a & 1)
		b++;
	NEXT;
store:
	cells[b & 15] = a;
	NEXT;
load:
	a += cells[at & 15];
	NEXT;
swap:
	c = a;
	a = b;
	b = c;
	NEXT;
}

const struct item integer_items[] = {
	{ "alu", "loop", 1, 12000000, 120000000, alu, NULL },
	{ "muldiv", "loop", 1, 2000000, 20000000, multiply_divide, NULL },
	{ "branches", "byte", TEXT_BYTES, 80, 800, branches, make_text },
	{ "calls", "call", 21891, 200, 2000, calls, NULL },
	{ "calls-indirect", "call", PROGRAM_LENGTH, 400, 4000, indirect_calls, make_program },
	{ "jumps-indirect", "jump", PROGRAM_LENGTH, 600, 6000, indirect_jumps, make_program },
	{ NULL },
};
