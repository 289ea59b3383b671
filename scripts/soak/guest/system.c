/*
 * Work for the kernel and for what the processor does around it: system calls, signals, page
 * faults, protection, threads and their futexes, processes and pipes, and code that is written
 * while it runs. Results depend on SEED alone.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static const size_t PAGE = 4096;
static uint64_t state;

static uint64_t next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 2685821657736338717ull;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void *map(size_t length, int protection)
{
	void *place = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (place == MAP_FAILED)
		die("mmap");
	return place;
}

/* A function that returns a constant is written, called, and written again in the same place. */
static uint64_t patched(void)
{
	uint64_t sum = 0;
	int at = next() % 4000;
#ifdef __x86_64__
	unsigned char *page = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
#endif
	for (int i = 0; i < 3000; i++) {
		uint32_t value = next();
#ifdef __x86_64__
		unsigned char *code = page + at + i % 3;
		code[0] = 0xb8; /* mov eax, value; ret */
		memcpy(code + 1, &value, sizeof value);
		code[5] = 0xc3;
		uint32_t (*function)(void) = (uint32_t (*)(void))code;
		value = function() + function();
#else
		(void)at;
		value = value + value;
#endif
		sum = sum * 31 + value;
	}
#ifdef __x86_64__
	munmap(page, PAGE);
#endif
	return sum;
}

static volatile sig_atomic_t caught;

static void count(int number)
{
	caught += number == SIGUSR1;
}

static uint64_t signals(void)
{
	int times = 500 + next() % 500;
	signal(SIGUSR1, count);
	caught = 0;
	for (int i = 0; i < times; i++)
		kill(getpid(), SIGUSR1);
	return caught;
}

static unsigned char *guarded;

static void unprotect(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	unsigned char *page = (unsigned char *)((uintptr_t)info->si_addr & ~(uintptr_t)(PAGE - 1));
	mprotect(page, PAGE, PROT_READ | PROT_WRITE);
	caught++;
}

static uint64_t protection(void)
{
	enum { PAGES = 64 };
	struct sigaction action = { .sa_sigaction = unprotect, .sa_flags = SA_SIGINFO };
	uint64_t sum = 0;
	guarded = map(PAGES * PAGE, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &action, NULL);
	caught = 0;
	for (int round = 0; round < 10; round++) {
		mprotect(guarded, PAGES * PAGE, round % 2 ? PROT_NONE : PROT_READ);
		for (int i = 0; i < PAGES; i++) {
			size_t at = i * PAGE + next() % (PAGE - 8);
			guarded[at] += i + round;
			sum = sum * 31 + guarded[at];
		}
	}
	signal(SIGSEGV, SIG_DFL);
	munmap(guarded, PAGES * PAGE);
	return sum * 1000 + caught;
}

/* Fresh pages are zero, and copied pages belong to one process alone. */
static uint64_t copies(void)
{
	enum { PAGES = 256 };
	unsigned char *pages = map(PAGES * PAGE, PROT_READ | PROT_WRITE);
	uint64_t sum = 0;
	for (size_t i = 0; i < PAGES * PAGE; i += 512)
		sum += pages[i];
	for (int i = 0; i < PAGES; i++)
		pages[i * PAGE + 7] = i;
	for (int process = 0; process < 5; process++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			int wrong = 0;
			for (int i = 0; i < PAGES; i++) {
				wrong += pages[i * PAGE + 7] != (unsigned char)i;
				pages[i * PAGE + 7] = 99;
			}
			_exit(wrong ? 1 : 40 + process);
		}
		int status;
		waitpid(child, &status, 0);
		sum = sum * 31 + WEXITSTATUS(status);
	}
	for (int i = 0; i < PAGES; i++)
		sum = sum * 31 + pages[i * PAGE + 7];
	munmap(pages, PAGES * PAGE);
	return sum;
}

/* A number goes to another process and back, and grows on the way. */
static uint64_t pipes(void)
{
	int there[2], back[2];
	uint64_t number = next();
	if (pipe(there) || pipe(back))
		die("pipe");
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (child == 0) {
		while (close(there[1]), read(there[0], &number, sizeof number) == sizeof number) {
			number = number * 6364136223846793005ull + 1;
			if (write(back[1], &number, sizeof number) != sizeof number)
				break;
		}
		_exit(0);
	}
	for (int i = 0; i < 1000; i++) {
		number ^= i;
		if (write(there[1], &number, sizeof number) != sizeof number ||
		    read(back[0], &number, sizeof number) != sizeof number)
			die("pipe");
	}
	close(there[1]);
	waitpid(child, NULL, 0);
	close(there[0]);
	close(back[0]);
	close(back[1]);
	return number;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t shared;

static void *add(void *argument)
{
	uint64_t step = *(uint64_t *)argument;
	for (int i = 0; i < 5000; i++) {
		pthread_mutex_lock(&mutex);
		shared += step + i;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static uint64_t threads(void)
{
	enum { N = 4 };
	pthread_t thread[N];
	uint64_t step[N];
	shared = 0;
	for (int i = 0; i < N; i++) {
		step[i] = next() >> 20;
		if (pthread_create(&thread[i], NULL, add, &step[i]))
			die("pthread_create");
	}
	for (int i = 0; i < N; i++)
		pthread_join(thread[i], NULL);
	return shared;
}

static jmp_buf place;

static void descend(int depth)
{
	if (depth > 0)
		descend(depth - 1);
	else
		longjmp(place, 1);
}

static uint64_t jumps(void)
{
	volatile uint64_t returned = 0;
	for (volatile int i = 0; i < 1000; i++) {
		if (setjmp(place))
			returned++;
		else
			descend(i % 50);
	}
	return returned;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		uint64_t (*run)(void);
	} parts[] = {
		{ "patched", patched }, { "signals", signals }, { "protection", protection },
		{ "copies", copies }, { "pipes", pipes }, { "threads", threads }, { "jumps", jumps },
	};
	(void)argc, (void)argv;
	state = SEED * 2 + 1;
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		printf("%s %016llx\n", parts[i].name, (unsigned long long)parts[i].run());
		fflush(stdout);
	}
	return 0;
}
