"""Every state against every kind of segment (RFC 9293, 3.10.7; RFC 5961), and walks by chance: states change only along
the table of `netstack.tcp.state`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import ECONNREFUSED, ECONNRESET, EPIPE, NetError
from netstack.tcp import state as states
from netstack.tcp.socket import TcpSocket
from netstack.tcp.state import (
    CLOSE,
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT1,
    FIN_WAIT2,
    LAST_ACK,
    LISTEN,
    NAMES,
    NEXT,
    SYN_RECV,
    SYN_SENT,
    TIME_WAIT,
)
from tests.packet.script import OUR_PORT, PEER_PORT, Script

PROJECT = Path(__file__).resolve().parents[4]
SYNCHRONIZED = (SYN_RECV, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)
OUR_FIN = (FIN_WAIT1, FIN_WAIT2, CLOSING, LAST_ACK, TIME_WAIT)  # we have sent it
PEER_FIN = (CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)  # it has come


class World:
    """A stack whose one connection (or listener) is in a given state; `next` is what it expects, `sent` what it has
    sent, both counted from the SYNs."""

    def __init__(self, state: int) -> None:
        self.script = s = Script()
        self.socket: TcpSocket | None = None
        self.next, self.sent = 1, 1
        s.ports = (OUR_PORT, PEER_PORT)
        if state == CLOSE:
            s.our_iss = 0
        elif state == LISTEN:
            self.socket = s.listen()
            s.our_iss = 0
        elif state == SYN_SENT:
            self.socket = s.connect()
            s.expect("S 0:0(0)")
        elif state == SYN_RECV:
            self.socket = s.connect()
            s.expect("S 0:0(0)")
            s.inject("S 0:0(0) <mss 1000,sackOK,wscale 0>")
            s.expect("S. 0:0(0) ack 1")
        else:
            self._synchronized(state)
        assert self.state() == state, NAMES[self.state()]
        s.quiet()

    def _synchronized(self, state: int) -> None:
        s = self.script
        self.socket = sock = s.connected()
        if state in (CLOSE_WAIT, LAST_ACK):
            s.inject("F. 1:1(0) ack 1")
            s.expect(". 1:1(0) ack 2")
        if state in OUR_FIN:
            s.call("shutdown", sock, 2)
            s.expect("F. 1:1(0)")
            self.sent = 2
        if state in (FIN_WAIT2, TIME_WAIT):
            s.inject(". 1:1(0) ack 2")
        if state in (CLOSING, TIME_WAIT):
            s.inject("F. 1:1(0) ack 1")
            s.expect(". 2:2(0) ack 2")
        if state in PEER_FIN:
            self.next = 2

    def state(self) -> int:
        tcp = self.script.stack.tcp
        for entry in tcp.connections.values():
            return int(entry.state)  # type: ignore[attr-defined]
        return LISTEN if tcp.listeners else CLOSE

    def answers(self) -> list[str]:
        """What was sent, in short."""
        short = []
        for sent in self.script.sent:
            text = self.script.show(sent).split()[0].replace("P", "")
            short.append(text)
        self.script.sent.clear()
        return short


class Case(NamedTuple):
    """`answer` are the flags of what is sent, "" for nothing; `error` is what the socket has pending."""

    state: int
    segment: str
    then: int
    answer: str
    error: int = 0


def segment(world: World, kind: str) -> str:
    """A segment of this kind, in the script's language, as it fits the state."""
    n, a = world.next, world.sent
    return {
        "reset": f"R {n}:{n}(0)",
        "reset with ack": f"R. {n}:{n}(0) ack {a}",
        "reset near": f"R {n + 10}:{n + 10}(0)",
        "reset far": f"R {n + 1_000_000}:{n + 1_000_000}(0)",
        "syn": f"S {n + 5}:{n + 5}(0)",
        "first syn": "S 0:0(0) <mss 1000>",
        "syn with ack": f"S. 0:0(0) ack {a} <mss 1000>",
        "syn with bad ack": f"S. 0:0(0) ack {a + 77} <mss 1000>",
        "ack": f". {n}:{n}(0) ack {a}",
        "ack of old": f". {n}:{n}(0) ack {a - 1}",
        "ack of unsent": f". {n}:{n}(0) ack {a + 77}",
        "data": f"P. {n}:{n + 10}(10) ack {a}",
        "data far": f"P. {n + 1_000_000}:{n + 1_000_010}(10) ack {a}",
        "data old": f"P. {n - 1}:{n}(1) ack {a}",
        "data without ack": f"P {n}:{n + 10}(10)",
        "fin": f"F. {n}:{n}(0) ack {a}",
        "fin before ack": f"F. {n}:{n}(0) ack {a - 1}",
        "fin without ack": f"F {n}:{n}(0)",
        "nothing": f"- {n}:{n}(0)",
    }[kind]


