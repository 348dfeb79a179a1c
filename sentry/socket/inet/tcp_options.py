"""Options of IPPROTO_TCP that are more than a number (tcp(7), struct tcp_info)."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from netstack.tcp.state import CLOSE, LISTEN
from sentry.abi import flags as abi
from sentry.abi.errno import EINVAL, ENOENT, ENOPROTOOPT, EOPNOTSUPP, EPERM
from sentry.socket.options import INT, as_int

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from sentry.socket.inet.stream import InetStream

# struct tcp_info, of which Linux 6.18 has 280 bytes: what follows snd_wnd is told as 0.
_HEAD, _WORDS, _REST = Struct("<8B"), Struct("<24I"), Struct("<4Q6I4Q2I2Q4I")
INFO_SIZE = 280
MAX_WINDOW, MIN_MSS = 32767, 88
FIN_TIMEOUT_MAX_S = 120
FIRST_RTO_US = 1_000_000


def info(sock: InetStream) -> bytes:
    """TCP_INFO, in the order of linux/tcp.h."""
    now = sock.endpoint.info()
    if sock.endpoint.conn is None:
        now = now._replace(rto=FIRST_RTO_US)
    head = _HEAD.pack(
        now.state, now.ca_state, min(now.retransmits, 255), min(now.probes, 255), min(now.backoff, 255), now.options,
        now.snd_wscale | now.rcv_wscale << 4, now.delivery_rate_app_limited,
    )  # fmt: skip
    words = _WORDS.pack(
        now.rto, now.ato, now.snd_mss, now.rcv_mss, now.unacked, now.sacked, now.lost, now.retrans, now.fackets,
        now.last_data_sent, now.last_ack_sent, now.last_data_recv, now.last_ack_recv, now.pmtu, now.rcv_ssthresh,
        now.rtt, now.rttvar, now.snd_ssthresh, now.snd_cwnd, now.advmss, now.reordering, now.rcv_rtt, now.rcv_space,
        now.total_retrans,
    )  # fmt: skip
    rest = _REST.pack(
        now.pacing_rate, now.max_pacing_rate, now.bytes_acked, now.bytes_received, now.segs_out, now.segs_in,
        now.notsent_bytes, now.min_rtt, now.data_segs_in, now.data_segs_out, now.delivery_rate, now.busy_time,
        now.rwnd_limited, now.sndbuf_limited, now.delivered, now.delivered_ce, now.bytes_sent, now.bytes_retrans,
        now.dsack_dups, now.reord_seen, now.rcv_ooopack, now.snd_wnd,
    )  # fmt: skip
    return (head + words + rest).ljust(INFO_SIZE, b"\0")


def _set_congestion(sock: InetStream, t: Task, value: bytes) -> None:
    """TCP_CONGESTION: ENOENT for an unknown one, EPERM for one that is not allowed to everybody."""
    name = value[:15].partition(b"\0")[0].decode("latin-1")
    if not value:
        raise EINVAL
    settings = sock.net.stack.settings
    if name not in settings.tcp_available_congestion_control.split():
        raise ENOENT
    if name not in settings.tcp_allowed_congestion_control.split() and not t.creds.has(abi.CAP_NET_ADMIN):
        raise EPERM
    sock.endpoint.options.congestion = name
    sock.option_changed("congestion")


def _congestion(sock: InetStream) -> bytes:
    return str(sock.endpoint.options.congestion).encode().ljust(16, b"\0")


def _set_segment(sock: InetStream, t: Task, value: bytes) -> None:
    """TCP_MAXSEG: values that are too small or too large are refused, 0 takes the limit away."""
    size = as_int(value)
    if size and not MIN_MSS <= size <= MAX_WINDOW:
        raise EINVAL
    sock.endpoint.options.maxseg = size
    sock.option_changed("maxseg")


def _segment(sock: InetStream) -> bytes:
    """Of a connection what it uses, else what was set."""
    endpoint = sock.endpoint
    if endpoint.state in (CLOSE, LISTEN):
        return INT.pack(endpoint.options.maxseg or 536)
    return INT.pack(endpoint.info().snd_mss)


def _set_linger2(sock: InetStream, t: Task, value: bytes) -> None:
    """TCP_LINGER2: how long a closed socket stays in FIN_WAIT2; negative not at all."""
    seconds = as_int(value)
    sock.endpoint.options.linger2_s = -1 if seconds < 0 else min(seconds, FIN_TIMEOUT_MAX_S)


def _linger2(sock: InetStream) -> bytes:
    seconds = sock.endpoint.options.linger2_s
    return INT.pack(seconds or sock.net.stack.settings.tcp_fin_timeout)


def _set_defer(sock: InetStream, t: Task, value: bytes) -> None:
    """TCP_DEFER_ACCEPT, kept in whole retransmissions of a SYN-ACK: 1 s, 3 s, 7 s ... (tcp(7))."""
    sock.endpoint.options.defer_accept_s = _rounds(as_int(value))


def _rounds(seconds: int) -> int:
    if seconds <= 0:
        return 0
    period = timeout = 1
    count = 1
    while seconds > period and count < 255:
        count += 1
        timeout = min(timeout * 2, 120)
        period += timeout
    return period


def _set_clamp(sock: InetStream, t: Task, value: bytes) -> None:
    size = as_int(value)
    if size < 0:
        raise EINVAL
    if not size and sock.endpoint.state != CLOSE:
        raise EINVAL
    sock.endpoint.options.window_clamp = max(size, 1152) if size else 0
    sock.option_changed("window_clamp")


def _set_quick_ack(sock: InetStream, t: Task, value: bytes) -> None:
    """Whether acknowledgements are sent at once; it does not last (tcp(7))."""
    sock.endpoint.options.quick_ack = bool(as_int(value))
    sock.option_changed("quick_ack")


def _quick_ack(sock: InetStream) -> bytes:
    endpoint = sock.endpoint
    return INT.pack(int(endpoint.state == CLOSE or bool(endpoint.options.quick_ack)))


def _set_unsent(sock: InetStream, t: Task, value: bytes) -> None:
    """TCP_NOTSENT_LOWAT, unsigned; 0 is the sysctl's."""
    sock.endpoint.options.notsent_low = (as_int(value) & 0xFFFFFFFF) or -1
    sock.option_changed("notsent_low")


