"""Two devices with a wire between them, as veth(4) has: for tests, and between namespaces of one sandbox.

`send` only queues: a stack that sends is never entered again before it has returned. Whoever owns the pair calls
`drain` on both ends, which is asked for by `wakeup`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from netstack.link.segment import frames
from netstack.packet import Offload

Receive = Callable[[bytes, bool, int], None]  # frame, checked, gso_size: stack.receive behind its interface
MAX_QUEUED = 1000


class End:
    """One device. `receive` gets what the other end sends; without it that is dropped, as on a veth that is down."""

    def __init__(
        self, gso: bool = True, offload_checksum: bool = True, wakeup: Callable[[], None] | None = None
    ) -> None:
        self.gso = gso
        self.checksum = offload_checksum
        self.receive: Receive | None = None
        self.wakeup = wakeup
        self.peer: End | None = None
        self._arrived: deque[tuple[Sequence[bytes | memoryview], Offload]] = deque()

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        peer = self.peer
        if peer is None or peer.receive is None or len(peer._arrived) >= MAX_QUEUED:
            return False
        peer._arrived.append((parts, offload))
        if len(peer._arrived) == 1 and peer.wakeup is not None:
            peer.wakeup()
        return True

    @property
    def waiting(self) -> int:
        """Frames that have arrived here and wait for `drain`."""
        return len(self._arrived)

    def drain(self, at_most: int = 64) -> int:
        """Hand over what has arrived; how many frames it was. What arrives meanwhile is left for the next time."""
        count = min(len(self._arrived), at_most)
        for _ in range(count):
            parts, offload = self._arrived.popleft()
            receive = self.receive
            if receive is None:
                continue
            if offload.csum_start and not self.checksum:
                for frame in frames(parts, offload):  # the other end may hand us what we cannot take
                    receive(frame, False, 0)
            else:
                receive(b"".join(parts), bool(offload.csum_start), offload.gso_size)
        if self._arrived and self.wakeup is not None:
            self.wakeup()
        return count


def pair(gso: bool = True, offload_checksum: bool = True) -> tuple[End, End]:
    """Two ends, connected. With gso and checksums left to the device, nothing on the wire is ever cut or summed."""
    first, second = End(gso, offload_checksum), End(gso, offload_checksum)
    first.peer, second.peer = second, first
    return first, second
