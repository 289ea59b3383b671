#!/bin/sh
# Run by busybox's acpid when the power button is pressed.
poweroff
