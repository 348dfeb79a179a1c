"""A bad wire between two network namespaces: a TAP device in each, and frames carried from one to the other with loss,
delay, reordering and duplicates (netstack.link.fault), as tc-netem(8) would on a kernel that has it.

usage: python -m tests.net.relay NAMESPACE NAMESPACE [--device=eth0] [--rate-mbit=100] [--loss=0.01] [--delay-ms=50] ...
Prints "ready" when both devices are there, and what it carried when it is ended by SIGTERM. TAP devices take no
offload here: the kernel hands over plain frames with their checksums.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Sequence
from functools import partial

from netstack.link.base import Link
from netstack.link.fault import Faults, Faulty
from netstack.packet import NO_OFFLOAD, Offload
from netstack.timers import Timers

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
BATCH = 64


class Tap:
    """One device; what is sent is a frame that its namespace receives."""

    gso = checksum = False

    def __init__(self, namespace: str, device: str) -> None:
        enter(namespace)
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
        with open(f"/proc/sys/net/ipv6/conf/{device}/accept_dad", "w") as file:
            file.write("0")
        self.carried = self.dropped = 0

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        try:
            os.writev(self.fd, parts)
        except OSError:  # the device is down (EIO), or its queue is full
            self.dropped += 1
            return False
        self.carried += 1
        return True


class Narrow:
    """A line that takes so many bits a second, and has room for a moment's worth of frames that wait."""

    gso = checksum = False
    ROOM_NS = 50_000_000

    def __init__(self, link: Link, rate_mbit: float, timers: Timers) -> None:
        self.link = link
        self.rate_mbit = rate_mbit
        self.timers = timers
        self.free_ns = 0

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        now_ns = time.monotonic_ns()
        start_ns = max(now_ns, self.free_ns)
        if start_ns - now_ns > self.ROOM_NS:
            return False
        self.free_ns = start_ns + int(sum(map(len, parts)) * 8000 / self.rate_mbit)
        self.timers.add(self.free_ns, partial(self._arrive, parts, offload))
        return True

    def _arrive(self, parts: Sequence[bytes | memoryview], offload: Offload) -> None:
        self.link.send(parts, offload)


def enter(namespace: str) -> None:
    """setns(2); Python 3.11 has no os.setns."""
    fd = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns {namespace}")
    os.close(fd)


def carry(first: Tap, second: Tap, faults: Faults, seed: int, rate_mbit: float) -> None:
    """Until SIGTERM. select(2), because it waits for less than a millisecond, too."""
    timers = Timers(lambda: None)
    lines: dict[int, Link] = {}
    for number, (tap, other) in enumerate(((first, second), (second, first))):
        line: Link = Faulty(other, faults, seed + number, timers, time.monotonic_ns)
        lines[tap.fd] = Narrow(line, rate_mbit, timers) if rate_mbit else line
    while True:
        timers.run(time.monotonic_ns())
        next_ns = timers.next_ns()
        timeout_s = None if next_ns < 0 else max(0.0, (next_ns - time.monotonic_ns()) / 1e9)
        for fd in select.select(list(lines), (), (), timeout_s)[0]:
            line = lines[fd]
            for _ in range(BATCH):
                try:
                    frame = os.read(fd, 65_536)
                except OSError:  # nothing more, or the device is down
                    break
                line.send((frame,), NO_OFFLOAD)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("namespaces", nargs=2)
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--seed", type=int, default=1)
    for name in ("rate-mbit", "loss", "duplicate", "reorder", "corrupt", "delay-ms", "jitter-ms", "reorder-ms"):
        parser.add_argument(f"--{name}", type=float, default=1.0 if name == "reorder-ms" else 0.0)
    args = parser.parse_args(argv)
    taps = [Tap(namespace, args.device) for namespace in args.namespaces]
    faults = Faults(
        args.loss, args.duplicate, args.reorder, args.corrupt, int(args.delay_ms * 1e6), int(args.jitter_ms * 1e6),
        int(args.reorder_ms * 1e6),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    try:
        carry(taps[0], taps[1], faults, args.seed, args.rate_mbit)
    finally:
        print(f"carried {taps[1].carried} {taps[0].carried} dropped {taps[1].dropped} {taps[0].dropped}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
