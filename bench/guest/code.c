/* Code that a program writes and then runs, as the compilers of Java, JavaScript and Lua do. */

#include <sys/mman.h>

#include <string.h>

#include "bench.h"

#define CODE_BYTES (64 * 1024)

typedef uint64_t (*function)(uint64_t);

static unsigned char *code;

static void
make_code(void)
{
	code = mmap(NULL, CODE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code == MAP_FAILED)
		fail("code: cannot map memory to execute");
	memset(code, 0xcc, CODE_BYTES);
}

static unsigned char *
emit(unsigned char *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static unsigned char *
emit_immediate(unsigned char *at, const void *bytes, size_t size, uint32_t value)
{
	return emit(emit(at, bytes, size), &value, sizeof(value));
}

/* A function of so many random operations on its argument, in rdi, with its result in rax. */
static unsigned char *
compile(unsigned char *at, unsigned length, uint64_t *seed)
{
	at = emit(at, "\x48\x89\xf8", 3); /* mov rax, rdi */
	while (length-- > 0) {
		uint64_t random = next_random(seed);
		uint32_t value = random >> 32;

		switch (random & 7) {
		case 0:
			at = emit_immediate(at, "\x48\x05", 2, value); /* add rax, imm32 */
			break;
		case 1:
			at = emit_immediate(at, "\x48\x35", 2, value); /* xor rax, imm32 */
			break;
		case 2:
			at = emit_immediate(at, "\x48\x69\xc0", 3, value | 1); /* imul rax, rax, imm32 */
			break;
		case 3:
			at = emit(at, "\x48\xc1\xc0\x07", 4); /* rol rax, 7 */
			break;
		case 4:
			at = emit(at, "\x48\x01\xf8", 3); /* add rax, rdi */
			break;
		case 5:
			at = emit(at, "\x48\x29\xf8", 3); /* sub rax, rdi */
			break;
		case 6:
			/* test al, 1; jz over; not rax */
			at = emit(at, "\xa8\x01\x74\x03\x48\xf7\xd0", 7);
			break;
		default:
			at = emit(at, "\x48\x0f\xc8", 3); /* bswap rax */
		}
	}
	return emit(at, "\xc3", 1); /* ret */
}

/* New functions all the time, each run a few times only, through a buffer of several pages. */
static uint64_t
generate(uint64_t steps)
{
	unsigned char *at = code;
	uint64_t seed = 55, sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		unsigned char *start = at;

		at = compile(at, 40, &seed);
		for (uint64_t n = 0; n < 20; n++)
			sum = mix(sum, ((function)(uintptr_t)start)(n + i));
		if (at > code + CODE_BYTES - 1024)
			at = code;
	}
	return sum;
}

/* One function whose constant is patched between runs, as inline caches are. */
static uint64_t
patch(uint64_t steps)
{
	uint64_t sum = 0;
	unsigned char *immediate;

	emit(code, "\x48\x89\xf8\x48\x05", 5); /* mov rax, rdi; add rax, imm32 */
	immediate = code + 5;
	emit(immediate + 4, "\xc3", 1);
	for (uint64_t i = 0; i < steps; i++) {
		uint32_t value = i * 3 & 0x7fffffff;

		memcpy(immediate, &value, sizeof(value));
		for (uint64_t n = 0; n < 10; n++)
			sum = mix(sum, ((function)(uintptr_t)code)(n));
	}
	return sum;
}

/* Code and the data that it writes in one page, as closures and trampolines have it. */
static uint64_t
beside(uint64_t steps)
{
	uint64_t sum = 0, *cell = (uint64_t *)(code + 2048);

	compile(code, 20, &(uint64_t){ 77 });
	for (uint64_t i = 0; i < steps; i++) {
		*cell += ((function)(uintptr_t)code)(i);
		sum = mix(sum, *cell);
	}
	return sum;
}

const struct item code_items[] = {
	{ "code-new", "function", 1, 200, 2000, generate, make_code },
	{ "code-patch", "patch", 1, 7500, 75000, patch, make_code },
	{ "code-beside", "store", 1, 250000, 2500000, beside, make_code },
	{ NULL },
};
