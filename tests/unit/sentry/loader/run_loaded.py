"""seccomp_unotify(2): runs one program through the loader, with a supervisor that does nothing but serve its plan.

    run_loaded.py [--no-aslr] [--no-env] [--drop] [--small] [--ids U,EU,G,EG,SECURE] [--report FILE]
                  [--stack BYTES] LOADER PROGRAM [ARG...]

The program's other system calls run natively. --report writes what was served and, as notified calls, everything
that the loader itself did. The exit status is the program's; an execve that fails exits 100 + errno.
"""

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from sentry.abi.errno import Errno
from sentry.loader import elf, plan, script
from sentry.loader.auxv import Ids

LIBC = ctypes.CDLL(None, use_errno=True)
NR_EXECVEAT, NR_SECCOMP, NR_PIDFD_GETFD = 322, 317, 438
RET_ALLOW, RET_NOTIFY = 0x7FFF0000, 0x7FC00000
NOTIF_RECV, NOTIF_SEND, NOTIF_ADDFD = 0xC0502100, 0xC0182101, 0x40182103
TRACED = (3, 9, 10, 11, 12, 157, 231)           # close mmap mprotect munmap brk prctl exit_group
NOTIF = struct.Struct("<QIIiIQ6Q")


def syscall(nr: int, *args: Any) -> int:
    result = int(LIBC.syscall(ctypes.c_long(nr), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def filter_program(notified: tuple[int, ...]) -> bytes:
    rows = [(0x20, 0, 0, 0)]
    rows += [(0x15, len(notified) - at, 0, nr) for at, nr in enumerate(notified)]
    rows += [(0x06, 0, 0, RET_ALLOW), (0x06, 0, 0, RET_NOTIFY)]
    return b"".join(struct.pack("<HBBI", *row) for row in rows)


def install(loader: str, notified: tuple[int, ...], ready: int, go: int) -> int:
    """In the child: puts the loader at its descriptor, then the filter; returns when the listener was fetched."""
    loader_fd = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    os.dup2(os.open(loader, os.O_RDONLY), loader_fd, inheritable=True)
    code = filter_program(notified)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(buffer))
    LIBC.prctl(38, 1, 0, 0, 0)                                  # PR_SET_NO_NEW_PRIVS
    free = os.dup(0)
    os.close(free)
    os.write(ready, struct.pack("<I", free))
    syscall(NR_SECCOMP, 1, 8, ctypes.c_char_p(program))         # the listener, O_CLOEXEC, is descriptor `free`
    os.read(go, 1)
    return loader_fd


def start(child: Callable[[int, int], NoReturn]) -> tuple[int, int]:
    """Forks `child`, which calls install(); returns its pid and the listener."""
    (ready, tell), (wait, go) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            child(tell, wait)
        finally:
            traceback.print_exc()
            os._exit(98)
    os.close(tell)
    number = struct.unpack("<I", os.read(ready, 4))[0]
    pidfd, listener = os.pidfd_open(pid), -1
    while listener < 0:
        try:
            listener = syscall(NR_PIDFD_GETFD, pidfd, number, 0)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            time.sleep(0.001)
    os.write(go, b"!")
    return pid, listener


def exec_loader(loader_fd: int, argv: list[bytes]) -> NoReturn:
    strings = (ctypes.c_char_p * (len(argv) + 1))(*argv, None)
    env = [key + b"=" + value for key, value in os.environb.items()]
    environ = (ctypes.c_char_p * (len(env) + 1))(*env, None)
    syscall(NR_EXECVEAT, loader_fd, ctypes.c_char_p(b""), strings, environ, 0x1000)
    os._exit(99)


class Program:
    """What execve finds out before it commits itself."""

    def __init__(self, path: bytes) -> None:
        self.path, self.prefix = path, list[bytes]()
        for _ in range(script.MAX_DEPTH + 1):
            self.fd = os.open(path, os.O_RDONLY)
            head = os.pread(self.fd, 4096, 0)
            if not script.is_script(head):
                break
            line = script.parse(head)
            self.prefix = line.prefix(path, self.prefix)
            path = line.interp
        self.image = elf.read_image(lambda size, offset: os.pread(self.fd, size, offset), head)
        self.interp, self.interp_fd = None, -1
        if self.image.interp is not None:
            self.interp_fd = os.open(self.image.interp, os.O_RDONLY)
            self.interp = elf.read_interpreter(lambda size, offset: os.pread(self.interp_fd, size, offset))


def serve(pid: int, listener: int, program: Program, options: dict[str, Any]) -> dict[str, Any]:
    report: dict[str, Any] = {"calls": [], "asked": 0, "program_fd": resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 2}
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    done = False
    while True:
        request = bytearray(NOTIF.size)
        try:
            fcntl.ioctl(listener, NOTIF_RECV, request)
        except OSError:
            return report
        ident, _, _, nr, _, ip, *args = NOTIF.unpack(request)
        if nr != plan.LOADER_MAGIC:
            if done and report["loader"] <= ip < report["loader"] + report["loader_size"]:
                report["calls"].append([nr, *args])
            fcntl.ioctl(listener, NOTIF_SEND, struct.pack("<QqiI", ident, 0, 0, 1))
            continue
        report["asked"] += 1
        report["loader"], report["loader_size"], version = args[3:6]
        assert version == plan.PLAN_VERSION, version
        started_ns = time.perf_counter_ns()
        data = plan.build_plan(
            program.image, program.interp, execfn=program.path, comm=os.path.basename(program.path),
            ids=options["ids"], program_fd=top - 1, interp_fd=top - 2, aslr=options["aslr"], argv_prefix=program.prefix,
        )
        report["plan_ns"], report["plan_length"] = time.perf_counter_ns() - started_ns, len(data)
        room = 64 if options["small"] and report["asked"] == 1 else args[1]
        answer = len(data) if room >= len(data) else max(len(data), args[1] + 1)
        if answer <= args[1]:
            hand_over(pid, listener, ident, args[0], data, program)
            done = True
        fcntl.ioctl(listener, NOTIF_SEND, struct.pack("<QqiI", ident, answer, 0, 0))


def hand_over(pid: int, listener: int, ident: int, addr: int, data: bytes, program: Program) -> None:
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    os.pwrite(memory, data, addr)
    os.close(memory)
    for fd, number in ((program.fd, top - 1), (program.interp_fd, top - 2)):
        if fd >= 0:
            fcntl.ioctl(listener, NOTIF_ADDFD, struct.pack("<QIIII", ident, 1, fd, number, os.O_CLOEXEC))


def run(loader: str, argv: list[bytes], options: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    program = Program(argv[0])

    def child(tell: int, wait: int) -> NoReturn:
        loader_fd = install(loader, (plan.LOADER_MAGIC, *(TRACED if options["report"] else ())), tell, wait)
        if options["drop"]:
            os.setresuid(65534, 65534, 65534)
        if options["stack"]:
            resource.setrlimit(resource.RLIMIT_STACK, (options["stack"], options["stack"]))
        exec_loader(loader_fd, argv)

    pid, listener = start(child)
    report = serve(pid, listener, program, options)
    return os.waitpid(pid, 0)[1], report


def main(args: list[str]) -> int:
    options: dict[str, Any] = {
        "ids": Ids(os.getuid(), os.geteuid(), os.getgid(), os.getegid()),
        "report": "", "small": False, "drop": False, "stack": 0,
        "aslr": lambda below: int.from_bytes(os.urandom(8), "little") % below,
    }
    while args[0].startswith("--"):
        option = args.pop(0)
        if option == "--no-aslr":
            options["aslr"] = lambda below: 0
        elif option == "--no-env":
            os.environb.clear()
        elif option == "--drop":
            options["drop"] = True
        elif option == "--stack":
            options["stack"] = int(args.pop(0))
        elif option == "--small":
            options["small"] = True
        elif option == "--ids":
            uid, euid, gid, egid, secure = map(int, args.pop(0).split(","))
            options["ids"] = Ids(uid, euid, gid, egid, bool(secure))
        else:
            options["report"] = args.pop(0)
    try:
        status, report = run(args[0], [os.fsencode(arg) for arg in args[1:]], options)
    except Errno as error:
        return 100 + error.code
    except OSError as error:
        return 100 + (error.errno or 0)
    if options["report"]:
        with open(options["report"], "w", encoding="ascii") as file:
            json.dump(report, file)
    if os.WIFSIGNALED(status):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.WEXITSTATUS(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
