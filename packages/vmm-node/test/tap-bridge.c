/*
 * Opens a tap(4) device and carries its frames over standard input and output, each with its length
 * before it, 32 bits in network byte order. Before the frame is a virtio_net_hdr of 12 bytes,
 * little-endian. With "offload", the kernel leaves checksums and segmentation to the other side.
 *
 * usage: tap-bridge device [offload]
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MESSAGE_MAX 70000
#define BUFFER_MAX (1 << 20)

static unsigned char input[BUFFER_MAX];
static unsigned char output[BUFFER_MAX];

static int
open_tap(const char *name, int offload)
{
	struct ifreq request;
	int header = 12, fd;

	if ((fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) == -1)
		err(1, "/dev/net/tun");
	memset(&request, 0, sizeof(request));
	request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, TUNSETIFF, &request) == -1)
		err(1, "TUNSETIFF");
	if (ioctl(fd, TUNSETVNETHDRSZ, &header) == -1)
		err(1, "TUNSETVNETHDRSZ");
	if (offload && ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) == -1)
		err(1, "TUNSETOFFLOAD");
	return fd;
}

/* Writes all; the pipe is blocking. */
static void
put(const unsigned char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t count = write(1, bytes, length);
		if (count <= 0)
			_exit(0);
		bytes += count;
		length -= count;
	}
}

/* Reads what frames there are and passes them on together. */
static void
from_tap(int tap)
{
	size_t used = 0;

	while (used + 4 + MESSAGE_MAX <= sizeof(output)) {
		ssize_t count = read(tap, output + used + 4, MESSAGE_MAX);
		if (count <= 0)
			break;
		uint32_t length = htonl(count);
		memcpy(output + used, &length, 4);
		used += 4 + count;
	}
	put(output, used);
}

/* Writes the whole frames among the `used` bytes of input; returns how many bytes are left. */
static size_t
to_tap(int tap, size_t used)
{
	size_t at = 0;

	while (used - at >= 4) {
		uint32_t length;
		memcpy(&length, input + at, 4);
		length = ntohl(length);
		if (used - at < 4 + length)
			break;
		if (write(tap, input + at + 4, length) == -1 && errno != EAGAIN && errno != EIO)
			warn("frame of %u bytes", length);
		at += 4 + length;
	}
	memmove(input, input + at, used - at);
	return used - at;
}

int
main(int argc, char *argv[])
{
	size_t used = 0;
	int tap;

	if (argc < 2)
		errx(1, "usage: tap-bridge device [offload]");
	tap = open_tap(argv[1], argc > 2);
	put((const unsigned char *)"\0\0\0\0", 4);
	for (;;) {
		struct pollfd fds[] = { { 0, POLLIN, 0 }, { tap, POLLIN, 0 } };
		if (poll(fds, 2, -1) == -1)
			err(1, "poll");
		if (fds[1].revents & POLLIN)
			from_tap(tap);
		if (fds[0].revents & (POLLIN | POLLHUP)) {
			ssize_t count = read(0, input + used, sizeof(input) - used);
			if (count <= 0)
				return 0;
			used = to_tap(tap, used + count);
		}
	}
}
