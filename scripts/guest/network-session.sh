#!/bin/sh
# In the place of the user's session: iperf3 with the host, at the gateway's address, as the kernel's
# command line says: port=5201 seconds=5. Each result is a line of its own.
gateway=$(ip route show default | sed -n 's/.*via \([0-9.]*\).*/\1/p')

measure() {
	name=$1
	shift
	iperf3 -c "$gateway" -p "$port" -t "${seconds:-5}" -O 1 -f k "$@" >/tmp/result 2>&1
	rate=$(sed -n 's/.* \([0-9.]*\) Kbits\/sec.*receiver.*/\1/p' /tmp/result | tail -n 1)
	echo "network: $name ${rate:-failed}"
	[ -n "$rate" ] || cat /tmp/result
}

# What runs for the first time is translated first, here and in QEMU.
for direction in '' -R; do
	iperf3 -c "$gateway" -p "$port" -t "${seconds:-5}" $direction >/dev/null
done
echo 'network: warm'
measure to-host
measure to-host-4 -P 4
measure to-guest -R
measure to-guest-4 -R -P 4
poweroff -f
