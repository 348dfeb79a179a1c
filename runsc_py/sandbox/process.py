"""A host process known by number and start time (proc(5), pidfd_open(2)): numbers are used again, the pair is not."""

from __future__ import annotations

import os
import select

DEAD_STATES = b"ZXx"
SIGKILL = 9


def start_time(pid: int) -> int:
    """Clock ticks after boot, field 22 of /proc/PID/stat; 0 if there is no such process."""
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _stat(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read(4096)
    except OSError:
        return []
    return text[text.rfind(b")") + 2 :].split()  # the name before may hold anything


def is_alive(pid: int, started: int) -> bool:
    fields = _stat(pid) if pid > 0 else []
    return bool(fields) and int(fields[19]) == started and fields[0] not in DEAD_STATES


def open_pidfd(pid: int, started: int) -> int:
    """A pidfd of exactly that process, or -1 if it is gone; the start time is read once the descriptor holds it."""
    if pid <= 0:
        return -1
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return -1
    if is_alive(pid, started):
        return pidfd
    os.close(pidfd)
    return -1


def send(pidfd: int, signo: int) -> None:
    import signal  # and with it `enum`: most commands send none

    try:
        signal.pidfd_send_signal(pidfd, signo)
    except ProcessLookupError:
        pass


def has_ended(pidfd: int, timeout_s: float) -> bool:
    """A pidfd is readable once its process has ended, reaped or not."""
    return bool(select.select([pidfd], [], [], timeout_s)[0])


def kill_and_wait(processes: list[tuple[int, int]], timeout_s: float) -> bool:
    """SIGKILL to each (pid, start time); True when all have ended."""
    pidfds = [fd for fd in (open_pidfd(pid, started) for pid, started in processes) if fd >= 0]
    for pidfd in pidfds:
        send(pidfd, SIGKILL)
    ended = [has_ended(pidfd, timeout_s) for pidfd in pidfds]
    for pidfd in pidfds:
        os.close(pidfd)
    return all(ended)


def has_interfaces(pid: int) -> bool:
    """Whether a process's network namespace holds more than the loopback (proc(5), /proc/net/dev)."""
    try:
        with open(f"/proc/{pid}/net/dev", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()[2:]
    except OSError:
        return False
    return any(line.partition(":")[0].strip() != "lo" for line in lines)
