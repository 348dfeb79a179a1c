"""Loss, as a sender sees it on the wire."""

from __future__ import annotations

import pytest

from netstack.errors import ETIMEDOUT
from tests.packet.script import Script

# The peer's segments carry 1000 bytes; the round trip of the handshake is 100 ms. So RTO is 100 + max(4 * 50, 200) ms.
RTT = 0.1
RTO = 0.3
# 100 ms of the handshake; two round trips and 2 ms
PTO = 0.202


def segment(number: int) -> str:
    """The `number`th segment of 1000 bytes, from 0."""
    return f". {1 + number * 1000}:{1001 + number * 1000}(1000) ack 1"


def ten(s: Script, **options: object):  # type: ignore[no-untyped-def]
    """A connection that has sent ten segments."""
    sock = s.connected(rtt=RTT, **options)  # type: ignore[arg-type]
    s.write(sock, 10_000)
    for number in range(10):
        s.expect(segment(number))
    s.quiet()
    return sock


def test_slow_start() -> None:
    s = Script()
    sock = s.connected(window=65535, rtt=RTT)
    s.write(sock, 40_000)
    for number in range(10):
        s.expect(segment(number))
    s.quiet(RTT)
    s.inject(". 1:1(0) ack 2001 win 65535")
    for number in range(10, 14):  # two that have left, and two more
        s.expect(segment(number))
    s.quiet()
    s.inject(". 1:1(0) ack 10001 win 65535")
    for number in range(14, 30):
        s.expect(segment(number))
    s.quiet()


@pytest.mark.parametrize("gso", [False, True])
def test_fast_retransmit_by_sack(gso: bool) -> None:
    s = Script(gso=gso)
    sock = ten(s)
    s.write(sock, 10_000)
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1 <sack 1001:2001>")
    s.expect(segment(10))  # limited transmit
    s.inject(". 1:1(0) ack 1 <sack 1001:3001>")
    s.expect(segment(11))
    s.inject(". 1:1(0) ack 1 <sack 1001:4001>")
    s.expect(segment(0), after=0)
    s.wait(RTT)
    s.inject(". 1:1(0) ack 12001")
    assert sock.info().total_retrans == 1 and sock.info().ca_state == 0


def test_fast_retransmit_by_time() -> None:
    """Two segments behind the hole are no proof; a quarter of a round trip later it is one (RFC 8985)."""
    s = Script()
    sock = s.connected(rtt=RTT)
    s.write(sock, 3000)
    for number in range(3):
        s.expect(segment(number))
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1 <sack 1001:3001>")
    s.expect(segment(0), after=RTT / 4)
    s.inject(". 1:1(0) ack 3001")
    assert sock.info().ca_state == 0
    s.quiet(10)


def test_two_holes_are_repaired_in_one_round_trip() -> None:
    s = Script()
    ten(s)
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1 <sack 1001:3001>")
    s.inject(". 1:1(0) ack 1 <sack 4001:10001 1001:3001>")
    s.expect(segment(0))
    s.expect(segment(3))
    s.quiet()


def test_duplicate_acknowledgements_without_sack() -> None:
    s = Script()
    sock = s.connected(options="mss 1000", rtt=RTT)
    s.write(sock, 20_000)
    for number in range(10):
        s.expect(segment(number))
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1")
    s.expect(segment(10))  # limited transmit (RFC 3042)
    s.inject(". 1:1(0) ack 1")
    s.expect(segment(11))
    s.inject(". 1:1(0) ack 1")
    s.expect(segment(0))
    s.quiet()
    s.wait(RTT)
    s.inject(". 1:1(0) ack 4001")  # a partial one
    s.expect(segment(4))


def test_window_update_is_no_duplicate() -> None:
    s = Script()
    sock = s.connected(options="mss 1000", rtt=RTT)
    s.write(sock, 10_000)
    for number in range(10):
        s.expect(segment(number))
    for window in range(20_000, 20_004):
        s.inject(f". 1:1(0) ack 1 win {window}")
    s.quiet()


def test_tail_loss_probe() -> None:
    """Nothing comes back: the last segment goes again after two round trips, and shows what was lost."""
    s = Script()
    sock = s.connected(rtt=RTT)
    s.write(sock, 3000)
    for number in range(3):
        s.expect(segment(number))
    s.expect(segment(2), after=PTO)
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1 <sack 2001:3001>")
    s.expect(segment(0), after=0)
    s.quiet(RTT)  # what arrives lets as much go, no more (RFC 6937, CRB)
    s.inject(". 1:1(0) ack 1001 <sack 2001:3001>")
    s.expect(segment(1), after=0)


def test_tail_loss_probe_takes_new_data() -> None:
    s = Script()
    sock = s.connected(rtt=RTT)
    s.write(sock, 3000)
    for number in range(3):
        s.expect(segment(number))
    s.call("set_option", sock, "cork")
    sock.options.cork = True
    s.write(sock, 400)
    s.quiet(0.1)
    s.expect(". 3001:3401(400) ack 1")


def test_timeout_and_backoff() -> None:
    s = Script()
    sock = s.connected(rtt=RTT)
    s.write(sock, 2000)
    s.expect(segment(0))
    s.expect(segment(1))
    s.expect(segment(1), after=PTO)
    for wait in (RTO, 2 * RTO, 4 * RTO, 8 * RTO):
        s.expect(segment(0), after=wait)
    assert sock.info().retransmits == 4
    s.inject(". 1:1(0) ack 1001")
    s.expect(segment(1), after=0)
    s.inject(". 1:1(0) ack 2001")
    s.quiet(100)


