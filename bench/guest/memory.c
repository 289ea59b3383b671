/* Loads and stores: what the translation of addresses costs, and moving many bytes. */

#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define KB 1024
#define MB (1024 * KB)

/* A ring of nodes, each in a cache line of its own. */
struct node {
	struct node *next;
	uint64_t value;
	char fill[48];
};

#define NODES (4 * MB / sizeof(struct node))

static struct node *nodes;

/* A permutation with one cycle (Sattolo, Information Processing Letters 22, 1986). */
static void
make_ring(void)
{
	uint32_t *order = allocate(NODES * sizeof(*order));
	uint64_t seed = 4711;

	nodes = allocate(NODES * sizeof(*nodes));
	for (uint32_t i = 0; i < NODES; i++)
		order[i] = i;
	for (uint32_t i = NODES - 1; i > 0; i--) {
		uint32_t other = next_random(&seed) % i, kept = order[i];

		order[i] = order[other];
		order[other] = kept;
	}
	for (uint32_t i = 0; i < NODES; i++) {
		nodes[order[i]].next = &nodes[order[(i + 1) % NODES]];
		nodes[i].value = next_random(&seed);
	}
}

static uint64_t
chase(uint64_t steps)
{
	const struct node *node = nodes;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		sum += node->value;
		node = node->next;
	}
	return sum;
}

#define TLB_BYTES (64 * MB)

static unsigned char *wide;

static void
make_wide(void)
{
	wide = allocate(TLB_BYTES);
}

/* Random places in more pages than any TLB holds. */
static uint64_t
tlb(uint64_t steps)
{
	uint64_t seed = 31337, sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		unsigned char *place = wide + next_random(&seed) % TLB_BYTES;

		sum += *place;
		*place += i;
	}
	return sum;
}

#define STREAM_WORDS (4 * MB / 8)

static uint64_t *stream_a, *stream_b, *stream_c;

static void
make_streams(void)
{
	stream_a = allocate(STREAM_WORDS * 8);
	stream_b = allocate(STREAM_WORDS * 8);
	stream_c = allocate(STREAM_WORDS * 8);
	fill_random(stream_b, STREAM_WORDS * 8, 5);
	fill_random(stream_c, STREAM_WORDS * 8, 6);
}

/* By words and not by vectors: those are in packed.c. */
__attribute__((optimize("no-tree-vectorize"))) static uint64_t
stream(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		for (size_t at = 0; at < STREAM_WORDS; at++)
			stream_a[at] = stream_b[at] + 3 * stream_c[at];
		sum = mix(sum, stream_a[i % STREAM_WORDS] + i);
	}
	return sum;
}

#define COPY_BYTES (1 * MB)

static unsigned char *copy_from, *copy_to;

/* The compiler must not know what is called, or it does the work itself. */
static void *(*volatile libc_memcpy)(void *, const void *, size_t) = memcpy;
static void *(*volatile libc_memset)(void *, int, size_t) = memset;

static void
make_copies(void)
{
	copy_from = allocate(COPY_BYTES + 4 * KB);
	copy_to = allocate(COPY_BYTES + 4 * KB);
	fill_random(copy_from, COPY_BYTES, 77);
}

static uint64_t
copy_libc(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		libc_memcpy(copy_to + i % 13, copy_from + i % 29, COPY_BYTES);
		sum = mix(sum, copy_to[(i * 4099) % COPY_BYTES]);
	}
	return sum;
}

/* Lengths as programs have them: 0 to 127 bytes. */
static uint64_t
copy_small(uint64_t steps)
{
	uint64_t seed = 9, sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		uint64_t random = next_random(&seed);
		size_t from = random % 60000, to = (random >> 20) % 60000;

		libc_memcpy(copy_to + to, copy_from + from, (random >> 40) & 127);
		sum += copy_to[to];
	}
	return sum;
}

static void
rep_movsb(void *to, const void *from, size_t bytes)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void
rep_movsq(void *to, const void *from, size_t words)
{
	__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static void
rep_stosq(void *to, uint64_t value, size_t words)
{
	__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(value) : "memory");
}

static uint64_t
copy_rep(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		rep_movsb(copy_to + i % 13, copy_from + i % 29, 64 * KB);
		rep_movsq(copy_to + 64 * KB, copy_from + 64 * KB + i % 29, 192 * KB / 8);
		sum = mix(sum, copy_to[(i * 4099) % (256 * KB)]);
	}
	return sum;
}

static uint64_t
fill_libc(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		libc_memset(copy_to + i % 13, (int)i, COPY_BYTES);
		sum = mix(sum, copy_to[(i * 4099) % COPY_BYTES]);
	}
	return sum;
}

static uint64_t
fill_rep(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		rep_stosq(copy_to + i % 13, i * 0x0101010101010101ULL, COPY_BYTES / 8);
		sum = mix(sum, copy_to[(i * 4099) % COPY_BYTES]);
	}
	return sum;
}

const struct item memory_items[] = {
	{ "chase", "load", 1, 1000000, 10000000, chase, make_ring },
	{ "tlb", "access", 1, 300000, 3000000, tlb, make_wide },
	{ "stream", "byte", 3 * STREAM_WORDS * 8, 30, 300, stream, make_streams },
	{ "copy-libc", "byte", COPY_BYTES, 100, 1000, copy_libc, make_copies },
	{ "copy-small", "call", 1, 500000, 5000000, copy_small, make_copies },
	{ "copy-rep", "byte", 256 * KB, 200, 2000, copy_rep, make_copies },
	{ "fill-libc", "byte", COPY_BYTES, 500, 5000, fill_libc, make_copies },
	{ "fill-rep", "byte", COPY_BYTES, 300, 3000, fill_rep, make_copies },
	{ NULL },
};
