"""A sender that is nothing but a `Recovery`, a receiver that knows SACK, DSACK and timestamps, and a path between them
that loses, reorders and doubles what it likes, on a clock of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush

from netstack.tcp import recovery
from netstack.tcp.congestion import Congestion
from netstack.tcp.cubic import Cubic
from netstack.tcp.recovery import Recovery
from netstack.tcp.rtt import RttEstimator

MS = 1_000_000
SECOND = 1000 * MS
MSS = 1000
START = 5000


class Receiver:
    """What an end of RFC 9293 acknowledges, with the options of RFC 2018, 2883 and 7323."""

    def __init__(self, sack: bool) -> None:
        self.sack = sack
        self.next = START
        self.blocks: list[tuple[int, int]] = []  # latest first
        self.recent_ms = 0

    def segment(self, start: int, end: int, sent_ms: int) -> tuple[int, list[tuple[int, int]]]:
        answer: list[tuple[int, int]] = []
        if start <= self.next:
            self.recent_ms = max(self.recent_ms, sent_ms)
        known = end <= self.next or any(a <= start and end <= b for a, b in self.blocks)
        if known:
            answer.append((start, end))
        else:
            merged = (max(start, self.next), end)
            rest = []
            for a, b in self.blocks:
                if b < merged[0] or merged[1] < a:
                    rest.append((a, b))
                else:
                    merged = (min(a, merged[0]), max(b, merged[1]))
            if merged[0] <= self.next:
                self.next = merged[1]
            else:
                rest.insert(0, merged)
            self.blocks = rest
        if not self.sack:
            return self.next, []
        return self.next, (answer + self.blocks)[:3]


class Flow:
    """Sends `size` bytes; `fate(number, start, end)` says of every segment when it arrives at the other end: delays in
    nanoseconds, one for each copy, none for a loss. Acknowledgements take as long, and `ack_fate` may lose them."""

    def __init__(
        self,
        size: int,
        delay_ns: int = 10 * MS,
        rate: int = 0,
        cc: Congestion | None = None,
        sack: bool = True,
        timestamps: bool = True,
        burst: int = 1,
    ) -> None:
        self.cc = cc if cc is not None else Cubic(MSS)
        self.rtt = RttEstimator()
        self.sender = Recovery(self.cc, self.rtt, START, MSS, sack)
        self.receiver = Receiver(sack)
        self.end = START + size
        self.delay_ns = delay_ns
        self.byte_ns = SECOND / rate if rate else 0.0
        self.queue_bytes = 0  # of the bottleneck; 0 is without end
        self.timestamps = timestamps
        self.burst = burst * MSS
        self.now_ns = 1 * SECOND
        self.free_ns = 0.0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.number = 0
        self.order = 0
        self.sent: list[tuple[int, int, int]] = []  # (time in ns since the start, start, end)
        self.counts = dict.fromkeys(("nothing", "send", "probe", "timeout"), 0)
        self.fate: Callable[[int, int, int], list[int]] = lambda number, start, end: [0]
        self.ack_fate: Callable[[int], list[int]] = lambda ack: [0]
        self.on_ack: Callable[[], None] = lambda: None

    def at(self, when_ns: int, what: Callable[[], None]) -> None:
        self.order += 1
        heappush(self.events, (when_ns, self.order, what))

    def run(self, until_s: float = 3600.0) -> None:
        deadline_ns = self.now_ns + int(until_s * SECOND)
        self.push()
        while self.sender.una < self.end:
            timer_ns = self.sender.deadline_ns
            assert timer_ns >= 0, "data outstanding and no timer"
            if self.events and self.events[0][0] <= timer_ns:
                when_ns, _, what = heappop(self.events)
                if when_ns > deadline_ns:
                    return
                self.now_ns = when_ns
                what()
            else:
                if timer_ns > deadline_ns:
                    return
                self.now_ns = max(timer_ns, self.now_ns)
                self.expire()
            self.check()

    def expire(self) -> None:
        sender = self.sender
        what = sender.expire(self.now_ns)
        self.counts[("nothing", "send", "probe", "timeout")[what]] += 1
        if what == recovery.PROBE:
            if sender.nxt < self.end:
                self.put(sender.nxt, min(sender.nxt + MSS, self.end), True)
            else:
                where = sender.probe_range()
                assert where is not None
                self.put(*where, True)
        elif what != recovery.NOTHING:
            self.push()

    def push(self) -> None:
        sender = self.sender
        while (room := sender.allowance(self.now_ns)) > 0:
            limit = min(max(room // MSS * MSS, MSS), self.burst)
            again = sender.next_retransmit(limit)
            if again is not None:
                self.put(*again)
            elif sender.nxt < self.end:
                self.put(sender.nxt, min(sender.nxt + limit, self.end))
            else:
                return

    def put(self, start: int, end: int, probe: bool = False) -> None:
        self.sent.append((self.now_ns - SECOND, start, end))
        self.sender.sent(start, end, self.now_ns, probe)
        sent_ms = self.now_ns // MS
        for at in range(start, end, MSS):
            stop = min(at + MSS, end)
            leaves_ns = max(self.free_ns, float(self.now_ns))
            if self.queue_bytes and (leaves_ns - self.now_ns) > self.queue_bytes * self.byte_ns:
                continue
            self.free_ns = leaves_ns + (stop - at) * self.byte_ns
            for extra_ns in self.fate(self.number, at, stop):
                arrives_ns = int(self.free_ns) + self.delay_ns + extra_ns

                def arrive(at: int = at, stop: int = stop) -> None:
                    self.arrive(at, stop, sent_ms)

                self.at(arrives_ns, arrive)
            self.number += 1

    def arrive(self, start: int, end: int, sent_ms: int) -> None:
        ack, blocks = self.receiver.segment(start, end, sent_ms)
        echo_ns = self.receiver.recent_ms * MS if self.timestamps else -1
        for extra_ns in self.ack_fate(ack):
            self.at(self.now_ns + self.delay_ns + extra_ns, lambda: self.answer(ack, blocks, echo_ns))

    def answer(self, ack: int, blocks: list[tuple[int, int]], echo_ns: int) -> None:
        if ack < self.sender.una:
            return
        self.sender.acked(ack, blocks, self.now_ns, echo_ns, duplicate=True)
        self.on_ack()
        self.push()

    def check(self) -> None:
        """The sums are the sums, and nothing is believed to be there that is not."""
        board = self.sender
        sums = [0, 0, 0]
        at = board.una
        for entry in board.ranges:
            assert entry.start == at < entry.end
            at = entry.end
            sums[entry.state] += entry.end - entry.start
        assert at == board.nxt
        assert sums == [board.pipe, board.sacked_bytes, board.lost_bytes]
        assert self.cc.cwnd >= MSS
        assert self.receiver.next >= board.una


def random_fate(seed: int, loss: float = 0.0, reorder: float = 0.0, double: float = 0.0) -> Callable[..., list[int]]:
    """The same misfortunes for the same seed."""
    dice = random.Random(seed)

    def fate(*_: int) -> list[int]:
        if dice.random() < loss:
            return []
        first = dice.randrange(1, 20 * MS) if dice.random() < reorder else 0
        return [first, first + 1 * MS] if dice.random() < double else [first]

    return fate
