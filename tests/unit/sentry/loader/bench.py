"""execve(2): what the loader costs. Run by hand: bench.py LOADER PROGRAM [ARG...]

Prints ns for vfork + exec + wait of the program: natively, through the loader, and what building the plan takes of it.
Everything is on one CPU; the supervisor is run_loaded.py's, in Python, and re-uses parsed images.
"""

import fcntl
import os
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import run_loaded  # type: ignore[import-not-found]  # its neighbour

from sentry.loader import plan
from sentry.loader.auxv import Ids

COUNT = "300"


def main(loader: str, program: list[str]) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    folder = tempfile.mkdtemp()
    spawn = f"{folder}/spawn"
    subprocess.run(["gcc", "-O1", "-static", "-o", spawn, str(Path(__file__).with_name("spawn.c"))], check=True)
    top = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 1
    ids, aslr = Ids(0, 0, 0, 0), lambda below: int.from_bytes(os.urandom(8), "little") % below
    image = run_loaded.Program(os.fsencode(program[0]))

    def build() -> bytes:
        return plan.build_plan(image.image, image.interp, execfn=image.path, comm=b"bench", ids=ids,
                               program_fd=top - 1, interp_fd=top - 2, aslr=aslr)

    native, loaded = [], []
    for _ in range(5):
        native.append(int(subprocess.run([spawn, COUNT, "-1", *program], stdout=subprocess.PIPE, check=True).stdout))
        loaded.append(timed(loader, [spawn, COUNT, str(top), *program], build, image))
    started_ns = time.perf_counter_ns()
    for _ in range(1000):
        build()
    built = (time.perf_counter_ns() - started_ns) // 1000
    os.unlink(spawn)
    os.rmdir(folder)
    print(f"native {statistics.median(native)}  loaded {statistics.median(loaded)}  of that build_plan {built}")


def timed(loader: str, argv: list[str], build: Callable[[], bytes], image: run_loaded.Program) -> int:
    read, write = os.pipe()

    def child(tell: int, wait: int) -> NoReturn:
        run_loaded.install(loader, (plan.LOADER_MAGIC,), tell, wait)
        os.dup2(write, 1)
        os.execv(argv[0], argv)

    pid, listener = run_loaded.start(child)
    while True:
        request = bytearray(run_loaded.NOTIF.size)
        try:
            fcntl.ioctl(listener, run_loaded.NOTIF_RECV, request)
        except OSError:
            break
        ident, tid, _, _, _, _, addr, *_ = run_loaded.NOTIF.unpack(request)
        data = build()
        run_loaded.hand_over(tid, listener, ident, addr, data, image)
        fcntl.ioctl(listener, run_loaded.NOTIF_SEND, struct.pack("<QqiI", ident, len(data), 0, 0))
    assert os.waitpid(pid, 0)[1] == 0
    text = os.read(read, 100)
    for fd in (read, write, listener):
        os.close(fd)
    return int(text)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
