"""A link on a packet socket of the host (packet(7)): whole frames of one interface, each behind a virtio_net_hdr.

So large segments pass in one piece in both directions, and checksums may be left to the device: the host finishes what
is really sent, and says of what comes whether it is known to be right. A frame that is read is an object of its own, of
which the stack may keep parts. Idle, the link costs nothing: the loop sleeps on the descriptor. In a flood frames are
read in rounds, with guests' calls in between: else the host's buffer would be emptied into full sockets.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from netstack.packet import NO_OFFLOAD, Offload
from netstack.wire import checksum, vnet
from sentry.wait import ERR, HUP, IN, OUT

if TYPE_CHECKING:
    from netstack.iface import Interface
    from sentry.kernel.kernel import Kernel
    from sentry.net.namespace import NetNamespace

FRAME_AT_MOST = vnet.HEADER_LEN + 18 + 65535
ROUND_FRAMES, ROUND_BYTES = 16, 1 << 20
QUEUE_FRAMES, QUEUE_BYTES = 1000, 4 << 20
ENETDOWN = 100
UDP_HEADER = 8


Heard = Callable[[memoryview, Offload], None]


class PacketLink:
    """`iface` is set by whoever makes the interface; from `open` on frames come in. `heard`, if any, is told of each
    before the stack, with what is left to do on it."""

    __slots__ = ("_bytes", "_fd", "_kernel", "_net", "_queue", "_resting", "heard", "iface")

    gso = True
    checksum = True

    def __init__(self, kernel: Kernel, net: NetNamespace, fd: int) -> None:
        self.iface: Interface
        self.heard: Heard | None = None
        self._kernel = kernel
        self._net = net
        self._fd = fd
        self._queue: deque[bytes] = deque()  # what the host had no room for
        self._bytes = 0
        self._resting = False  # between two rounds

    def open(self) -> None:
        self._watch()

    def _watch(self) -> None:
        if self._fd >= 0:
            self._kernel.watch(self._fd, (0 if self._resting else IN) | (OUT if self._queue else 0), self._ready)

    def close(self) -> None:
        if self._fd >= 0:
            self._kernel.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1

    # out --------------------------------------------------------------------------------------------------------------
    def send(self, parts: Sequence[bytes | memoryview], offload: Offload) -> bool:
        frame = b"".join((vnet.pack(offload), *parts))
        if self._queue:
            return self._keep(frame)
        try:
            os.write(self._fd, frame)
        except BlockingIOError:
            return self._keep(frame)
        except OSError:
            return False  # the device's own queue is full, or it is down, or gone
        return True

    def _keep(self, frame: bytes) -> bool:
        if self._fd < 0 or len(self._queue) >= QUEUE_FRAMES or self._bytes + len(frame) > QUEUE_BYTES:
            return False
        self._queue.append(frame)
        self._bytes += len(frame)
        if len(self._queue) == 1:
            self._watch()
        return True

    def _flush(self) -> None:
        queue = self._queue
        while queue:
            try:
                os.write(self._fd, queue[0])
            except BlockingIOError:
                return
            except OSError:
                pass  # this one is lost
            self._bytes -= len(queue.popleft())
        self._watch()

    # in ---------------------------------------------------------------------------------------------------------------
    def _ready(self, events: int) -> None:
        if events & OUT:
            self._flush()
        if events & (IN | ERR | HUP) and not self._resting:
            self._round()

    def _round(self) -> None:
        """Read what is there; when it is much, go on once no call waits, or after some have been served."""
        if self._fd < 0:
            return
        more = self._read()
        if more:
            self._kernel.when_quiet(self._round)
        if more != self._resting:
            self._resting = more
            self._watch()

    def _read(self) -> bool:
        """True when the round's measure is full."""
        net, iface, fd = self._net, self.iface, self._fd
        receive = net.enter().receive
        unpack, read, left = vnet.HEADER.unpack_from, os.read, ROUND_BYTES
        link_len = 14 if iface.kind == "ether" else 0
        for _ in range(ROUND_FRAMES):
            try:
                text = read(fd, FRAME_AT_MOST)
            except BlockingIOError:
                return False
            except OSError as err:
                self._failed(err)
                return False
            if len(text) < vnet.HEADER_LEN:
                return False
            flags, kind, _, gso_size, start, offset = unpack(text)
            frame = memoryview(text)[vnet.HEADER_LEN :]
            if self.heard is not None:
                self.heard(frame, Offload(start, offset) if flags & vnet.NEEDS_CSUM else NO_OFFLOAD)
            if kind & ~vnet.GSO_ECN == vnet.GSO_UDP_L4:
                for datagram in datagrams(frame, link_len, start, gso_size):
                    receive(iface, datagram, True)
            else:
                receive(iface, frame, flags != 0, gso_size if kind else 0)
            left -= len(text)
            if left < 0:
                break
        return True

    def _failed(self, err: OSError) -> None:
        """ENETDOWN is told once when the interface goes down; one that is deleted stays silent for ever after."""
        if err.errno != ENETDOWN:
            self._kernel.log(f"network: {os.fsdecode(self.iface.name)}: {os.strerror(err.errno or 0)}")


def datagrams(frame: memoryview, link_len: int, start: int, size: int) -> Iterator[bytes]:
    """The UDP datagrams that a sender has left to be cut (udp(7), UDP_SEGMENT), each with headers of its own. Their UDP
    checksums are not made: nobody looks at them."""
    payload = start + UDP_HEADER
    if size < 1 or start < link_len + 20 or payload > len(frame):
        return
    headers = bytearray(frame[:payload])
    version = headers[link_len] >> 4
    ident = int.from_bytes(headers[link_len + 4 : link_len + 6])
    for number, at in enumerate(range(payload, len(frame), size)):
        data = frame[at : at + size]
        length = UDP_HEADER + len(data)
        if version == 4:
            headers[link_len + 2 : link_len + 4] = (start - link_len + length).to_bytes(2)
            headers[link_len + 4 : link_len + 6] = (ident + number & 0xFFFF).to_bytes(2)
            headers[link_len + 10 : link_len + 12] = bytes(2)
            headers[link_len + 10 : link_len + 12] = checksum.checksum(headers[link_len:start]).to_bytes(2)
        else:
            headers[link_len + 4 : link_len + 6] = (start - link_len - 40 + length).to_bytes(2)
        headers[start + 4 : start + 6] = length.to_bytes(2)
        yield bytes(headers) + data
