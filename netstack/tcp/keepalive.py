"""How long a connection waits for a peer that says nothing (tcp(7): SO_KEEPALIVE, TCP_USER_TIMEOUT, tcp_retries2,
tcp_orphan_retries, tcp_fin_timeout, TCP_LINGER2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netstack.errors import ETIMEDOUT
from netstack.tcp.state import CLOSE, FIN_WAIT2
from netstack.wire.tcp import ACK

if TYPE_CHECKING:
    from netstack.tcp.tcb import Tcb

SECOND_NS: Final = 1_000_000_000
RTO_NS: Final = 200_000_000  # what tcp_retries2 counts in: this, doubled each time, up to MAX_RTO_NS
MAX_RTO_NS: Final = 120_000_000_000
ORPHAN_RETRIES: Final = 8  # what tcp_orphan_retries 0 means


def start(tcb: Tcb) -> None:
    """The owner may want keepalive, or not any more."""
    if tcb.socket.options.keepalive:
        tcb.clock.set(tcb.heard_ns + _idle_ns(tcb))
    elif not tcb.orphan:
        tcb.clock.clear()


def _idle_ns(tcb: Tcb) -> int:
    idle = tcb.socket.options.keep_idle_s
    return (idle if idle > 0 else tcb.stack.settings.tcp_keepalive_time) * SECOND_NS


def expired(tcb: Tcb) -> None:
    """The clock of a connection that is open."""
    socket = tcb.socket
    if tcb.orphan and socket.state == FIN_WAIT2:
        tcb.end()  # silently: the peer hears of it when it sends something
        return
    options, settings = socket.options, tcb.stack.settings
    if not options.keepalive:
        return
    now_ns = tcb.stack.now_ns
    rec = tcb.snd.rec
    if rec.una != rec.nxt or tcb.snd.tx.end > rec.nxt:
        tcb.clock.set(now_ns + _idle_ns(tcb))  # what is under way asks the same question
        return
    silent_ns = now_ns - tcb.heard_ns
    idle_ns = _idle_ns(tcb)
    if silent_ns < idle_ns:
        tcb.clock.set(tcb.heard_ns + idle_ns)
        return
    count = options.keep_count if options.keep_count > 0 else settings.tcp_keepalive_probes
    user_ns = options.user_timeout_ms * 1_000_000
    if (silent_ns >= user_ns and tcb.keep_probes) if user_ns else tcb.keep_probes >= count:
        tcb.send_reset()
        tcb.count("TCPAbortOnTimeout")
        tcb.end(socket.soft_error or ETIMEDOUT.code)
        return
    tcb.keep_probes += 1
    tcb.emit(rec.una - 1, ACK)  # a byte that it has: it must say what it expects (RFC 9293, 3.8.4)
    tcb.count("TCPKeepAlive")
    interval = options.keep_interval_s if options.keep_interval_s > 0 else settings.tcp_keepalive_intvl
    tcb.clock.set(now_ns + interval * SECOND_NS)


def patient(tcb: Tcb, count: int, since_ns: int, probing: bool) -> bool:
    """Whether `count` attempts without an answer are not enough to give up; `since_ns` is when data began to wait for
    one. `probing`: the peer's window is closed, and what is counted are probes of it."""
    settings, options = tcb.stack.settings, tcb.socket.options
    if count == settings.tcp_retries1:
        tcb.path.reroute()
    waited_ns = tcb.stack.now_ns - since_ns
    if options.user_timeout_ms:
        return waited_ns < options.user_timeout_ms * 1_000_000
    retries: int = settings.tcp_retries2
    if tcb.orphan:
        retries = settings.tcp_orphan_retries or ORPHAN_RETRIES
    return count < retries if probing else waited_ns < _boundary_ns(retries)


def _boundary_ns(retries: int) -> int:
    """How long `retries` retransmissions take that begin at the shortest timeout."""
    doublings = (MAX_RTO_NS // RTO_NS).bit_length() - 1
    if retries <= doublings:
        return ((2 << retries) - 1) * RTO_NS
    return ((2 << doublings) - 1) * RTO_NS + (retries - doublings) * MAX_RTO_NS


def orphan(tcb: Tcb) -> bool:
    """close(2) was called; False when there are too many such connections already (tcp_max_orphans), or the owner
    wanted no FIN_WAIT2 at all."""
    socket, table = tcb.socket, tcb.table
    if socket.state == CLOSE or tcb.orphan:
        return True
    tcb.clock.clear()
    if table.orphans >= tcb.stack.settings.tcp_max_orphans:
        tcb.count("TCPAbortOnMemory")
        return False
    tcb.orphan = True
    table.orphans += 1
    if socket.state == FIN_WAIT2:
        return wait_for_fin(tcb)
    return True


def wait_for_fin(tcb: Tcb) -> bool:
    """Nobody reads any more, and the peer has only to send its FIN: not for ever."""
    seconds = tcb.socket.options.linger2_s
    if seconds < 0:
        return False
    tcb.clock.set(tcb.stack.now_ns + (seconds or tcb.stack.settings.tcp_fin_timeout) * SECOND_NS)
    return True
