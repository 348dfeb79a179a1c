"""Options of TCP sockets (tcp(7)); those of all sockets are in `netstack.socket.base`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.socket.base import Options

if TYPE_CHECKING:
    from netstack.stack import Stack

SECOND_NS = 1_000_000_000


class TcpOptions(Options):
    """Options by what they mean. A value of -1 stands for the sysctl's, read where it is needed.

    congestion       TCP_CONGESTION by name, as bytes are on the edge only
    receive_locked, send_locked   SO_RCVBUF, SO_SNDBUF were set: no growth of our own (socket(7))
    """

    __slots__ = (
        "congestion", "cork", "defer_accept_s", "fast_open", "fast_open_connect", "keep_count", "keep_idle_s",
        "keep_interval_s", "linger2_s", "maxseg", "nodelay", "notsent_low", "quick_ack", "receive_locked",
        "save_syn", "send_locked", "syn_count", "thin_dupack", "thin_linear_timeouts", "user_timeout_ms",
        "window_clamp",
    )  # fmt: skip

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        settings = stack.settings
        self.receive_buffer = settings.tcp_rmem[1]
        self.send_buffer = settings.tcp_wmem[1]
        self.congestion = settings.tcp_congestion_control
        self.cork = False
        self.defer_accept_s = 0
        self.fast_open = 0  # kept and read back; no cookie is ever given (TFO is refused cleanly)
        self.fast_open_connect = False
        self.keep_count = -1
        self.keep_idle_s = -1
        self.keep_interval_s = -1
        self.linger2_s = 0  # TCP_LINGER2: 0 is the sysctl's value, -1 no FIN_WAIT2 at all
        self.maxseg = 0  # TCP_MAXSEG as set: a limit
        self.nodelay = False
        self.notsent_low = -1
        self.quick_ack = False
        self.receive_locked = False
        self.save_syn = 0
        self.send_locked = False
        self.syn_count = -1
        self.thin_dupack = False
        self.thin_linear_timeouts = False
        self.user_timeout_ms = 0
        self.window_clamp = 0

    def inherited(self) -> TcpOptions:
        """A copy for a connection that a listener makes (tcp(7), socket(7): nearly all options are inherited)."""
        child = TcpOptions.__new__(TcpOptions)
        for name in _NAMES:
            setattr(child, name, getattr(self, name))
        return child


_NAMES = Options.__slots__ + TcpOptions.__slots__
