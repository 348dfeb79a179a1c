"""netstack.socket.groups: the groups of one socket (ip(7), RFC 3376 section 3.1, RFC 3678)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netstack.errors import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV, NetError
from netstack.socket.groups import Groups
from netstack.stack import Stack
from tests.unit.netstack.two_hosts import chance

GROUP, OTHER, GROUP6 = b"\xef\1\2\3", b"\xef\1\2\4", b"\xff\5" + bytes(13) + b"\7"
ONE, TWO = b"\x0a\0\0\1", b"\x0a\0\0\2"


def make() -> tuple[Stack, Groups]:
    stack = Stack(chance(1), lambda: None)
    return stack, Groups(stack)


def test_join_and_leave() -> None:
    stack, groups = make()
    lo = stack.loopback
    assert groups.hears(GROUP, ONE, lo.index) is None
    groups.join(lo, GROUP)
    assert groups.hears(GROUP, ONE, lo.index) is True
    assert groups.hears(GROUP, ONE, lo.index + 1) is None
    with pytest.raises(EADDRINUSE):
        groups.join(lo, GROUP)
    with pytest.raises(EADDRNOTAVAIL):
        groups.leave(lo, OTHER)
    assert GROUP in lo.groups
    groups.leave(lo, GROUP)
    assert GROUP not in lo.groups
    with pytest.raises(EINVAL):
        groups.join(lo, ONE)
    assert groups.filters == {}


def test_two_sockets_hold_a_group() -> None:
    stack, one = make()
    two = Groups(stack)
    for groups in (one, two):
        groups.join(stack.loopback, GROUP)
        groups.join(stack.loopback, GROUP6)
    one.leave_all()
    assert {GROUP, GROUP6} <= stack.loopback.groups.keys()
    two.leave_all()
    assert not {GROUP, GROUP6} & stack.loopback.groups.keys()


def test_limits() -> None:
    stack, groups = make()
    stack.settings.igmp_max_memberships = 3
    for number in range(3):
        groups.join(stack.loopback, b"\xef\0\0" + bytes((number,)))
    with pytest.raises(ENOBUFS):
        groups.join(stack.loopback, GROUP)
    with pytest.raises(ENOBUFS):
        groups.join_source(stack.loopback, GROUP, ONE)
    groups.join(stack.loopback, GROUP6)
    stack.settings.igmp_max_msf = 2
    first = b"\xef\0\0\0"
    groups.block(stack.loopback, first, ONE)
    groups.block(stack.loopback, first, TWO)
    with pytest.raises(ENOBUFS):
        groups.block(stack.loopback, first, b"\x0a\0\0\3")
    with pytest.raises(ENOBUFS):
        groups.set_filter(stack.loopback, first, (True, frozenset((ONE, TWO, GROUP))))


def test_an_interface_that_is_gone() -> None:
    stack, groups = make()
    iface = stack.add_interface(b"tun0", None, b"", 1500, "none")
    stack.set_up(iface, True)
    groups.join(iface, GROUP)
    stack.remove_interface(iface)
    with pytest.raises(ENODEV):
        groups.join(iface, OTHER)
    groups.leave_all()
    assert groups.filters == {}


def test_whole_filters() -> None:
    stack, groups = make()
    lo = stack.loopback
    with pytest.raises(EINVAL):
        groups.set_filter(lo, GROUP, (True, frozenset((ONE,))))
    groups.join(lo, GROUP)
    groups.set_filter(lo, GROUP, (False, frozenset((ONE,))))
    assert groups.filter_of(lo, GROUP) == (False, frozenset((ONE,)))
    assert (groups.hears(GROUP, ONE, lo.index), groups.hears(GROUP, TWO, lo.index)) == (True, False)
    groups.set_filter(lo, GROUP, (False, frozenset()))
    with pytest.raises(EADDRNOTAVAIL):
        groups.filter_of(lo, GROUP)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["join", "leave", "join_source", "leave_source", "block", "unblock"]),
                          st.sampled_from([ONE, TWO])), max_size=12))  # fmt: skip
def test_the_interface_wants_what_the_socket_hears(steps: list[tuple[str, bytes]]) -> None:
    stack, groups = make()
    lo = stack.loopback
    for name, source in steps:
        before = dict(groups.filters)
        try:
            if name in ("join", "leave"):
                getattr(groups, name)(lo, GROUP)
            else:
                getattr(groups, name)(lo, GROUP, source)
        except NetError:
            assert groups.filters == before, "what fails changes nothing"
        wanted = groups.filters.get((lo.index, GROUP))
        held = lo.groups.get(GROUP)
        assert (wanted is None) == (held is None)
        if held is not None:
            exclude, sources = held.wanted()
            for host in (ONE, TWO, b"\x0a\0\0\3"):
                assert groups.hears(GROUP, host, lo.index) == ((host in sources) != exclude)
