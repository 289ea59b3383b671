#!/bin/sh
# The soak test's driver, in the place of the user's session. The host asks for rounds, one line on
# the console for each, and gets one line back:
#   round NUMBER SEED MODE LOADS INTEGER FLOAT SYSTEM SORTED AWK LOOP
#   stop
# MODE is "apart" or "together", LOADS are names with commas between, and the rest are the MD5 sums
# of what the loads must print for SEED. Every line for the host begins with "soak: ".

export PATH=/bin:/sbin:/usr/bin:/usr/sbin
say() { echo "soak: $*"; }

fail() {
	say "FAIL round $round $load: $*"
	: >/tmp/failed
}

# Writes all memory once. Otherwise the host would see its pages arrive in the course of hours, as
# the guest happens to use them, and could not tell that from a leak.
warm_up() {
	mount -o remount,size=100% /tmp
	while read -r name kib unit; do
		[ "$name" = MemAvailable: ] && free=$kib
	done </proc/meminfo
	dd if=/dev/zero of=/tmp/fill bs=1M count=$((free / 1024 - 24)) 2>/dev/null
	rm /tmp/fill
}

# Hundredths of a second since the machine's start.
now() {
	read -r uptime idle </proc/uptime
	echo "${uptime%.*}${uptime#*.}"
}

run_load() {
	load=$1 begin=$(now)
	mkdir "/tmp/$load" && cd "/tmp/$load" || { fail 'no directory'; return; }
	"load_$load"
	cd /
	rm -rf "/tmp/$load"
	say "load $load took $(($(now) - begin))0 ms"
}

run_round() {
	rm -f /tmp/failed
	for name in $(echo "$loads" | tr , ' '); do
		if [ "$mode" = together ]; then
			(run_load "$name") &
		else
			(run_load "$name")
		fi
	done
	wait
	verdict=ok
	[ ! -e /tmp/failed ] || verdict=failed
	read -r uptime idle </proc/uptime
	read -r disk </tmp/disk.md5
	say "round $round $verdict uptime $uptime disk $disk"
}

. /etc/soak/constants
. /soak/loads.sh
stty -echo
warm_up
echo none >/tmp/disk.md5
say ready
while read -r verb round seed mode loads integer float system sorted awk loop; do
	case $verb in
	round) run_round ;;
	stop) break ;;
	*) round=0 load=console fail "the host says \"$verb\"" ;;
	esac
done
sync
say off
poweroff -f