CASES: list[Case] = [
    # 3.10.7.1: no connection at all
    Case(CLOSE, "reset", CLOSE, ""),
    Case(CLOSE, "reset with ack", CLOSE, ""),
    Case(CLOSE, "first syn", CLOSE, "R."),
    Case(CLOSE, "syn with ack", CLOSE, "R"),
    Case(CLOSE, "ack", CLOSE, "R"),
    Case(CLOSE, "data", CLOSE, "R"),
    Case(CLOSE, "data without ack", CLOSE, "R."),
    Case(CLOSE, "fin", CLOSE, "R"),
    Case(CLOSE, "fin without ack", CLOSE, "R."),
    Case(CLOSE, "nothing", CLOSE, "R."),
    # 3.10.7.2
    Case(LISTEN, "reset", LISTEN, ""),
    Case(LISTEN, "reset with ack", LISTEN, ""),
    Case(LISTEN, "first syn", SYN_RECV, "S."),
    Case(LISTEN, "syn with ack", LISTEN, "R"),
    Case(LISTEN, "ack", LISTEN, "R"),
    Case(LISTEN, "data", LISTEN, "R"),
    Case(LISTEN, "data without ack", LISTEN, ""),
    Case(LISTEN, "fin", LISTEN, "R"),
    Case(LISTEN, "fin without ack", LISTEN, ""),
    Case(LISTEN, "nothing", LISTEN, ""),
    # 3.10.7.3
    Case(SYN_SENT, "reset", SYN_SENT, ""),
    Case(SYN_SENT, "reset with ack", CLOSE, "", ECONNREFUSED.code),
    Case(SYN_SENT, "first syn", SYN_RECV, "S."),
    Case(SYN_SENT, "syn with ack", ESTABLISHED, "."),
    Case(SYN_SENT, "syn with bad ack", SYN_SENT, "R"),
    Case(SYN_SENT, "ack", SYN_SENT, ""),
    Case(SYN_SENT, "ack of old", SYN_SENT, "R"),
    Case(SYN_SENT, "ack of unsent", SYN_SENT, "R"),
    Case(SYN_SENT, "data", SYN_SENT, ""),
    Case(SYN_SENT, "data without ack", SYN_SENT, ""),
    Case(SYN_SENT, "fin", SYN_SENT, ""),
    Case(SYN_SENT, "fin without ack", SYN_SENT, ""),
    Case(SYN_SENT, "nothing", SYN_SENT, ""),
]


def _synchronized(state: int) -> list[Case]:
    """3.10.7.4, check by check."""
    data = state in (SYN_RECV, ESTABLISHED, FIN_WAIT1, FIN_WAIT2)
    acked = {SYN_RECV: ESTABLISHED, FIN_WAIT1: FIN_WAIT2, CLOSING: TIME_WAIT, LAST_ACK: CLOSE}.get(state, state)
    reset = EPIPE.code if state == CLOSE_WAIT else ECONNRESET.code
    after_fin = {
        SYN_RECV: CLOSE_WAIT, ESTABLISHED: CLOSE_WAIT, FIN_WAIT1: TIME_WAIT, FIN_WAIT2: TIME_WAIT,
    }.get(state, acked)  # fmt: skip
    before_ack = {FIN_WAIT1: CLOSING}.get(state, state)
    over = state in (CLOSING, LAST_ACK)  # with the acknowledgement: what else the segment has does not count
    cases = [
        Case(state, "reset", CLOSE, "", 0 if state == TIME_WAIT else reset),
        Case(state, "reset with ack", CLOSE, "", 0 if state == TIME_WAIT else reset),
        Case(state, "reset far", state, ""),
        Case(state, "syn", state, "."),
        Case(state, "ack", acked, ""),
        Case(state, "data", acked, "" if over else "."),
        Case(state, "data far", state, "."),
        Case(state, "data old", state if state in (SYN_RECV, TIME_WAIT) else acked, "" if over else "."),
        Case(state, "fin", after_fin, "" if over else "."),
    ]
    if state != TIME_WAIT:
        cases += [
            Case(state, "reset near", state, "."),
            Case(state, "data without ack", state, ""),
            Case(state, "fin without ack", state, ""),
            Case(state, "nothing", state, ""),
            Case(state, "ack of unsent", state, "R" if state == SYN_RECV else "."),
        ]
    if state in (FIN_WAIT1, CLOSING, LAST_ACK):
        cases.append(Case(state, "ack of old", state, ""))
        cases.append(Case(state, "fin before ack", before_ack, "."))
    assert data or state in PEER_FIN
    return cases


