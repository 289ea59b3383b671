#!/bin/sh
# What the guest of the disk tests does, in the place of the user's session. The kernel's command
# line says it by variables: job=crash seed=NUMBER, job=fio with the name of a job file of /etc/fio in
# file= and perhaps options in extra= (with commas for spaces). Lines for the host begin with "disk: ".

export PATH=/bin:/sbin:/usr/bin:/usr/sbin
stty -echo -onlcr
echo "disk: ready"
case $job in
crash)
	crash-writer "$seed" /dev/vd?
	;;
fio)
	# shellcheck disable=SC2046 # words, on purpose
	fio --minimal $(echo "$extra" | tr , ' ') "/etc/fio/$file" | sed 's/^/disk: fio /'
	;;
esac
echo "disk: done"
poweroff -f
