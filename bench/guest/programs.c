/* Whole programs as distributions have them, started afresh for each pass. */

#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "bench.h"

/* Starts a program and returns a sum of all it writes; its input is the file `input`. */
static uint64_t
output_of(const char *input, char *const words[])
{
	unsigned char buffer[4096];
	uint64_t sum = 0;
	ssize_t size;
	int ends[2], status;
	pid_t child;

	if (pipe(ends) == -1 || (child = fork()) == -1)
		fail("cannot start a program");
	if (child == 0) {
		int file = open(input, O_RDONLY);

		if (file == -1 || dup2(file, 0) == -1 || dup2(ends[1], 1) == -1)
			_exit(126);
		close(ends[0]);
		close(ends[1]);
		execv(words[0], words);
		_exit(127);
	}
	close(ends[1]);
	while ((size = read(ends[0], buffer, sizeof(buffer))) > 0)
		sum = mix_bytes(sum, buffer, size);
	close(ends[0]);
	if (waitpid(child, &status, 0) != child || status != 0)
		fail("a program did not end well");
	return sum;
}

static char *
tool(char path[static 4096], const char *name)
{
	snprintf(path, 4096, "%s/%s", tools, name);
	return path;
}

static uint64_t
shell(uint64_t steps)
{
	char path[4096], script[256];

	snprintf(script, sizeof(script),
	    "i=0 s=0; while [ $i -lt %d ]; do i=$((i+1)); s=$(((s*31+i)%%65521)); done; echo $s",
	    (int)steps);
	return output_of("/dev/null", (char *[]){ tool(path, "busybox"), "sh", "-c", script, NULL });
}

/* By its own loader, as the library's place differs between the guest and the host. */
static uint64_t
awk(uint64_t steps)
{
	char loader[4096], library[4096], path[4096], script[512];

	snprintf(script, sizeof(script),
	    "BEGIN { for (i = 1; i <= %d; i++) { w = \"w\" (i * 7919 %% 997); count[w]++;"
	    " sum += sqrt(i) * sin(i) + length(w); if (match(w, /9[0-4]+$/)) hits += RSTART }"
	    " for (w in count) total += count[w] * substr(w, 2);"
	    " printf \"%%.6f %%d %%d\\n\", sum, hits, total }", (int)steps);
	return output_of("/dev/null", (char *[]){ tool(loader, "ld.so"), "--library-path",
	    tool(library, "."), tool(path, "mawk"), script, NULL });
}

static uint64_t
gzip(uint64_t steps)
{
	char path[4096], input[4096];
	uint64_t sum = 0;

	tool(input, "busybox");
	for (uint64_t i = 0; i < steps; i++)
		sum = mix(sum, output_of(input, (char *[]){ tool(path, "busybox"), "gzip", "-c", NULL }));
	return sum;
}

static uint64_t
sha256sum(uint64_t steps)
{
	char path[4096], input[4096];
	uint64_t sum = 0;

	tool(input, "busybox");
	for (uint64_t i = 0; i < steps; i++)
		sum = mix(sum, output_of(input, (char *[]){ tool(path, "busybox"), "sha256sum", NULL }));
	return sum;
}

const struct item program_items[] = {
	{ "shell", "loop", 1, 20000, 200000, shell, NULL },
	{ "awk", "loop", 1, 15000, 150000, awk, NULL },
	{ "gzip", "file", 1, 1, 3, gzip, NULL },
	{ "sha256sum", "file", 1, 2, 10, sha256sum, NULL },
	{ NULL },
};
