"""One connection over packets (RFC 9293)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.errors import ENETUNREACH

if TYPE_CHECKING:
    from netstack.flow import Flow
    from netstack.tcp.socket import TcpSocket


class Tcb:
    """Not there yet: destinations beyond this stack are unreachable."""

    def __init__(self, socket: TcpSocket, flow: Flow) -> None:
        self.socket = socket

    def open(self) -> None:
        self.socket.over()
        raise ENETUNREACH
