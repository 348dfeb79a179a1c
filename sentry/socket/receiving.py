"""Receiving in steps: what recv(2), recvmsg(2) and recvmmsg(2) do while they wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi import flags as abi
from sentry.abi.errno import Errno, WouldBlock
from sentry.mm.user import Iovec, behind
from sentry.socket import rights
from sentry.socket.base import Incoming, Socket
from sentry.socket.control import ControlBuffer
from sentry.socket.header import Header, write_address
from sentry.socket.steps import Messages, Step

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from vfs.core.file import File


class Receiving(Step):
    """A receive in steps; with MSG_WAITALL a stream goes on until the buffer is full. `finish` reports what came
    beside the data."""

    __slots__ = ("control", "files", "flags", "header", "incoming", "iov", "name", "sock", "t", "total")

    def __init__(self, t: Task, sock: Socket, iov: Iovec, flags: int, header: Header | None = None) -> None:
        super().__init__()
        self.t = t
        self.sock = sock
        self.iov = iov
        self.flags = flags
        self.header = header
        self.name = (0, 0)  # recvfrom: the address buffer and the address of its size
        self.total = sum(size for _, size in iov)
        self.incoming: Incoming | None = None
        self.files: list[File] = []

    def __call__(self) -> int:
        sock, flags = self.sock, self.flags
        while True:
            room = self.total - self.done
            try:
                incoming = sock.receive(room, flags)
            except WouldBlock:
                if self.done and self.done >= self._target():
                    break
                raise
            except Errno:
                if self.done:
                    break
                raise
            if not self._take(incoming):
                break
        return self.finish()

    def _target(self) -> int:
        """How many bytes end the wait."""
        if self.flags & abi.MSG_WAITALL:
            return self.total
        return min(self.sock.options.low_water, self.total)

    def _take(self, incoming: Incoming) -> bool:
        """Copy out and commit; whether the call may go on."""
        sock, data, flags = self.sock, incoming.data, self.flags
        if flags & abi.MSG_TRUNC and sock.discards:
            count = len(data)
        else:
            count = self.t.mem.scatter(behind(self.iov, self.done), data) if data else 0
        if self.incoming is None:
            self.incoming = incoming
        if flags & abi.MSG_PEEK:
            self.files = list(incoming.files)
            for file in self.files:
                file.refs += 1
            more = False
        else:
            self.files += sock.commit(count)
            more = bool(data) and sock.is_stream and not self.files and count == len(data)
        self.done += count
        return more and self.done < self.total and self.done < self._target()

    def finish(self) -> int:
        """Write address, control data and flags; the result of the call."""
        incoming, header = self.incoming or Incoming(b""), self.header
        try:
            if header is not None:
                self._report(header, incoming)
            elif self.name[0]:
                write_address(self.t, incoming.address or b"", *self.name)
        finally:
            files, self.files = self.files, []
            if files:
                rights.drop(files)
        if self.flags & abi.MSG_TRUNC and not self.sock.is_stream:
            return incoming.full_size
        return self.done

    def _report(self, header: Header, incoming: Incoming) -> None:
        mem = self.t.mem
        control = ControlBuffer(self.t, header.control_addr, header.control_size)
        if header.name_addr:
            address = incoming.address or b""
            mem.write(header.name_addr, address[: header.name_size])
            mem.put_u32(header.addr + 8, len(address))
        control.fill(self.sock, incoming, self.files, self.flags)
        flags = incoming.flags | control.flags | self.flags & abi.MSG_CMSG_CLOEXEC
        mem.put_u64(header.addr + 40, control.used)
        mem.put_u32(header.addr + 48, flags)


class ReceivingMany(Messages):
    """recvmmsg; with MSG_WAITFORONE the first message ends the wait."""

    __slots__ = ()

    def begin(self, msg_addr: int) -> Receiving:
        header = Header(self.t, msg_addr)
        return Receiving(self.t, self.sock, header.iov, self.flags & ~abi.MSG_WAITFORONE, header)

    def first_is_enough(self) -> bool:
        return super().first_is_enough() or bool(self.flags & abi.MSG_WAITFORONE)
