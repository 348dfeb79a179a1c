"""CUBIC (RFC 9438) with HyStart++ (RFC 9406)."""

from __future__ import annotations

from netstack.tcp.congestion import INFINITE, MAX_WINDOW, Congestion
from netstack.tcp.scoreboard import NEVER

BETA = 0.7  # what is left of the window after a loss
C = 0.4  # segments per cubic second
ALPHA = 3 * (1 - BETA) / (1 + BETA)  # what Reno would have to add to get as much with this beta (RFC 9438, 4.3)
SECOND = 1e9

# HyStart++ (RFC 9406, 4.3)
MIN_THRESHOLD_NS = 4_000_000
MAX_THRESHOLD_NS = 16_000_000
SAMPLES = 8
CSS_DIVISOR = 4
CSS_ROUNDS = 5


class Cubic(Congestion):
    """The window is a cubic function of the time since the last loss, flat where that loss was."""

    name = "cubic"

    __slots__ = (
        "_css_baseline_ns", "_css_rounds", "_delivered", "_epoch_ns", "_estimate", "_k", "_last_ns", "_last_round_ns",
        "_origin", "_peak", "_prior", "_round_end", "_round_ns", "_samples", "_short_rtt_ns", "_window",
    )  # fmt: skip

    def __init__(self, mss: int) -> None:
        super().__init__(mss)
        self._peak = 0.0  # W_max: the window at the last loss, in segments as all below
        self._prior: tuple[float, int, float, float, float] = (0.0, -1, 0.0, 0.0, 0.0)
        self._epoch_ns = -1  # when this congestion avoidance began
        self._k = 0.0  # seconds from there to the plateau
        self._origin = 0.0
        self._estimate = 0.0  # W_est: what Reno would have
        self._window = 0.0  # cwnd with its fraction
        self._last_ns = 0
        self._short_rtt_ns = NEVER
        self._delivered = 0  # in slow start; a round ends when what was in flight at its start is delivered
        self._round_end = 0
        self._round_ns = self._last_round_ns = NEVER  # shortest round trips
        self._samples = 0
        self._css_baseline_ns = 0  # conservative slow start, when not 0
        self._css_rounds = 0

    def on_ack(self, acked_bytes: int, now_ns: int, rtt_ns: int, in_flight_bytes: int) -> None:
        if 0 < rtt_ns < self._short_rtt_ns:
            self._short_rtt_ns = rtt_ns
        if not self._held(in_flight_bytes):
            if self._epoch_ns >= 0:
                self._epoch_ns += now_ns - self._last_ns  # time without use of the window does not count (5.8)
            self._last_ns = now_ns
            return
        self._last_ns = now_ns
        if self.cwnd < self.ssthresh:
            if self.ssthresh == INFINITE:
                acked_bytes = self._hystart(acked_bytes, rtt_ns, in_flight_bytes)
            acked_bytes = self._slow_start(acked_bytes)
            if not acked_bytes:
                return
        self._avoid(acked_bytes, now_ns)

    def reduced(self, now_ns: int) -> int:
        self._prior = (self._peak, self._epoch_ns, self._k, self._origin, self._estimate)
        window = self.cwnd / self.mss
        # Fast convergence: below the last peak, somebody else has come (4.7).
        self._peak = window * (1 + BETA) / 2 if window < self._peak else window
        self._epoch_ns = -1
        return max(int(self.cwnd * BETA), 2 * self.mss)

    def on_rto(self, now_ns: int, in_flight_bytes: int, first: bool) -> None:
        super().on_rto(now_ns, in_flight_bytes, first)
        self._peak = 0.0  # all is new, the plateau is where slow start ends (4.8)
        self._epoch_ns = -1

    def undo(self) -> None:
        if self._prior_cwnd:
            self._peak, self._epoch_ns, self._k, self._origin, self._estimate = self._prior
            self._window = self._prior_cwnd / self.mss
        super().undo()

    def restart(self, idle_ns: int, rto_ns: int) -> None:
        super().restart(idle_ns, rto_ns)
        self._epoch_ns = -1

    def set_mss(self, mss: int) -> None:
        super().set_mss(mss)
        self._epoch_ns = -1

    def _avoid(self, acked_bytes: int, now_ns: int) -> None:
        """RFC 9438, 4.2 to 4.5."""
        mss = self.mss
        window = self.cwnd / mss
        if self._epoch_ns < 0:
            self._epoch_ns = now_ns
            self._estimate = window
            if window < self._peak:
                self._k = ((self._peak - window) / C) ** (1 / 3)
                self._origin = self._peak
            else:
                self._k = 0.0
                self._origin = self._peak = window
        elif int(self._window * mss) == self.cwnd:
            window = self._window
        acked = acked_bytes / mss
        self._estimate += (ALPHA if self._estimate < self._peak else 1.0) * acked / window
        elapsed = (now_ns - self._epoch_ns) / SECOND
        ahead = elapsed - self._k
        if C * ahead * ahead * ahead + self._origin < self._estimate:
            window = max(window, self._estimate)  # where Reno would do better, be Reno
        else:
            if self._short_rtt_ns != NEVER:
                ahead += self._short_rtt_ns / SECOND
            target = C * ahead * ahead * ahead + self._origin
            if target > window:
                window += (min(target, 1.5 * window) - window) / window * acked
        self.cwnd = min(int(window * mss), MAX_WINDOW)
        self._window = window

    def _hystart(self, acked_bytes: int, rtt_ns: int, in_flight_bytes: int) -> int:
        """The first slow start ends when round trips grow: the queue fills (RFC 9406, 4.2). Returns the bytes that it
        may grow by."""
        self._delivered += acked_bytes
        if self._delivered >= self._round_end:
            self._round_end = self._delivered + in_flight_bytes
            self._last_round_ns = self._round_ns
            self._round_ns = NEVER
            self._samples = 0
            if self._css_baseline_ns:
                self._css_rounds += 1
                if self._css_rounds >= CSS_ROUNDS:
                    self.ssthresh = self.cwnd
                    return acked_bytes
        if rtt_ns > 0:
            self._samples += 1
            if rtt_ns < self._round_ns:
                self._round_ns = rtt_ns
        if self._css_baseline_ns:
            if self._samples >= SAMPLES and self._round_ns < self._css_baseline_ns:
                self._css_baseline_ns = 0  # it was a passing delay
            else:
                return -(-acked_bytes // CSS_DIVISOR)
        elif self._samples >= SAMPLES and self._last_round_ns != NEVER:
            threshold = max(MIN_THRESHOLD_NS, min(self._last_round_ns // 8, MAX_THRESHOLD_NS))
            if self._round_ns >= self._last_round_ns + threshold:
                self._css_baseline_ns = self._round_ns
                self._css_rounds = 0
        return acked_bytes
