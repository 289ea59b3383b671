/*
 * usage: bench [-l] [-s permille] [-t folder] [name ...]
 *
 * Runs the items named, or all, and writes a line for each, which scripts/bench/results.ts reads:
 *   bench: item NAME unit=U cold=WORK,NS warm=WORK,NS sum=HEX
 * Other lines tell how far it is.
 * Each item has a process of its own, so that one cannot disturb or end another. -s scales the
 * work, -t names the folder of the programs that items start, -l lists the items.
 */

#include <sys/wait.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static const struct item *const tables[] = {
	integer_items, memory_items, string_items, algorithm_items, floating_items,
	packed_items, avx_items, system_items, code_items, program_items,
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/* What an item's process tells. */
struct result {
	uint64_t cold_ns;
	uint64_t warm_ns;
	uint64_t sum;
};

const char *tools = "/bin";
static unsigned permille = 1000;

void
fail(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

void *
allocate(size_t size)
{
	/* Pages are touched here, so that no item but the one about page faults meets them. */
	void *memory = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

	if (memory == NULL)
		fail("out of memory");
	return memset(memory, 0, size);
}

void
fill_random(void *data, size_t size, uint64_t seed)
{
	unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		bytes[i] = next_random(&seed) >> 32;
}

uint64_t
mix_bytes(uint64_t sum, const void *data, size_t size)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < size; i++)
		sum = mix(sum, bytes[i]);
	return sum;
}

static uint64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static uint64_t
scaled(uint64_t steps)
{
	uint64_t result = steps * permille / 1000;

	return result == 0 ? 1 : result;
}

/* Tells the host, which looks at its own clocks then. */
static void
say_pass(const char *name)
{
	printf("bench: pass %s\n", name);
	fflush(stdout);
}

/* The life of an item's process. */
static void
run_item(const struct item *item, int output)
{
	struct result result;
	uint64_t start, first;

	if (item->prepare != NULL)
		item->prepare();
	say_pass("cold");
	start = now();
	first = item->run(scaled(item->cold));
	result.cold_ns = now() - start;
	say_pass("warm");
	start = now();
	/* From FNV's basis on, so that two passes with the same result do not cancel out. */
	result.sum = mix(mix(0xcbf29ce484222325ULL, first), item->run(scaled(item->warm)));
	result.warm_ns = now() - start;
	if (write(output, &result, sizeof(result)) != sizeof(result))
		fail("cannot report a result");
	_exit(0);
}

static void
print_outcome(const struct item *item, const struct result *result, int complete, int status)
{
	if (complete) {
		printf("bench: item %s unit=%s cold=%" PRIu64 ",%" PRIu64 " warm=%" PRIu64 ",%" PRIu64
		    " sum=%016" PRIx64 "\n", item->name, item->unit,
		    scaled(item->cold) * item->per_step, result->cold_ns,
		    scaled(item->warm) * item->per_step, result->warm_ns, result->sum);
	} else if (WIFSIGNALED(status)) {
		printf("bench: failed %s signal %d\n", item->name, WTERMSIG(status));
	} else {
		printf("bench: failed %s status %d\n", item->name, WEXITSTATUS(status));
	}
}

static void
measure(const struct item *item)
{
	struct result result;
	int ends[2], status, complete;
	pid_t child;

	printf("bench: start %s\n", item->name);
	fflush(stdout);
	if (pipe(ends) == -1 || (child = fork()) == -1)
		fail("cannot start a process");
	if (child == 0) {
		close(ends[0]);
		run_item(item, ends[1]);
	}
	close(ends[1]);
	complete = read(ends[0], &result, sizeof(result)) == sizeof(result);
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		fail("cannot wait for a process");
	print_outcome(item, &result, complete, status);
	fflush(stdout);
}

static int
is_wanted(const struct item *item, int count, char *const names[])
{
	for (int i = 0; i < count; i++)
		if (strcmp(item->name, names[i]) == 0)
			return 1;
	return count == 0;
}

/* Not for a processor that is shown without AVX2 and FMA. */
static int
is_possible(const struct item *items)
{
	return items != avx_items ||
	    (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
}

static void
print_name(const struct item *item)
{
	puts(item->name);
}

static void
for_each_item(int count, char *const names[], void (*visit)(const struct item *))
{
	for (size_t i = 0; i < TABLES; i++)
		for (const struct item *item = tables[i]; item->name != NULL; item++)
			if (is_wanted(item, count, names) && (visit == print_name || is_possible(tables[i])))
				visit(item);
}

int
main(int argc, char *argv[])
{
	uint64_t start;
	int option, list = 0;

	while ((option = getopt(argc, argv, "ls:t:")) != -1) {
		switch (option) {
		case 'l':
			list = 1;
			break;
		case 's':
			permille = strtoul(optarg, NULL, 10);
			break;
		case 't':
			tools = optarg;
			break;
		default:
			return 1;
		}
	}
	argc -= optind;
	argv += optind;
	if (list) {
		for_each_item(argc, argv, print_name);
		return 0;
	}
	puts("bench: begin");
	fflush(stdout);
	start = now();
	for_each_item(argc, argv, measure);
	printf("bench: end ns=%" PRIu64 "\n", now() - start);
	return 0;
}
