#!/bin/sh
# The user's session, on the serial console as controlling terminal: job control and Ctrl-C work.
# rows= and columns= on the kernel's command line arrive here as environment variables, as a serial
# line cannot ask a terminal for its size.
stty rows "${rows:-24}" columns "${columns:-80}"
cat /etc/motd
cd /root || cd /
/bin/sh -l
echo 'session: the shell has ended'
sync
poweroff -f
