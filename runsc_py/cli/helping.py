"""help: what commands there are, and `help syscalls`, the table of system calls as it is compiled in."""

from __future__ import annotations

from runsc_py.errors import Failure

from .main import COMMANDS
from .options import VALUE, parse
from .settings import Settings

USAGE = """\
usage: runsc-py [global options] COMMAND [options] [arguments]

commands:
{commands}

global options (those of runc and runsc; --NAME VALUE or --NAME=VALUE):
  --root DIR            state directory (/run/runsc-py)
  --log FILE            errors go there too; --log-format=text|json
  --debug               debug messages; --debug-log=FILE (or DIR/), else to stderr
  --strace              one line for each system call, in the debug log
  --platform NAME       notify (default) or ptrace (slower; where the host allows no seccomp listener)
  --network NAME        sandbox (default: the interfaces of its network namespace) or none (loopback only)
  --pcap-log FILE       what passes on these interfaces, for tcpdump and Wireshark
  --overlay2 root:memory  the root file system is not written, changes stay in memory
  --ignore-cgroups      make and join no cgroup
  --version

a first try:  runsc-py do -- /bin/echo hi"""

DETAILS = {
    "create": "[--bundle DIR] [--pid-file FILE] [--console-socket SOCKET] [--preserve-fds N] ID",
    "start": "ID",
    "state": "ID",
    "kill": "[--all] ID [SIGNAL]",
    "delete": "[--force] ID...",
    "exec": "[--cwd DIR] [--env NAME=VALUE]... [--user UID[:GID]] [--tty] [--detach] [--pid-file FILE] "
    "[--console-socket SOCKET] [--additional-gids N]... [--cap NAME]... [--no-new-privs] [--preserve-fds N] "
    "[--ignore-paused] [--cgroup PATH] ID COMMAND [ARGUMENTS], or [...] --process FILE ID",
    "pause": "ID",
    "resume": "ID",
    "ps": "[--format table|json] ID [PS OPTIONS]",
    "events": "[--stats] [--interval 5s] ID",
    "run": "[--bundle DIR] [--pid-file FILE] [--detach] [--keep] [--console-socket SOCKET] [--preserve-fds N] ID",
    "list": "[--format table|json] [--quiet]",
    "do": "[--root DIR] [--cwd DIR] [--env NAME=VALUE]... [--user UID[:GID]] [--hostname NAME] "
    "[--netns PATH] -- COMMAND [ARGUMENTS]",
    "spec": "[--bundle DIR] [--rootless] [--cwd DIR] [--netns PATH] [-- COMMAND ARGUMENTS]",
    "features": "",
    "wait": "ID",
    "host-syscalls": "[--format table|json]",
    "help": "[COMMAND | syscalls [--format=table|json|csv]]",
}


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, {"format": VALUE}, {"o": "format"}, "help")
    topic = options.rest[0] if options.rest else ""
    if topic == "syscalls":
        return _syscalls(options.text("format", "table"))
    if topic and topic not in DETAILS:
        raise Failure("help", f"no such command: {topic}", "`runsc-py help` lists them")
    if topic:
        print(f"usage: runsc-py {topic} {DETAILS[topic]}\n\n{COMMANDS[topic]}")
    else:
        print(USAGE.format(commands="\n".join(f"  {name:<14} {text}" for name, text in COMMANDS.items())))
    return 0


def _syscalls(style: str) -> int:
    if style not in ("table", "json", "csv"):
        raise Failure("help syscalls", f"--format {style!r} is none of table, json, csv")
    from syscalls.table import render

    print(render(style).rstrip("\n"))
    return 0
