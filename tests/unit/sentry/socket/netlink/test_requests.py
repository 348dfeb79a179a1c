"""Whatever is written to a netlink socket is answered or refused; nothing but an errno comes out, and the stack stays
whole. What a namespace is made of goes with it, without the collector's help."""

from __future__ import annotations

import gc
import struct
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentry.abi import flags as abi
from sentry.abi.errno import EPERM, Errno, WouldBlock
from sentry.creds import ROOT, Credentials
from sentry.kernel.timers import Timers
from sentry.net import devices
from sentry.net.namespace import NetNamespace
from sentry.socket.base import Outgoing
from sentry.socket.netlink import message as m
from sentry.socket.netlink.diag import filter as program
from sentry.socket.netlink.socket import NetlinkSocket

ROUTE_TYPES = range(abi.RTM_NEWLINK, abi.RTM_MAX + 1)
FIXED = {0: 16, 1: 8, 2: 12, 3: 12, 4: 12}  # sizes of the headers of links, addresses, routes, neighbours, rules


class Box:
    """A kernel with one namespace and one process."""

    def __init__(self, creds: Credentials = ROOT) -> None:
        self.deferred: list[Any] = []
        kernel: Any = SimpleNamespace(
            now_ns=time.monotonic_ns, realtime_ns=time.time_ns, defer=self.deferred.append, timers=Timers(),
            find_group=lambda pid: None, current=None,
        )  # fmt: skip
        self.kernel = kernel
        self.net = kernel.net = NetNamespace(kernel)
        self.t: Any = SimpleNamespace(
            kernel=kernel, net=self.net, creds=creds, group=SimpleNamespace(pid=7), fds=SimpleNamespace(get=_no_file)
        )

    def socket(self, protocol: int) -> NetlinkSocket:
        sock = NetlinkSocket(self.t, abi.SOCK_RAW, protocol, 0)
        sock.refs = 1
        return sock

    def turn(self) -> None:
        work, self.deferred[:] = list(self.deferred), []
        for callback in work:
            callback()


def _no_file(fd: int) -> Any:
    raise Errno


def messages(sock: NetlinkSocket) -> list[tuple[int, int, bytes]]:
    """(type, flags, contents) of all that waits to be read."""
    found: list[tuple[int, int, bytes]] = []
    while True:
        try:
            data = sock.receive(1 << 20, 0).data
        except WouldBlock:
            return found
        except Errno:
            continue
        sock.commit(len(data))
        at = 0
        while at < len(data):
            size, kind, flags, _, _ = m.HEADER.unpack_from(data, at)
            assert size >= 16 and at + size <= len(data)
            found.append((kind, flags, data[at + 16 : at + size]))
            at += size + 3 & ~3


def send(box: Box, sock: NetlinkSocket, kind: int, body: bytes, flags: int = 0) -> list[tuple[int, int, bytes]]:
    sock.send(Outgoing(m.message(kind, abi.NLM_F_REQUEST | flags, 5, 0, body)), box.t)
    return messages(sock)


