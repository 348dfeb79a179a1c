"""What of the data sent has arrived, what is lost, and how much may be sent (RFC 8985, 6675, 6937, 5682, 4015).

Theory of operation. Positions are sequence numbers that do not wrap: 32 bits continued (`unwrap`), so they compare as
integers. `Recovery` is told of every range sent (`sent`; a range is what went to the device at once, up to 64 KiB of
many segments), of every acknowledgement (`acked`) and of its timer (`expire` at `deadline_ns`), and answers what is to be
sent again (`next_retransmit`) and how much may go (`allowance`). It sends nothing and arms nothing itself:

    after any call:   allowance(now) > 0?  next_retransmit(limit) first, then new data; tell each by sent()
    then:             the timer of the connection stands at deadline_ns (-1: none)
    at that time:     expire(now): NOTHING, SEND (as above), PROBE (one segment, whatever the window: new data if there
                      is some and the peer has room, otherwise probe_range(); sent(..., probe=True)), or TIMEOUT (as SEND;
                      `timeouts` counts the row of them, for tcp_retries2 and TCP_USER_TIMEOUT)

SYN is not of it: a Recovery begins with the position after the SYN. FIN takes one position, as data does.
Probes of a zero window are the sender's own: they are not told here until the peer has opened the window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from netstack.tcp.congestion import Congestion
from netstack.tcp.rtt import RttEstimator

NOTHING: Final = 0
SEND: Final = 1
PROBE: Final = 2
TIMEOUT: Final = 3

# States, numbered as tcpi_ca_state is.
OPEN: Final = 0
DISORDER: Final = 1
CWR: Final = 2
RECOVERY: Final = 3
LOSS: Final = 4


def unwrap(seq: int, near: int) -> int:
    """The position with these 32 low bits that is nearest to `near`."""
    return near + (((seq - near) + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class Recovery:
    """The sender's knowledge of one connection. Attributes to read:

    una, nxt          first position not acknowledged, first not sent
    pipe              bytes believed to be in the network
    sacked_bytes lost_bytes   of what lies between una and nxt
    state             OPEN, DISORDER, CWR, RECOVERY or LOSS
    deadline_ns       when `expire` is wanted; -1 for never
    timeouts          retransmission timeouts in a row
    first_timeout_ns  when the oldest data not acknowledged was first sent, while timeouts > 0 (0 otherwise)
    retransmitted_bytes total_retransmits total_lost delivered dsacks reordering_seen   for TCP_INFO
    """

    def __init__(
        self, congestion: Congestion, rtt: RttEstimator, start: int, mss: int, *, sack: bool, timestamps: bool
    ) -> None:
        raise NotImplementedError

    def allowance(self, now_ns: int) -> int:
        """How many bytes the congestion window lets go now, new or again."""
        raise NotImplementedError

    def next_retransmit(self, limit: int) -> tuple[int, int] | None:
        """The first range that is lost and was not sent again: (start, end), at most `limit` bytes. Tell `sent`."""
        raise NotImplementedError

    def sent(self, start: int, end: int, now_ns: int, probe: bool = False) -> None:
        """[start, end) has gone to the device: new data (start == nxt), or a retransmission (end <= nxt)."""
        raise NotImplementedError

    def acked(
        self, ack: int, blocks: Sequence[tuple[int, int]], now_ns: int, echo_ns: int = -1, ece: bool = False,
        duplicate: bool = False,
    ) -> int:  # fmt: skip
        """An acceptable acknowledgement: una <= ack <= nxt (the caller has checked). Returns the bytes that it newly
        acknowledges, ack - una.

        blocks     SACK blocks as (start, end) positions, in the order of the option; anything may be in them
        echo_ns    when the segment whose timestamp is echoed was sent, in whole milliseconds; -1 without
        ece        the ECE bit (only when ECN was agreed on)
        duplicate  no data, the window unchanged, no FIN or SYN: counts as a duplicate if ack == una (RFC 5681, 2)
        """
        raise NotImplementedError

    def expire(self, now_ns: int) -> int:
        """`deadline_ns` has come: NOTHING, SEND, PROBE or TIMEOUT. Earlier calls do no harm."""
        raise NotImplementedError

    def probe_range(self) -> tuple[int, int] | None:
        """The last segment that was sent, for a PROBE without new data (RFC 8985, 7.3)."""
        raise NotImplementedError

    def lose_all(self, mss: int) -> None:
        """Segments were too big for the path (RFC 1191, 6.4): all is to be sent again in smaller ones, at the same
        rate."""
        raise NotImplementedError

    def set_mss(self, mss: int) -> None:
        """What a segment carries has changed (path MTU, options)."""
        raise NotImplementedError

    def cwr_needed(self) -> bool:
        """Once after a reduction for ECE: the next new data segment carries CWR (RFC 3168, 6.1.2)."""
        raise NotImplementedError
