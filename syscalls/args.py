"""Every kind of register for `registry.syscall`: the decoded ones and those that strace shows by name."""

from syscalls.registers import *  # noqa: F403
from syscalls.symbols import *  # noqa: F403
