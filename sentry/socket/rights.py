"""Open files on their way through sockets (unix(7), SCM_RIGHTS): counting them, letting them go, breaking cycles.

A file in a queue has a reference. A socket that is referred to by queues alone, all of which can only be reached
through such sockets, is garbage that reference counts never free; `collect` finds it, as unix_gc does in Linux. It runs
from the loop after a close that may have made some, and no more often than in proportion to what it has to look at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.socket.unix import UnixSocket
    from vfs.core.file import File

WORK_PER_CLOSE = 64  # sockets that one close may make `collect` look at

in_flight: dict[int, int] = {}  # files in queues, by the uid that sent them
sockets: dict[UnixSocket, int] = {}  # unix sockets among them, with the number of their references that are in queues
_dropping: deque[File] = deque()
_busy = False
_closes = 0
_scheduled = False


def sent(files: Iterable[File], uid: int) -> None:
    """`files`, each with a reference of its own, now lie in a queue."""
    from sentry.socket.unix import UnixSocket

    for file in files:
        in_flight[uid] = in_flight.get(uid, 0) + 1
        if isinstance(file, UnixSocket):
            sockets[file] = sockets.get(file, 0) + 1


def taken(files: Iterable[File], uid: int) -> None:
    """`files` have left a queue; their references go to whoever took them."""
    from sentry.socket.unix import UnixSocket

    for file in files:
        left = in_flight.get(uid, 1) - 1
        if left:
            in_flight[uid] = left
        else:
            in_flight.pop(uid, None)
        if isinstance(file, UnixSocket):
            count = sockets.get(file, 0)
            if count > 1:
                sockets[file] = count - 1
            else:
                sockets.pop(file, None)


def drop(files: Iterable[File]) -> None:
    """Give up references. One socket's queue may hold the next one: they are freed in a row, not in each other."""
    global _busy
    _dropping.extend(files)
    if _busy:
        return
    _busy = True
    try:
        while _dropping:
            _dropping.popleft().unref()
    finally:
        _busy = False


def closed(kernel: Kernel) -> None:
    """A socket, or one of its descriptors, was closed while sockets are in flight."""
    global _closes, _scheduled
    _closes += 1
    if not _scheduled and _closes * WORK_PER_CLOSE >= len(sockets):
        _scheduled = True
        kernel.defer(_collect_now)


def _collect_now() -> None:
    global _closes, _scheduled
    _scheduled = False
    _closes = 0
    collect()


def collect() -> int:
    """Empty the queues of unreachable sockets; returns how many there were."""
    from sentry.socket.unix import UnixSocket

    candidates = {sock for sock, count in sockets.items() if sock.refs == count}
    outside = {sock: sockets[sock] for sock in candidates}
    for sock in candidates:
        for file in sock.queued_files():
            if isinstance(file, UnixSocket) and file in outside:
                outside[file] -= 1
    reached = [sock for sock, count in outside.items() if count > 0]  # some live queue holds it
    while reached:
        sock = reached.pop()
        if sock in candidates:
            candidates.discard(sock)
            reached.extend(file for file in sock.queued_files() if isinstance(file, UnixSocket))
    for sock in candidates:
        sock.purge()
    return len(candidates)
