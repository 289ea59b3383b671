/* What needs the kernel: system calls, page faults, processes, signals. */

#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

static uint64_t
system_calls(uint64_t steps)
{
	uint64_t valid = 0;

	for (uint64_t i = 0; i < steps; i++)
		valid += syscall(SYS_getppid) > 0;
	return valid;
}

#define FAULT_PAGES 256
#define PAGE_BYTES 4096

static uint64_t
page_faults(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		unsigned char *pages = mmap(NULL, FAULT_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (pages == MAP_FAILED)
			fail("faults: cannot map memory");
		for (int page = 0; page < FAULT_PAGES; page++) {
			sum += pages[page * PAGE_BYTES + 100];
			pages[page * PAGE_BYTES] = i;
		}
		sum = mix(sum, pages[i % FAULT_PAGES * PAGE_BYTES]);
		munmap(pages, FAULT_PAGES * PAGE_BYTES);
	}
	return sum;
}

static pid_t
start(void)
{
	pid_t child = fork();

	if (child == -1)
		fail("cannot start a process");
	return child;
}

static int
status_of(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		fail("a process did not end well");
	return WEXITSTATUS(status);
}

static uint64_t
fork_only(uint64_t steps)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < steps; i++) {
		pid_t child = start();

		if (child == 0)
			_exit(i & 63);
		sum = mix(sum, status_of(child));
	}
	return sum;
}

static uint64_t
fork_exec(uint64_t steps)
{
	char path[4096];
	uint64_t sum = 0;

	snprintf(path, sizeof(path), "%s/nothing", tools);
	for (uint64_t i = 0; i < steps; i++) {
		pid_t child = start();

		if (child == 0) {
			execl(path, path, (char *)NULL);
			_exit(127);
		}
		sum = mix(sum, status_of(child));
	}
	return sum;
}

/* Two processes that hand a number to and fro. */
static uint64_t
ping_pong(uint64_t steps)
{
	int ping[2], pong[2];
	uint64_t value = 0;
	pid_t child;

	if (pipe(ping) == -1 || pipe(pong) == -1)
		fail("switches: cannot make a pipe");
	child = start();
	if (child == 0) {
		close(ping[1]);
		while (read(ping[0], &value, sizeof(value)) == sizeof(value)) {
			value++;
			if (write(pong[1], &value, sizeof(value)) != sizeof(value))
				_exit(1);
		}
		_exit(0);
	}
	close(ping[0]);
	for (uint64_t i = 0; i < steps; i++)
		if (write(ping[1], &value, sizeof(value)) != sizeof(value) ||
		    read(pong[0], &value, sizeof(value)) != sizeof(value))
			fail("switches: the other process is gone");
	close(ping[1]);
	close(pong[0]);
	close(pong[1]);
	return mix(value, status_of(child));
}

static volatile sig_atomic_t caught;

static void
on_signal(int signal)
{
	caught += signal == SIGUSR1;
}

static uint64_t
signals(uint64_t steps)
{
	pid_t self = getpid();

	caught = 0;
	signal(SIGUSR1, on_signal);
	for (uint64_t i = 0; i < steps; i++)
		kill(self, SIGUSR1);
	return caught;
}

/* A file in memory, by small writes and reads. */
static uint64_t
file(uint64_t steps)
{
	unsigned char buffer[512];
	uint64_t sum = 0;
	int descriptor = syscall(SYS_memfd_create, "bench", 0);

	if (descriptor == -1)
		fail("file: cannot create one");
	fill_random(buffer, sizeof(buffer), 1);
	for (uint64_t i = 0; i < steps; i++) {
		off_t at = i * 512 % 262144;

		buffer[i % 512] ^= i;
		if (pwrite(descriptor, buffer, 512, at) != 512 ||
		    pread(descriptor, buffer, 512, at / 2 / 512 * 512) != 512)
			fail("file: short transfer");
		sum = mix(sum, buffer[i * 7 % 512]);
	}
	close(descriptor);
	return sum;
}

const struct item system_items[] = {
	{ "syscalls", "call", 1, 20000, 200000, system_calls, NULL },
	{ "faults", "page", FAULT_PAGES, 5, 50, page_faults, NULL },
	{ "fork", "process", 1, 40, 400, fork_only, NULL },
	{ "fork-exec", "process", 1, 10, 100, fork_exec, NULL },
	{ "switches", "turn", 1, 1000, 10000, ping_pong, NULL },
	{ "signals", "signal", 1, 2000, 20000, signals, NULL },
	{ "file", "transfer", 2, 2500, 25000, file, NULL },
	{ NULL },
};