def test_timeouts_end_a_connection() -> None:
    s = Script(tcp_retries2=3)
    sock = s.connected(rtt=RTT)
    s.write(sock, 1000)
    s.expect(segment(0))
    for _ in range(4):
        s.expect(segment(0))
    s.wait(100)
    assert not s.sent
    assert sock.take_error() == ETIMEDOUT.code


def test_user_timeout() -> None:
    s = Script()
    sock = s.connected(rtt=RTT, user_timeout_ms=1500)
    s.write(sock, 1000)
    s.wait(1.4)
    assert sock.error == 0
    s.wait(1.5)
    assert sock.take_error() == ETIMEDOUT.code


def test_spurious_timeout_by_timestamp() -> None:
    """The path stood still for a while: what was sent before the retransmission is answered."""
    s = Script()
    sock = s.connected(options="mss 1012,sackOK,TS 1000 0,wscale 0", rtt=RTT)
    before = sock.info().snd_cwnd
    s.write(sock, 5000)
    for number in range(5):
        s.expect(segment(number))
    s.expect(segment(4), after=PTO)
    s.expect(segment(0), after=RTO)
    assert sock.info().ca_state == 4
    s.inject(". 1:1(0) ack 1001 <TS 1100 100>")
    assert sock.info().ca_state in (0, 1)
    assert sock.info().snd_cwnd >= before
    s.quiet()


def test_spurious_retransmission_by_dsack() -> None:
    s = Script()
    sock = ten(s)
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1 <sack 1001:4001>")
    s.expect(segment(0))
    assert sock.info().ca_state == 3
    s.inject(". 1:1(0) ack 10001")  # it was late only
    reduced = sock.info().snd_cwnd
    s.inject(". 1:1(0) ack 10001 <sack 1:1001>")
    assert sock.info().snd_cwnd >= 10 > reduced
    assert sock.info().dsack_dups == 1


def test_reordering_is_remembered() -> None:
    s = Script()
    sock = ten(s)
    s.wait(RTT)
    s.inject(". 1:1(0) ack 1 <sack 1001:2001>")
    s.inject(". 1:1(0) ack 2001")
    assert sock.info().reord_seen == 1
    s.write(sock, 8000)
    while s.sent:
        s.sent.popleft()
    s.wait(RTT)
    s.inject(". 1:1(0) ack 2001 <sack 3001:7001>")
    while s.sent:  # four segments are no proof any more
        assert s.show(s.sent[0]).split()[1] > "13"
        s.sent.popleft()
    s.expect(segment(2))


def test_retransmission_after_reneging() -> None:
    s = Script()
    sock = s.connected(rtt=RTT)
    s.write(sock, 3000)
    for number in range(3):
        s.expect(segment(number))
    s.inject(". 1:1(0) ack 1 <sack 1001:3001>")
    s.expect(segment(0))
    s.inject(". 1:1(0) ack 1001")
    s.expect(segment(1))
    s.inject(". 1:1(0) ack 2001")
    s.expect(segment(2))
    s.inject(". 1:1(0) ack 3001")
    s.quiet(10)


def test_sack_of_what_was_never_sent_is_nothing() -> None:
    s = Script()
    ten(s)
    s.inject(". 1:1(0) ack 1 <sack 20001:30001 5000:3000 1:1 4294900000:4294967000>")
    s.quiet()


def test_idle_sender_starts_again_with_the_initial_window() -> None:
    s = Script()
    sock = s.connected(window=65535)
    s.write(sock, 30_000)
    for at in range(10):
        s.expect(segment(at))
    s.inject(". 1:1(0) ack 10001 win 65535")
    for at in range(10, 30):
        s.expect(segment(at))
    s.inject(". 1:1(0) ack 30001 win 65535")
    s.wait(100)
    s.write(sock, 30_000)
    assert len(s.sent) == 10


def test_window_is_kept_over_a_pause_when_the_sysctl_says_so() -> None:
    s = Script(tcp_slow_start_after_idle=0)
    sock = s.connected(window=65535, rtt=RTT)
    s.write(sock, 10_000)
    s.inject(". 1:1(0) ack 10001 win 65535")
    s.sent.clear()
    s.wait(100)
    s.write(sock, 30_000)
    assert len(s.sent) == 20


def test_no_probe_of_the_tail_without_the_sysctl() -> None:
    s = Script(tcp_early_retrans=0)
    sock = s.connected(rtt=RTT)
    s.write(sock, 1000)
    s.expect(segment(0))
    s.expect(segment(0), after=RTO)
    assert sock.info().ca_state == 4


def test_mtu_of_the_path_shrinks() -> None:
    """Fragmentation needed: smaller segments, at the same rate (RFC 1191)."""
    s = Script()
    sock = s.connected(rtt=RTT)
    before = sock.info().snd_cwnd
    s.write(sock, 2000)
    one = s.expect(segment(0))
    s.expect(segment(1))
    s.icmp(3, 4, one, 640)
    sizes = [len(sent.segment.payload) for sent in s.sent]
    assert sizes and max(sizes) <= 600 and sum(sizes) == 2000
    assert sock.info().snd_mss == 600 and sock.info().snd_cwnd >= before


def test_fast_retransmit_without_sack() -> None:
    """The third duplicate acknowledgement has the first segment sent at once, whatever the window says."""
    s = Script()
    sock = s.connected(options="mss 1000", rtt=RTT)
    s.write(sock, 4000)
    for number in range(4):
        s.expect(segment(number))
    s.wait(RTT)
    for _ in range(3):
        s.quiet()
        s.inject(". 1:1(0) ack 1")
    s.expect(segment(0), after=0)
    s.inject(". 1:1(0) ack 4001")
    s.quiet(10)
