#!/bin/sh
# Run by busybox's udhcpc when something changes; the settings are in its environment.

case $1 in
deconfig)
	ip -4 addr flush dev "$interface"
	;;
bound | renew)
	[ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
	ip -4 addr flush dev "$interface"
	ip addr add "$ip/$mask" dev "$interface"
	for address in $router; do
		ip route add default via "$address" dev "$interface"
	done
	for address in $dns; do
		echo "nameserver $address"
	done >/etc/resolv.conf
	[ -z "$hostname" ] || hostname "$hostname"
	;;
esac
