# The loads of the soak test, read by its driver. Each runs in an empty directory of its own, which
# is deleted afterwards, and calls fail for all that is not as it must be.

# Fails with the message $2 unless the file "out" is what the output called $1 must be; shows the
# beginning of what it is instead.
check_output() {
	eval "expected=\$$1"
	[ "$(md5sum <out)" = "$expected  -" ] && return
	fail "$2"
	head -n 20 out | sed "s/^/soak: got $1: /"
}

# The three C programs by tcc, each to a file and in memory; the compiler must also repeat itself.
load_tcc() {
	for name in integer float system; do
		set -- "-DSEED=${seed}ull" -lm -lpthread
		if ! tcc "$@" -o "$name" "/soak/$name.c"; then
			fail "tcc does not compile $name.c"
			continue
		fi
		"./$name" >out || fail "$name.c ends with status $?"
		check_output $name "$name.c computes something else"
		tcc "$@" -run "/soak/$name.c" >out || fail "tcc -run $name.c ends with status $?"
		check_output $name "tcc -run $name.c computes something else"
		tcc "$@" -o again "/soak/$name.c"
		cmp "$name" again || fail "tcc compiles $name.c in two ways"
	done
}

# The same by gcc, which the guest has when asked for.
load_gcc() {
	for name in integer float system; do
		set -- -O2 -w -ffp-contract=off -frounding-math "-DSEED=${seed}ull"
		if ! gcc "$@" -o "$name" "/soak/$name.c" -lm -lpthread; then
			fail "gcc does not compile $name.c"
			continue
		fi
		"./$name" >out || fail "$name.c ends with status $?"
		check_output $name "$name.c computes something else"
	done
}

load_gzip() {
	tar -cf - -C /usr/include/linux . | head -c 1000000 >in
	cat /etc/selfcheck/file >>in
	for level in 1 6; do
		gzip -c "-$level" in | gunzip -c | cmp - in || fail "gzip -$level and gunzip lose something"
	done
}

# What the host put into this guest has the sums that the host knows.
load_sums() {
	sha256sum -c -s /etc/soak/sha256 || fail 'sha256sum: files have changed'
	md5sum -c -s /etc/selfcheck/file.md5 || fail 'md5sum: the file has changed'
}

# The minimal standard generator of Park and Miller, whose products awk's numbers hold exactly.
numbers() {
	awk -v x="$seed" -v n="$1" 'BEGIN { while (n-- > 0) { x = x * 16807 % 2147483647; print x } }'
}

load_sort() {
	numbers 10000 >in
	sort -n in >out
	check_output sorted 'sort -n: other output'
	sort -r in | sort -n | cmp - out || fail 'sort -r | sort -n gives something else'
}

load_awk() {
	numbers 10000 | mawk '
		{
			root += sqrt($1) / NR
			last[substr($1, length($1))]++
			text = substr($1 text, 1, 60)
			if ($1 ~ /(12|98)3*[4-7]/) matches++
		}
		END {
			printf "%.12e\n%d\n%s\n", root, matches, text
			for (digit = 0; digit < 10; digit++) print digit, last[digit]
		}' >out
	check_output awk 'mawk: other output'
}

load_loop() {
	x=$seed y=0 i=0
	while [ $i -lt 5000 ]; do
		x=$((x * 6364136223846793005 + 1442695040888963407))
		y=$((y ^ (x >> 17)))
		i=$((i + 1))
	done
	echo "$x $y" >out
	check_output loop 'the shell counts otherwise'
}

load_tar() {
	tar -cf in -C / usr/include/linux
	mkdir tree
	tar -xf in -C tree
	diff -r /usr/include/linux tree/usr/include/linux || fail 'tar: the copy differs'
}

# The files of the guest as find sees them, against the list that the host made.
load_find() {
	find /usr /soak -type f | sort >out
	cmp out /etc/soak/files || fail 'find: other files'
	find /usr /soak -type f -exec cat {} + | wc -c >out
	cmp out /etc/soak/bytes || fail 'find -exec cat: other bytes'
}

# Hundreds of processes that hardly live.
load_forks() {
	i=0 sum=0
	while [ $i -lt 150 ]; do
		/bin/true || fail '/bin/true is not'
		sum=$((sum + $(echo $i)))
		sum=$((sum + $(echo $i | cat | wc -c)))
		i=$((i + 1))
	done
	# The numbers 0 to 149, and their lengths with a newline each: 10 * 2 + 90 * 3 + 50 * 4.
	[ $sum -eq $((149 * 150 / 2 + 490)) ] || fail "the processes count to $sum"
	i=0
	while [ $i -lt 100 ]; do
		(exit $i) &
		i=$((i + 1))
	done
	wait
}

# The first half of the disk is the host's, the second takes what is written here. The host
# compares the sum of the second half with its file in the end.
load_disk() {
	x=$seed i=0
	while [ $i -lt 12 ]; do
		x=$((x * 16807 % 2147483647))
		from=$((x % 240)) to=$((x / 240 % (DISK_HALF / 4096 - 16)))
		dd if=/etc/selfcheck/file of=piece bs=4096 count=16 skip=$from 2>/dev/null
		dd if=piece of=/dev/vda bs=4096 seek=$((DISK_HALF / 4096 + to)) conv=notrunc,fsync \
			2>/dev/null || fail 'dd cannot write'
		echo 3 >/proc/sys/vm/drop_caches
		dd if=/dev/vda bs=4096 count=16 skip=$((DISK_HALF / 4096 + to)) 2>/dev/null |
			cmp - piece || fail "dd reads back something else at block $to"
		i=$((i + 1))
	done
	echo 3 >/proc/sys/vm/drop_caches
	dd if=/dev/vda bs=1048576 count=$((DISK_HALF / 1048576)) of=half 2>/dev/null
	[ "$(md5sum <half)" = "$DISK_MD5  -" ] || fail 'the first half of the disk has changed'
	dd if=/dev/vda bs=1048576 skip=$((DISK_HALF / 1048576)) 2>/dev/null |
		md5sum | cut -c 1-32 >/tmp/disk.md5
}