def _unsent(sock: InetStream) -> bytes:
    return max(int(sock.endpoint.options.notsent_low), 0).to_bytes(4, "little")


def _set_fast_open(sock: InetStream, t: Task, value: bytes) -> None:
    """Fast open is refused politely: the queue is set, no cookie is ever given (RFC 7413, 2)."""
    if as_int(value) < 0 or sock.endpoint.state not in (CLOSE, LISTEN):
        raise EINVAL
    sock.endpoint.options.fast_open = as_int(value)


def _set_repair(sock: InetStream, t: Task, value: bytes) -> None:
    as_int(value)
    if not t.creds.has(abi.CAP_NET_ADMIN):
        raise EPERM
    raise EOPNOTSUPP


def _set_ulp(sock: InetStream, t: Task, value: bytes) -> None:
    """TCP_ULP: kernel TLS and its like are there when their module is; it is not."""
    if not value:
        raise EINVAL
    raise ENOENT


def _refuse(sock: InetStream, t: Task, value: bytes) -> None:
    raise ENOPROTOOPT


def _bad(sock: InetStream) -> bytes:
    raise EINVAL


SetTcp = Callable[["InetStream", "Task", bytes], None]
GetTcp = Callable[["InetStream"], bytes]

SET_TCP: dict[int, SetTcp] = {
    abi.TCP_CONGESTION: _set_congestion, abi.TCP_MAXSEG: _set_segment, abi.TCP_LINGER2: _set_linger2,
    abi.TCP_DEFER_ACCEPT: _set_defer, abi.TCP_WINDOW_CLAMP: _set_clamp, abi.TCP_QUICKACK: _set_quick_ack,
    abi.TCP_NOTSENT_LOWAT: _set_unsent,
    abi.TCP_FASTOPEN: _set_fast_open, abi.TCP_REPAIR: _set_repair, abi.TCP_ULP: _set_ulp, abi.TCP_INFO: _refuse,
    abi.TCP_ZEROCOPY_RECEIVE: _refuse, abi.TCP_CC_INFO: _refuse,
}  # fmt: skip
GET_TCP: dict[int, GetTcp] = {
    abi.TCP_INFO: info, abi.TCP_CONGESTION: _congestion, abi.TCP_MAXSEG: _segment, abi.TCP_LINGER2: _linger2,
    abi.TCP_DEFER_ACCEPT: lambda sock: INT.pack(sock.endpoint.options.defer_accept_s),
    abi.TCP_WINDOW_CLAMP: lambda sock: INT.pack(sock.endpoint.options.window_clamp),
    abi.TCP_QUICKACK: _quick_ack,
    abi.TCP_NOTSENT_LOWAT: _unsent,
    abi.TCP_REPAIR: lambda sock: INT.pack(0), abi.TCP_REPAIR_QUEUE: _bad, abi.TCP_QUEUE_SEQ: _bad,
    abi.TCP_REPAIR_WINDOW: _bad, abi.TCP_ULP: lambda sock: b"", abi.TCP_SAVED_SYN: lambda sock: b"",
    abi.TCP_CC_INFO: lambda sock: b"",
}  # fmt: skip