attribute_lists = st.lists(
    st.tuples(st.integers(0, 70), st.binary(max_size=24)).map(lambda pair: m.attribute(*pair)), max_size=6
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(ROUTE_TYPES),
    flags=st.integers(0, 0xFFF),
    head=st.binary(max_size=20),
    small=st.integers(0, 3),
    attributes=attribute_lists,
    strict=st.booleans(),
)
def test_any_request_of_rtnetlink(
    kind: int, flags: int, head: bytes, small: int, attributes: bytes, strict: bool
) -> None:
    box = Box()
    ear, sock = box.socket(abi.NETLINK_ROUTE), box.socket(abi.NETLINK_ROUTE)
    ear.groups = 0xFFFFFFFF
    box.net.netlink.count()
    sock.strict = sock.ext_ack = strict
    size = FIXED.get((kind - 16) // 4, 12)
    family = bytes([(0, abi.AF_INET, abi.AF_INET6, 7)[small]])
    body = (family + head).ljust(size, b"\0")[:size] + attributes
    for kind_, _, contents in send(box, sock, kind, body, flags):
        if kind_ == abi.NLMSG_ERROR:
            assert -200 < struct.unpack_from("=i", contents)[0] <= 0
    messages(ear)
    box.turn()
    assert box.net.stack.interfaces[1] is box.net.stack.loopback


@settings(max_examples=300, deadline=None)
@given(protocol=st.sampled_from([0, 2, 4, 15, 16]), data=st.binary(max_size=120))
def test_any_bytes(protocol: int, data: bytes) -> None:
    box = Box()
    sock = box.socket(protocol)
    try:
        assert sock.send(Outgoing(data), box.t) == len(data)
    except Errno:
        pass
    messages(sock)


@settings(max_examples=300, deadline=None)
@given(
    family=st.sampled_from([0, 1, 2, 10, 16, 17, 40]), protocol=st.sampled_from([0, 6, 17, 255, 136, 1]),
    rest=st.binary(min_size=60, max_size=90), flags=st.sampled_from([0, abi.NLM_F_DUMP]),
    kind=st.sampled_from([18, 20, 21]),
)  # fmt: skip
def test_any_request_of_sock_diag(family: int, protocol: int, rest: bytes, flags: int, kind: int) -> None:
    box = Box()
    send(box, box.socket(abi.NETLINK_SOCK_DIAG), kind, bytes([family, protocol]) + rest, flags)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 40), st.integers(0, 60)), max_size=8), st.binary(max_size=24)
)
def test_a_program_that_was_checked_ends(operations: list[tuple[int, int, int]], tail: bytes) -> None:
    code = b"".join(program.OP.pack(*operation) for operation in operations) + tail
    try:
        program.check(code)
    except Errno:
        return
    program.matches(code, program.Seen(2, bytes(4), 1, bytes(4), 2, 0, 0))


def test_strangers_change_nothing() -> None:
    box = Box(ROOT._replace(effective=0, permitted=0))
    sock = box.socket(abi.NETLINK_ROUTE)
    for kind in ROUTE_TYPES:
        if kind & 3 == 2:
            continue
        for _, _, contents in send(box, sock, kind, bytes(64), abi.NLM_F_ACK | abi.NLM_F_CREATE):
            assert struct.unpack_from("=i", contents)[0] == -EPERM.code


def test_dumps_are_cut_by_the_readers_buffer() -> None:
    box = Box()
    sock = box.socket(abi.NETLINK_ROUTE)
    sock.start_dump([bytes(100)] * 1000)
    sizes = []
    for buffer in (4096, 4096, 65536, 65536):
        data = sock.receive(buffer, 0).data
        sizes.append(len(data))
        sock.commit(len(data))
    assert sizes[0] <= sizes[1] <= 4096
    assert 4096 < sizes[3] <= 32768


def test_a_queue_is_bounded() -> None:
    box = Box()
    sock = box.socket(abi.NETLINK_ROUTE)
    for _ in range(10_000):
        sock.deliver(bytes(1000), 0, 1)
    assert sock.used < 2 * sock.options.receive_buffer + 2000
    assert sock.drops > 9000


@pytest.mark.parametrize("with_pair", [False, True])
def test_a_namespace_goes_without_the_collector(with_pair: bool) -> None:
    box = Box()
    gc.collect()
    gc.disable()
    try:
        other = NetNamespace(box.kernel, first=False)
        stack = weakref.ref(other.stack)
        other.enter().set_up(other.stack.loopback, True)
        if with_pair:
            near, far = devices.add_veth(box.kernel, (box.net, b"a", b"", 0), (other, b"b", b"", 0))
            box.net.enter().set_up(near, True)
            other.enter().set_up(far, True)
            assert near.flags & abi.IFF_LOWER_UP
            del near, far
        del other
        box.turn()
        assert [iface.name for iface in box.net.stack.interfaces.values()] == [b"lo"]
        for timer in box.kernel.timers.due():
            timer()
        assert stack() is None
    finally:
        gc.enable()
