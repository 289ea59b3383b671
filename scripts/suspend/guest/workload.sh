#!/bin/sh
# What a guest does while its machine is suspended and goes on elsewhere, again and again: computes
# what is known, counts seconds, writes its disk and reads it back, and asks the gateway whether it
# is there. A line that begins with "bad" is a failure. Ends when /tmp/go is gone.

SHA256=$1
HARMONIC=$2
SLOT=65536
SLOTS=64

touch /tmp/go
gateway=$(ip route | sed -n 's/^default via \([0-9.]*\) .*/\1/p')

compute() {
	n=0
	while [ -e /tmp/go ]; do
		sum=$(seq 1 20000 | sha256sum)
		[ "$sum" = "$SHA256  -" ] || echo "bad: sha256 is $sum"
		sum=$(awk 'BEGIN { for (i = 1; i <= 20000; i++) s += 1 / i; printf "%.12f", s }')
		[ "$sum" = "$HARMONIC" ] || echo "bad: the harmonic sum is $sum"
		n=$((n + 1))
		echo "computed $n"
	done
}

content() {
	seq "$1" 1000000 | head -c $SLOT
}

write() {
	n=0
	while [ -e /tmp/go ]; do
		n=$((n + 1))
		slot=$((n % SLOTS))
		content $n | dd of=/dev/vda bs=$SLOT seek=$slot conv=fsync,notrunc 2>/dev/null ||
			echo 'bad: the disk cannot be written'
		echo 3 >/proc/sys/vm/drop_caches
		there=$(dd if=/dev/vda bs=$SLOT skip=$slot count=1 2>/dev/null | md5sum)
		[ "$there" = "$(content $n | md5sum)" ] || echo "bad: slot $slot is not what was written"
		echo "$n" >/tmp/written
		echo "wrote $n"
	done
}

tick() {
	n=0
	while [ -e /tmp/go ]; do
		n=$((n + 1))
		echo "tick $n $(date +%s)"
		ping -c 1 -W 10 "$gateway" >/dev/null || echo 'bad: the gateway does not answer'
		sleep 1
	done
}

compute &
write &
tick &
wait
# A host that has no time for the guest looks like a lockup to it, which proves nothing.
dmesg | grep -v -E 'ommand line|soft lockup' | grep -E 'Oops|BUG:|WARNING:|[Pp]anic|segfault' |
	sed 's/^/bad: the kernel complained: /'
echo "workload: done, wrote $(cat /tmp/written)"
