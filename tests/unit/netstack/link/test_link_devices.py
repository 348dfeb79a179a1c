"""netstack.link: the pair, captures, traces and faults."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from netstack.errors import BadPacket
from netstack.link.fault import Faults, Faulty, Random
from netstack.link.pair import MAX_QUEUED, End, pair
from netstack.link.pcap import Capture, Writer
from netstack.link.trace import Trace, address, describe
from netstack.packet import NO_OFFLOAD, Offload
from netstack.timers import Timers
from tests.unit.netstack.wire.everything import read
from tests.unit.netstack.wire.recorded import ALL, FINISHED

SYN = ALL["SYN"]
OPEN = Offload(34, 16)


class Sink:
    gso = checksum = True

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, Offload]] = []

    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        self.sent.append((b"".join(parts), offload))
        return True


def test_pair_delivers_when_it_is_drained() -> None:
    first, second = pair()
    arrived: list[tuple[bytes, bool, int]] = []
    woken: list[int] = []
    assert not first.send([b"lost"], NO_OFFLOAD), "nobody is there yet"
    second.receive = lambda *frame: arrived.append(frame)
    second.wakeup = lambda: woken.append(1)
    assert first.send([b"a", memoryview(b"b")], NO_OFFLOAD) and first.send([SYN], OPEN)
    assert first.send([b"large"], Offload(1, 0, 1000, False, 2))
    assert arrived == [] and woken == [1] and second.waiting == 3
    assert second.drain() == 3 and second.drain() == 0
    assert arrived == [(b"ab", False, 0), (SYN, True, 0), (b"large", True, 1000)]


def test_pair_is_bounded_and_drained_in_portions() -> None:
    first, second = pair()
    woken: list[int] = []
    second.receive, second.wakeup = lambda *frame: None, lambda: woken.append(1)
    sent = [first.send([b"x"], NO_OFFLOAD) for _ in range(MAX_QUEUED + 5)]
    assert sent.count(False) == 5
    assert second.drain(64) == 64 and woken == [1, 1] and second.waiting == MAX_QUEUED - 64


def test_pair_never_enters_a_stack_that_is_sending() -> None:
    """Each frame is answered at once, for ever: only draining makes steps."""
    first, second = pair()
    for end in (first, second):

        def answer(frame: bytes, checked: bool, gso_size: int, end: End = end) -> None:
            assert end.send([frame], NO_OFFLOAD)

        end.receive = answer
    first.send([b"ping"], NO_OFFLOAD)
    assert [second.drain(), first.drain(), second.drain(), first.drain()] == [1, 1, 1, 1]


def test_pair_without_offload_finishes_sums() -> None:
    first, second = pair(gso=False, offload_checksum=False)
    arrived: list[tuple[bytes, bool, int]] = []
    second.receive = lambda *frame: arrived.append(frame)
    first.send([SYN], OPEN)
    second.drain()
    assert arrived == [(FINISHED["SYN"], False, 0)]


def test_capture_can_be_read(tmp_path: Path) -> None:
    written: list[bytes] = []
    now_ns = 1_700_000_000_123_456_789
    capture = Capture(Sink(), Writer(written.append), lambda: now_ns)
    assert capture.gso and capture.checksum
    assert capture.send([SYN[:20], SYN[20:]], OPEN)
    capture.incoming(FINISHED["PING6"])
    capture.incoming(memoryview(ALL["UDP"]), Offload(34, 6))
    assert written[0] == struct.pack("=IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
    assert written[1] == struct.pack("=IIII", 1_700_000_000, 123_456_789, 74, 74) + FINISHED["SYN"]
    assert written[3][16:] == FINISHED["UDP"]
    if not shutil.which("tcpdump"):
        return
    path = tmp_path / "capture.pcap"
    path.write_bytes(b"".join(written))
    shown = subprocess.run(
        ["tcpdump", "-r", str(path), "-nn", "-v", "-t"], capture_output=True, text=True, check=True
    ).stdout
    assert "10.9.0.1.60146 > 10.9.0.2.8000: Flags [S]" in shown and "echo request" in shown
    assert "(correct)" in shown and "incorrect" not in shown and "bad" not in shown


def test_capture_cuts_large_frames() -> None:
    written: list[bytes] = []
    Writer(written.append, snap=10).frame(5, b"0123456789abc")
    assert written[1] == struct.pack("=IIII", 0, 5, 10, 13) + b"0123456789"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ARP_REQUEST", "ARP who has 10.9.0.2 tell 10.9.0.1"),
        ("PING", "IP 10.9.0.1 > 10.9.0.2: ICMP echo request id 9051 seq 1 length 30"),
        (
            "SYN",
            "IP 10.9.0.1.60146 > 10.9.0.2.8000: [S] seq 3821730673 win 64240 mss 1460 wscale 10 sackOK "
            "ts 1895745270/0 length 0",
        ),
        (
            "ACK6",
            "IP6 fd09::1.39554 > fd09::2.8000: [.] seq 3846380401 ack 834737298 win 64 ts 3625968502/3532140645 "
            "length 0",
        ),
        ("UDP", "IP 10.9.0.1.33423 > 10.9.0.2.9: UDP length 5"),
        ("PORT_UNREACHABLE", "IP 10.9.0.2 > 10.9.0.1: ICMP type 3 code 3 length 33"),
        ("LAST_FRAGMENT", "IP 10.9.0.1 > 10.9.0.2: proto 17 fragment 51102:48@2960"),
        ("LAST_FRAGMENT6", "IP6 fd09::1 > fd09::2: proto 17 fragment 2132761917:112@2896"),
        ("NEIGHBOR_SOLICITATION", "IP6 fd09::1 > ff02::1:ff00:2: ICMP6 NeighborSolicitation fd09::2"),
        ("ROUTER_SOLICITATION", "IP6 fe80::2441:b1ff:feff:d95a > ff02::2: ICMP6 RouterSolicitation"),
        ("MLD2_REPORT", "IP6 fe80::2441:b1ff:feff:d95a > ff02::16: ICMP6 MLD Report3"),
    ],
)
def test_described(name: str, line: str) -> None:
    assert describe(ALL[name]) == line


def test_described_when_bad() -> None:
    assert describe(b"short") == "bad frame of 5 bytes: ethernet frame is short 5"
    assert describe(b"targetsource\x88\xccdata") == "73:6f:75:72:63:65 > 74:61:72:67:65:74 type 0x88cc length 4"


def test_addresses() -> None:
    for text in ("::", "::1", "1::", "fe80::1", "1:2:3:4:5:6:7:8", "1:0:0:2::3", "1:2:3:0:5:6:7:8", "0:1:2:3:4:5:6:7"):
        packed = _packed(text)
        assert address(packed) == text, text
    assert address(bytes((192, 0, 2, 255))) == "192.0.2.255"


def _packed(text: str) -> bytes:
    head, gap, tail = text.partition("::")
    first = [int(group, 16) for group in head.split(":") if group]
    last = [int(group, 16) for group in tail.split(":") if group]
    middle = [0] * (8 - len(first) - len(last)) if gap else []
    return struct.pack("!8H", *first, *middle, *last)


def test_trace() -> None:
    lines: list[str] = []
    link = Trace(Sink(), lines.append, lambda: 12_000_345_678)
    assert link.send([ALL["UDP"][:7], ALL["UDP"][7:]], NO_OFFLOAD)
    link.incoming(ALL["PING"])
    assert lines == [f"12.000345 > {describe(ALL['UDP'])}", f"12.000345 < {describe(ALL['PING'])}"]


class Bad:
    """A faulty device with a clock of its own."""

    def __init__(self, faults: Faults, seed: int = 1) -> None:
        self.now_ns = 0
        self.timers = Timers(lambda: None)
        self.sink = Sink()
        self.link = Faulty(self.sink, faults, seed, self.timers, lambda: self.now_ns)

    def send(self, count: int) -> list[int]:
        """Numbers of the frames that came out, in their order."""
        for number in range(count):
            assert self.link.send([bytes(14), number.to_bytes(4, "big")], NO_OFFLOAD)
        return self.out()

    def wait(self, duration_ns: int) -> None:
        self.now_ns += duration_ns
        while 0 <= self.timers.next_ns() <= self.now_ns:
            self.timers.run(self.now_ns)

    def out(self) -> list[int]:
        return [int.from_bytes(frame[14:], "big") for frame, _ in self.sink.sent]


def test_no_fault() -> None:
    assert Bad(Faults()).send(100) == list(range(100))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_loss(share: float) -> None:
    bad = Bad(Faults(loss=share))
    out = bad.send(5000)
    assert len(out) == 5000 - bad.link.lost and abs(bad.link.lost - 5000 * share) < 4 * (5000 * share) ** 0.5
    assert out == sorted(set(out))
    assert Bad(Faults(loss=share)).send(5000) == out, "the same seed"
    assert Bad(Faults(loss=share), seed=2).send(5000) != out


def test_duplicates() -> None:
    out = Bad(Faults(duplicate=0.1)).send(2000)
    assert 2120 < len(out) < 2280 and sorted(set(out)) == list(range(2000))


def test_delay_keeps_the_order() -> None:
    bad = Bad(Faults(delay_ns=50_000_000))
    assert bad.send(10) == [] and bad.link.delayed == 10
    bad.wait(49_999_999)
    assert bad.out() == []
    bad.wait(1)
    assert bad.out() == list(range(10)) and bad.link.delayed == 0


def test_jitter_and_reordering() -> None:
    for faults in (Faults(delay_ns=1000, jitter_ns=1000), Faults(reorder=0.1), Faults(delay_ns=1000, reorder=0.1)):
        bad = Bad(faults)
        bad.send(1000)
        bad.wait(2_000_000)
        assert bad.out() != list(range(1000)) and sorted(bad.out()) == list(range(1000)), faults


def test_corruption_flips_one_bit_that_sums_find() -> None:
    bad = Bad(Faults(corrupt=1.0))
    for _ in range(200):
        bad.link.send([SYN], OPEN)
    for frame, _ in bad.sink.sent:
        wrong = int.from_bytes(frame, "big") ^ int.from_bytes(FINISHED["SYN"], "big")
        assert wrong.bit_count() == 1
        with pytest.raises(BadPacket):
            read(frame)


def test_arriving_frames_suffer_too() -> None:
    bad = Bad(Faults(loss=0.5))
    arrived: list[bytes] = []
    for _ in range(100):
        bad.link.incoming(memoryview(SYN), arrived.append)
    assert 30 < len(arrived) < 70 and bad.sink.sent == []


def test_delayed_frames_are_bounded() -> None:
    bad = Bad(Faults(delay_ns=1))
    bad.send(10_100)
    assert bad.link.delayed == 10_000 and bad.link.lost == 100


def test_random_is_even() -> None:
    random = Random(7)
    counts = [0] * 10
    for _ in range(10_000):
        counts[random.below(10)] += 1
    assert min(counts) > 880 and max(counts) < 1120
    assert not random.chance(0.0) and random.chance(1.0)
