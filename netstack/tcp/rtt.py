"""Round trips and the retransmission timeout (RFC 6298), with the floors and ceilings of Linux (tcp(7))."""

from __future__ import annotations

MIN_RTO_NS = 200_000_000
MAX_RTO_NS = 120_000_000_000
INITIAL_RTO_NS = 1_000_000_000  # RFC 6298, 2.1
MIN_RTT_WINDOW_NS = 300_000_000_000  # how long a smallest round trip is believed: routes change


class RttEstimator:
    """Samples in, timeouts out. A sample must not come from data sent twice, unless a timestamp says which copy was
    answered (Karn's algorithm; `recovery` sees to it)."""

    __slots__ = (
        "_decay_ns", "_min_ns", "_next_min_ns", "_window_ns", "backoffs", "latest_ns", "min_rto_ns", "rto_ns",
        "rttvar_ns", "srtt_ns",
    )  # fmt: skip

    def __init__(self) -> None:
        self.srtt_ns = 0  # 0: no sample yet
        self.rttvar_ns = 0
        self.latest_ns = 0
        self.rto_ns = INITIAL_RTO_NS  # with the backoff in it
        self.min_rto_ns = MIN_RTO_NS
        self.backoffs = 0
        self._decay_ns = 0
        self._min_ns = self._next_min_ns = 0
        self._window_ns = 0

    def sample(self, rtt_ns: int, now_ns: int, shortest_ns: int = 0) -> None:
        """A measured round trip; ends a backoff (RFC 6298, 5.7 at its end). An acknowledgement of several segments has
        waited for the last: `rtt_ns` is since the first of them, for the timeout, `shortest_ns` since the last."""
        if rtt_ns <= 0:
            rtt_ns = 1
        if shortest_ns <= 0:
            shortest_ns = rtt_ns
        self.latest_ns = shortest_ns
        srtt = self.srtt_ns
        if not srtt:
            self.srtt_ns = rtt_ns
            self.rttvar_ns = rtt_ns >> 1
            self._decay_ns = now_ns
            self._min_ns = self._next_min_ns = shortest_ns
            self._window_ns = now_ns
        else:
            error = rtt_ns - srtt
            self.srtt_ns = srtt + (error >> 3)
            if error < 0:
                error = -error
            # Many samples come in one round trip; the variance may rise with each, but sinks once a round trip, or it
            # would forget a burst of delay at once (RFC 7323, appendix G).
            if error > self.rttvar_ns:
                self.rttvar_ns += (error - self.rttvar_ns) >> 2
            elif now_ns - self._decay_ns >= srtt:
                self.rttvar_ns += (error - self.rttvar_ns) >> 2
                self._decay_ns = now_ns
            if shortest_ns <= self._min_ns:
                self._min_ns = self._next_min_ns = shortest_ns
                self._window_ns = now_ns
            elif shortest_ns < self._next_min_ns:
                self._next_min_ns = shortest_ns
            if now_ns - self._window_ns > MIN_RTT_WINDOW_NS:
                self._min_ns = self._next_min_ns
                self._next_min_ns = shortest_ns
                self._window_ns = now_ns
        self.backoffs = 0
        self._compute()

    @property
    def min_rtt_ns(self) -> int:
        """The smallest round trip of the last minutes, 0 before the first."""
        return self._min_ns

    def backoff(self) -> None:
        """The timer has expired (RFC 6298, 5.5)."""
        self.backoffs += 1
        self.rto_ns = min(self.rto_ns * 2, MAX_RTO_NS)

    def undo_backoff(self) -> None:
        """The timer was wrong, or what it waited for has come."""
        self.backoffs = 0
        self._compute()

    def seed(self, rto_ns: int) -> None:
        """What the timeout is without a sample (RFC 6298, 5.7: 3 s once the SYN itself was retransmitted)."""
        if not self.srtt_ns:
            self.rto_ns = rto_ns

    def _compute(self) -> None:
        if not self.srtt_ns:
            self.rto_ns = INITIAL_RTO_NS
            return
        rto = self.srtt_ns + max(4 * self.rttvar_ns, self.min_rto_ns)
        self.rto_ns = rto if rto < MAX_RTO_NS else MAX_RTO_NS
