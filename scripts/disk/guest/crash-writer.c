// Writes to disks until it is killed, and says on the console what the disks have acknowledged:
//
//   crash-writer SEED DEVICE...
//
// For each disk there are three processes with regions of their own: two that take turns by stripes
// of 20 KiB, so that they meet in the clusters of an image, and one with large requests in the
// rest. What each does follows from the seed, by the rules that crash-model.ts has as well. After
// each flush a line says how many operations came before it: "flushed DISK WORKER OPERATIONS".

#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	SECTOR = 512,
	WORKERS = 3,
	STRIPE = 40,
	STRIPED = 16384, // sectors that workers 0 and 1 share
	WRITE_MAX = 256,
	ZERO_MAX = 2048,
	UNFLUSHED_MAX = 24,
};

// The generator of packages/vmm/test/silicon/random.ts.
static uint32_t state;

static uint32_t next(void)
{
	uint32_t x = state += 0x9e3779b9;
	x = (x ^ (x >> 16)) * 0x21f0aaad;
	x = (x ^ (x >> 15)) * 0x735a2d97;
	return x ^ (x >> 15);
}

static uint32_t below(uint32_t count)
{
	return next() % count;
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

// What fills a sector that operation `op` of the process with this seed has written.
static uint32_t stamp(uint32_t seed, uint32_t op, uint32_t sector)
{
	uint32_t x = seed ^ op * 0x9e3779b1u ^ sector * 0x85ebca6bu;
	x = (x ^ (x >> 16)) * 0x21f0aaad;
	return (x ^ (x >> 15)) | 1;
}

static void do_write(int fd, uint32_t *buffer, uint32_t seed, uint32_t op, uint64_t first, uint32_t count)
{
	for (uint32_t sector = 0; sector < count; sector++) {
		uint32_t word = stamp(seed, op, first + sector);
		for (int i = 0; i < SECTOR / 4; i++)
			buffer[sector * SECTOR / 4 + i] = word;
	}
	ssize_t bytes = (ssize_t)count * SECTOR;
	if (pwrite(fd, buffer, bytes, first * SECTOR) != bytes)
		err(1, "write");
}

static void work(int disk, int worker, int fd, uint32_t seed, uint32_t sectors)
{
	uint32_t *buffer;
	if (posix_memalign((void **)&buffer, 4096, WRITE_MAX * SECTOR) != 0)
		errx(1, "no memory");
	state = seed;
	uint32_t unflushed = 0;
	for (uint32_t op = 0;; op++) {
		uint32_t choice = below(100);
		if (choice < 15 || unflushed >= UNFLUSHED_MAX) {
			if (fsync(fd) != 0)
				err(1, "fsync");
			char line[80];
			int length = sprintf(line, "flushed %d %d %u\n", disk, worker, op);
			if (write(1, line, length) != length)
				err(1, "console");
			unflushed = 0;
			continue;
		}
		unflushed++;
		uint64_t first;
		uint32_t most;
		if (worker < 2) {
			uint32_t stripe = below(STRIPED / (2 * STRIPE));
			uint32_t at = below(STRIPE);
			first = stripe * 2 * STRIPE + worker * STRIPE + at;
			most = STRIPE - at;
		} else {
			first = STRIPED + below(sectors - STRIPED);
			most = least(choice < 70 ? WRITE_MAX : ZERO_MAX, sectors - first);
		}
		if (below(100) < 80)
			most = least(most, 16);
		uint32_t count = 1 + below(most);
		uint64_t range[2] = {first * SECTOR, (uint64_t)count * SECTOR};
		if (choice < 70) {
			do_write(fd, buffer, seed, op, first, count);
		} else if (choice < 80) {
			if (ioctl(fd, BLKZEROOUT, range) != 0)
				err(1, "BLKZEROOUT");
		} else if (choice < 90) {
			// Zeroes, of which the disk may forget the place.
			int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
			if (fallocate(fd, mode, range[0], range[1]) != 0 && errno != EOPNOTSUPP)
				err(1, "fallocate");
			else if (errno == EOPNOTSUPP && ioctl(fd, BLKZEROOUT, range) != 0)
				err(1, "BLKZEROOUT");
			errno = 0;
		} else if (ioctl(fd, BLKDISCARD, range) != 0 && errno != EOPNOTSUPP) {
			err(1, "BLKDISCARD");
		}
	}
}

int main(int argc, char **argv)
{
	uint32_t seed = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	for (int disk = 0; disk < argc - 2; disk++) {
		for (int worker = 0; worker < WORKERS; worker++) {
			int fd = open(argv[disk + 2], O_RDWR | O_DIRECT);
			uint64_t bytes;
			if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0)
				err(1, "%s", argv[disk + 2]);
			if (fork() == 0)
				work(disk, worker, fd, seed + disk * WORKERS + worker, bytes / SECTOR);
			close(fd);
		}
	}
	// Nobody ends by himself but by an error.
	wait(NULL);
	puts("crash-writer: ended");
	return 1;
}
