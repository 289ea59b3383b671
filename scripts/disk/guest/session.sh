#!/bin/sh
# What the guest of the disk tests does, in the place of the user's session. The kernel's command
# line says it by variables: job=crash seed=NUMBER, job=fio with the name of a job file of /etc/fio in
# file= and perhaps options in extra= (with commas for spaces), or job=bench with the same, which runs
# the jobs of the file by themselves. Lines for the host begin with "disk: ".

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
bench)
	names=$(sed -n 's/^\[\(.*\)\]$/\1/p' "/etc/fio/$file" | grep -v -x global)
	# The first time is for the processor's compiler, and whatever else is not warm.
	for name in $names $names; do
		echo "disk: begin $name"
		fio --minimal --section="$name" "/etc/fio/$file" 2>/dev/null | sed 's/^/disk: fio /'
	done
	echo "disk: begin end"
	;;
esac
echo "disk: done"
# What was said is still on its way; a machine that is off says nothing.
sleep 1
poweroff -f
