"""What uname(2), /proc/version and /proc/sys/kernel say of this kernel."""

SYSNAME = b"Linux"
RELEASE = b"6.1.0-runsc-py"
VERSION = b"#1 SMP PREEMPT_DYNAMIC runsc-py"
