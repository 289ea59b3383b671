#!/bin/sh
# The guest's first process. With "selfcheck" on the kernel's command line it checks the machine and
# says so; else it gives a shell on the console. Either way the machine is off when it is done.

echo 'init: hello from the initramfs'

export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/root TERM="${TERM:-linux}"
/bin/busybox --install -s
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /tmp /run
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp

while read -r module; do
	insmod "/lib/modules/$module" || echo "init: cannot insert $module"
done </etc/modules
hostname guest
ip link set lo up

# With a cable in the network interface, its address comes by DHCP.
configure_network() {
	ip link set eth0 up
	[ "$(cat /sys/class/net/eth0/carrier)" = 1 ] || return
	udhcpc -i eth0 -q -n -s /etc/udhcpc.sh || echo 'init: no answer from DHCP'
}
[ ! -e /sys/class/net/eth0 ] || configure_network

failed=
fail() {
	failed="${failed:+$failed, }$1"
}

check_processor() {
	uname -a
	grep -m 2 -E '^(model name|flags)' /proc/cpuinfo || fail 'no processor in /proc/cpuinfo'
}

check_file() {
	md5sum -c /etc/selfcheck/file.md5 || fail 'a file has the wrong checksum'
}

check_disk() {
	[ -b /dev/vda ] || { fail 'there is no /dev/vda'; return; }
	md5sum -c /etc/selfcheck/disk.md5 || fail 'the disk has the wrong checksum'
}

check_entropy() {
	current=$(cat /sys/class/misc/hw_random/rng_current)
	echo "hwrng: $current"
	case $current in
	virtio_rng*) ;;
	*) fail 'virtio is not the entropy source' ;;
	esac
	first=$(head -c 32 /dev/hwrng | xxd -p -c 32)
	second=$(head -c 32 /dev/hwrng | xxd -p -c 32)
	echo "hwrng: $first"
	if [ "${#first}" != 64 ] || [ "$first" = "$second" ]; then
		fail 'the entropy device gives no random bytes'
	fi
}

# Complaints of the kernel; its command line may speak of panics.
check_log() {
	complaints='Oops|BUG:|WARNING:|[Pp]anic|segfault|ACPI.*(Error|Warning|Exception|BUG)'
	if dmesg | grep -v 'ommand line' | grep -E "$complaints"; then
		fail 'the kernel complained'
	fi
}

if grep -q -w selfcheck /proc/cmdline; then
	check_processor
	check_file
	check_disk
	check_entropy
	check_log
	if [ -z "$failed" ]; then
		echo 'selfcheck: ok'
	else
		echo "selfcheck: failed: $failed"
	fi
	poweroff -f
fi

# Process 1 from here on: it runs /etc/session, and reboot, halt and poweroff ask it by signal.
exec /sbin/init
