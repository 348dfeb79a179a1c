"""Congestion control: the interface, and Reno (RFC 5681 with the byte counting of RFC 3465). CUBIC is in `cubic`.

Windows are bytes. What is lost and when is `recovery`'s business: it calls, and sets `cwnd` itself while a loss is
being repaired (RFC 6937).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

INITIAL_SEGMENTS = 10  # RFC 6928
INFINITE = 1 << 62  # no slow start threshold yet
MAX_WINDOW = 1 << 30  # the widest that window scaling can offer (RFC 7323, 2.3)


class Congestion(ABC):
    """One connection's window. `on_...` are told after the fact; each sets `cwnd` and `ssthresh`.

    acked_bytes      newly delivered by this acknowledgement, cumulatively or selectively
    rtt_ns           the round trip it has measured, 0 for none
    in_flight_bytes  for `on_ack`: the most that was in flight in this round; for a loss: what is in flight now
    """

    name: ClassVar[str] = ""

    __slots__ = ("_prior_cwnd", "_prior_ssthresh", "cwnd", "mss", "ssthresh")

    def __init__(self, mss: int) -> None:
        self.mss = mss
        self.cwnd = initial_window(mss)
        self.ssthresh = INFINITE
        self._prior_cwnd = self._prior_ssthresh = 0

    @abstractmethod
    def on_ack(self, acked_bytes: int, now_ns: int, rtt_ns: int, in_flight_bytes: int) -> None:
        """Data was delivered and no loss is being repaired: grow, if the window was what held the sender (RFC 7661:
        else it says nothing of the path)."""

    def on_loss(self, now_ns: int, in_flight_bytes: int) -> None:
        """A loss was found: `ssthresh` falls. `cwnd` comes down to it as acknowledgements arrive (RFC 6937)."""
        self._prior_cwnd = self.cwnd
        self._prior_ssthresh = self.ssthresh
        self.ssthresh = self.reduced(now_ns)

    def on_ecn(self, now_ns: int, in_flight_bytes: int) -> None:
        """A router has marked a packet (RFC 3168, 6.1.2); once a round trip at most. It is never taken back."""
        self.on_loss(now_ns, in_flight_bytes)
        self._prior_cwnd = 0

    def on_rto(self, now_ns: int, in_flight_bytes: int, first: bool) -> None:
        """The retransmission timer has expired; `first` of its row: only that lowers `ssthresh` (RFC 5681, 3.1)."""
        if first:
            self.on_loss(now_ns, in_flight_bytes)
        self.cwnd = self.mss

    @abstractmethod
    def reduced(self, now_ns: int) -> int:
        """The window after a loss; notes what the algorithm wants to know of it."""

    def recovered(self) -> None:
        """The loss is repaired."""
        self.cwnd = self.ssthresh

    def undo(self) -> None:
        """The loss was none (RFC 4015, 3.2)."""
        if self._prior_cwnd:
            self.cwnd = max(self.cwnd, self._prior_cwnd)
            self.ssthresh = max(self.ssthresh, self._prior_ssthresh)
            self._prior_cwnd = 0

    def restart(self, idle_ns: int, rto_ns: int) -> None:
        """Nothing was sent for longer than a timeout: the window halves for each, not below the initial one, and
        `ssthresh` remembers most of what it was (RFC 2861, 3.1)."""
        floor = min(initial_window(self.mss), self.cwnd)
        if self.cwnd * 3 // 4 > self.ssthresh:
            self.ssthresh = self.cwnd * 3 // 4
        self.cwnd = max(self.cwnd >> min(idle_ns // rto_ns, 32), floor)

    def set_mss(self, mss: int) -> None:
        """The path's MTU has changed: the window stays what it was in bytes, but two segments fit."""
        self.mss = mss
        self.cwnd = max(self.cwnd, 2 * mss)

    def _held(self, in_flight_bytes: int) -> bool:
        """Whether the window has held the sender back. A sender of 64 KiB bursts does not fill it to the last byte, and
        in slow start it may double as long as half of it is in use (RFC 7661, 4.1)."""
        if self.cwnd < self.ssthresh:
            return self.cwnd < 2 * in_flight_bytes
        return self.cwnd - in_flight_bytes <= max(2 * self.mss, self.cwnd >> 3)

    def _slow_start(self, acked_bytes: int) -> int:
        """A byte for every byte (RFC 5681, 3.1; without the limit of RFC 3465, as acknowledgements come for many
        segments at a time). Returns what is left over above `ssthresh`."""
        wanted = self.cwnd + acked_bytes
        limit = min(self.ssthresh, MAX_WINDOW)
        if wanted <= limit:
            self.cwnd = wanted
            return 0
        self.cwnd = max(limit, self.cwnd)
        return wanted - self.cwnd


class Reno(Congestion):
    """A segment more for every window acknowledged, half of it after a loss."""

    name = "reno"

    __slots__ = ("_counted",)

    def __init__(self, mss: int) -> None:
        super().__init__(mss)
        self._counted = 0

    def on_ack(self, acked_bytes: int, now_ns: int, rtt_ns: int, in_flight_bytes: int) -> None:
        if not self._held(in_flight_bytes):
            return
        if self.cwnd < self.ssthresh:
            acked_bytes = self._slow_start(acked_bytes)
            if not acked_bytes:
                return
        self._counted += acked_bytes
        if self._counted >= self.cwnd:
            self._counted -= self.cwnd
            self.cwnd = min(self.cwnd + self.mss, MAX_WINDOW)

    def reduced(self, now_ns: int) -> int:
        self._counted = 0
        return max(self.cwnd >> 1, 2 * self.mss)


def initial_window(mss: int) -> int:
    """RFC 6928, 2: ten segments, as long as they are of the usual size."""
    return min(INITIAL_SEGMENTS * mss, max(2 * mss, 14600))
