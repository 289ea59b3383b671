/*
 * The benchmark's guest program: a table of items, each a fixed amount of work with a result that
 * can be checked. The same static program runs in the virtual machines and on the host.
 */

#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

/* One thing that is measured. A table of items ends with one that has no name. */
struct item {
	const char *name;
	/* What the work is counted in, and how much of it one step does. */
	const char *unit;
	uint64_t per_step;
	/* Steps of the first pass, through code that has not run yet, and of the second. */
	uint64_t cold;
	uint64_t warm;
	/* Does so many steps; the result depends on all of them. */
	uint64_t (*run)(uint64_t steps);
	/* What is not to be measured: makes the data; may be absent. */
	void (*prepare)(void);
};

extern const struct item integer_items[];
extern const struct item memory_items[];
extern const struct item string_items[];
extern const struct item algorithm_items[];
extern const struct item floating_items[];
extern const struct item packed_items[];
extern const struct item avx_items[];
extern const struct item system_items[];
extern const struct item code_items[];
extern const struct item program_items[];

/* The folder of the programs that items start: busybox, awk with its libraries, and "nothing". */
extern const char *tools;

/* Ends the process, and with it the item, with a sentence. */
_Noreturn void fail(const char *what);

/* Memory for an item's data, never freed: the item's process ends with it. */
void *allocate(size_t size);

/* Xorshift (Marsaglia, Journal of Statistical Software 8:14): the same numbers everywhere. */
static inline uint64_t
next_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return *state = x;
}

void fill_random(void *data, size_t size, uint64_t seed);

/* Adds a value to a sum such that the order of the values matters. */
static inline uint64_t
mix(uint64_t sum, uint64_t value)
{
	return (sum ^ value) * 0x100000001b3ULL; /* FNV-1a, by words */
}

uint64_t mix_bytes(uint64_t sum, const void *data, size_t size);

/* The compiler knows nothing about such a function but its type. */
#define OPAQUE __attribute__((noipa))

#endif