for _state in SYNCHRONIZED:
    CASES += _synchronized(_state)
# A window of one byte before what is expected: in SYN_RECV that byte is the peer's SYN.
CASES = [case for case in CASES if (case.state, case.segment) != (SYN_RECV, "data old")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{NAMES[case.state]}-{case.segment}".replace(" ", "_"))
def test_reaction(case: Case) -> None:
    world = World(case.state)
    world.script.inject(segment(world, case.segment))
    world.script.wait(0.1)  # for what is delayed
    assert world.answers() == ([case.answer] if case.answer else [])
    assert NAMES[world.state()] == NAMES[case.then]
    if world.socket is not None:
        assert world.socket.error == case.error


def test_table_of_states_is_whole() -> None:
    assert set(NEXT) == set(NAMES)
    targets = {target for moves in NEXT.values() for target in moves.values()}
    assert targets == set(NAMES)
    reached, todo = {CLOSE}, [CLOSE]
    while todo:
        for target in NEXT[todo.pop()].values():
            if target not in reached:
                reached.add(target)
                todo.append(target)
    assert reached == set(NAMES)
    for state, moves in NEXT.items():
        assert CLOSE in moves.values() or state == CLOSE, "there is always a way out"
    assert states.diagram().count("-->") == 1 + sum(map(len, NEXT.values()))
    assert states.diagram() in (PROJECT / "docs/netstack.md").read_text(), "the page's diagram is stale"


def _reachable(start: int, steps: int = 3) -> set[int]:
    """The states that one segment, or one call, may lead to: it can be more than one event (SYN and its
    acknowledgement, acknowledgement and FIN)."""
    found, edge = {start}, {start}
    for _ in range(steps):
        edge = {target for state in edge for target in NEXT[state].values()}
        found |= edge
    return found


KINDS = (
    "reset", "reset near", "syn", "first syn", "syn with ack", "ack", "ack of old", "ack of unsent", "data", "data far",
    "data old", "fin", "fin before ack", "nothing", "data without ack",
)  # fmt: skip
STEPS = st.one_of(st.sampled_from(KINDS), st.sampled_from(["close", "shutdown", "send", "read", "wait", "abort"]))


@given(start=st.sampled_from(sorted(NAMES)), walk=st.lists(STEPS, max_size=8))
@settings(max_examples=150, deadline=None)
def test_walks_stay_in_the_table(start: int, walk: list[str]) -> None:
    world = World(start)
    s, socket = world.script, world.socket
    for step in walk:
        before = world.state()
        if step == "wait":
            s.wait(0.3)
        elif step in ("close", "shutdown", "send", "read", "abort"):
            if socket is None or socket.closed:
                continue
            s.stack.now_ns = s.now_ns
            try:
                if step == "send":
                    world.sent += socket.send(b"x" * 10)
                elif step == "read":
                    socket.consume(len(socket.peek(100)))
                elif step == "shutdown":
                    socket.shutdown(2)
                elif step == "close":
                    socket.close()
                else:
                    socket.abort()
            except NetError:
                pass
            s.settle()
        else:
            s.inject(segment(world, step))
        after = world.state()
        allowed = _reachable(before)
        if before in (CLOSE, LISTEN):
            allowed = {CLOSE, LISTEN, SYN_RECV, ESTABLISHED, CLOSE_WAIT, TIME_WAIT}
        if before in (SYN_RECV, TIME_WAIT):
            allowed |= {LISTEN, SYN_RECV}  # a listener is there as before
        assert after in allowed, f"{NAMES[before]} {step} {NAMES[after]}"
    s.wait(1000)
