"""The states of a connection and what moves it from one to the next (RFC 9293, 3.3.2), as data: diagrams and the
conformance test are made from this table. Numbers are Linux's (tcp_states.h), as TCP_INFO and /proc/net/tcp show them.
"""

from __future__ import annotations

from typing import Final

ESTABLISHED: Final = 1
SYN_SENT: Final = 2
SYN_RECV: Final = 3
FIN_WAIT1: Final = 4
FIN_WAIT2: Final = 5
TIME_WAIT: Final = 6
CLOSE: Final = 7
CLOSE_WAIT: Final = 8
LAST_ACK: Final = 9
LISTEN: Final = 10
CLOSING: Final = 11

NAMES: dict[int, str] = {
    ESTABLISHED: "ESTABLISHED",
    SYN_SENT: "SYN_SENT",
    SYN_RECV: "SYN_RECV",
    FIN_WAIT1: "FIN_WAIT1",
    FIN_WAIT2: "FIN_WAIT2",
    TIME_WAIT: "TIME_WAIT",
    CLOSE: "CLOSE",
    CLOSE_WAIT: "CLOSE_WAIT",
    LAST_ACK: "LAST_ACK",
    LISTEN: "LISTEN",
    CLOSING: "CLOSING",
}

# What happens. Of the user: "listen", "connect", "close" (close(2) or shutdown(2) of the sending side), "abort". From
# the peer, acceptable and in order: "syn" (without an acknowledgement of ours), "syn_ack" (with it), "ack" (of our
# SYN), "fin", "ack_of_fin" (of ours), "reset". "timeout": we have given up, or TIME_WAIT is over. A segment with two
# meanings is two events, acknowledgement first, as RFC 9293, 3.10.7.4 goes through it.
# LISTEN has "syn" in the RFC's way: with us the new connection is in SYN_RECV, and the listener listens on.
NEXT: dict[int, dict[str, int]] = {
    CLOSE: {"listen": LISTEN, "connect": SYN_SENT},
    LISTEN: {"syn": SYN_RECV, "close": CLOSE, "abort": CLOSE},
    SYN_SENT: {
        "syn": SYN_RECV,
        "syn_ack": ESTABLISHED,
        "close": CLOSE,
        "abort": CLOSE,
        "reset": CLOSE,
        "timeout": CLOSE,
    },
    SYN_RECV: {
        "ack": ESTABLISHED,
        "fin": CLOSE_WAIT,
        "close": FIN_WAIT1,
        "abort": CLOSE,
        "reset": CLOSE,
        "timeout": CLOSE,
    },
    ESTABLISHED: {"fin": CLOSE_WAIT, "close": FIN_WAIT1, "abort": CLOSE, "reset": CLOSE, "timeout": CLOSE},
    FIN_WAIT1: {"fin": CLOSING, "ack_of_fin": FIN_WAIT2, "abort": CLOSE, "reset": CLOSE, "timeout": CLOSE},
    FIN_WAIT2: {"fin": TIME_WAIT, "abort": CLOSE, "reset": CLOSE, "timeout": CLOSE},
    CLOSING: {"ack_of_fin": TIME_WAIT, "abort": CLOSE, "reset": CLOSE, "timeout": CLOSE},
    CLOSE_WAIT: {"close": LAST_ACK, "abort": CLOSE, "reset": CLOSE, "timeout": CLOSE},
    LAST_ACK: {"ack_of_fin": CLOSE, "abort": CLOSE, "reset": CLOSE, "timeout": CLOSE},
    TIME_WAIT: {"reset": CLOSE, "timeout": CLOSE},
}

# Sets of states that code asks for.
SYNCHRONIZED: Final = frozenset(
    (ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING, TIME_WAIT)
)  # RFC 9293, 3.3.2
MAY_SEND: Final = frozenset((ESTABLISHED, CLOSE_WAIT))  # send(2) finds these
MAY_RECEIVE: Final = frozenset((ESTABLISHED, FIN_WAIT1, FIN_WAIT2))  # data from the peer can still come
OPENING: Final = frozenset((SYN_SENT, SYN_RECV))


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> CLOSE"]
    for state, moves in NEXT.items():
        for event, target in moves.items():
            lines.append(f"    {NAMES[state]} --> {NAMES[target]}: {event}")
    return "\n".join(lines) + "\n"
