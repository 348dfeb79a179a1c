"""Routes and rules (ip-route(8), ip-rule(8))."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netstack import route
from netstack.errors import EACCES, EEXIST, EHOSTUNREACH, EINVAL, ENETUNREACH, ESRCH
from netstack.route import Route, Routes, Rule


def ip(text: str) -> bytes:
    return bytes(map(int, text.split(".")))


def net(text: str, oif: int = 2, **rest: object) -> Route:
    address, prefix = text.split("/")
    return Route(ip(address), int(prefix), oif, **rest)  # type: ignore[arg-type]


@pytest.fixture
def routes() -> Routes:
    return Routes(lambda index: index != 9, lambda event, thing: None)


def test_the_longest_prefix_wins(routes: Routes) -> None:
    for text, oif in (("10.0.0.0/8", 2), ("10.1.0.0/16", 3), ("0.0.0.0/0", 4), ("10.1.2.3/32", 5)):
        routes.add(net(text, oif))
    for dst, oif in (("10.1.2.3", 5), ("10.1.2.4", 3), ("10.2.0.0", 2), ("11.0.0.1", 4)):
        assert routes.lookup(ip(dst)).oif == oif


def test_the_smaller_metric_wins_and_a_dead_interface_is_passed_over(routes: Routes) -> None:
    routes.add(net("10.0.0.0/8", 2, metric=200))
    routes.add(net("10.0.0.0/8", 3, metric=100))
    routes.add(net("10.0.0.0/8", 9, metric=1))
    assert routes.lookup(ip("10.1.1.1")).oif == 3
    assert routes.lookup(ip("10.1.1.1"), oif=2).oif == 2
    with pytest.raises(ENETUNREACH):
        routes.lookup(ip("10.1.1.1"), oif=7)


def test_kinds_that_lead_nowhere(routes: Routes) -> None:
    for number, (kind, error) in enumerate(
        (
            (route.BLACKHOLE, EINVAL),
            (route.UNREACHABLE, EHOSTUNREACH),
            (route.PROHIBIT, EACCES),
            (route.THROW, ENETUNREACH),
        )
    ):
        routes.add(net(f"10.{number}.0.0/16", 0, kind=kind))
        with pytest.raises(error):
            routes.lookup(ip(f"10.{number}.0.1"))


def test_throw_goes_on_with_the_next_table(routes: Routes) -> None:
    routes.add(net("10.0.0.0/8", 0, kind=route.THROW))
    routes.add(net("0.0.0.0/0", 4, table=route.TABLE_DEFAULT))
    assert routes.lookup(ip("10.1.1.1")).oif == 4


def test_gateways(routes: Routes) -> None:
    with pytest.raises(ENETUNREACH):
        routes.add(net("0.0.0.0/0", 0, gateway=ip("10.0.0.1")))
    routes.add(net("10.0.0.0/24", 2))
    routes.add(net("0.0.0.0/0", 0, gateway=ip("10.0.0.1")))
    assert routes.lookup(ip("8.8.8.8"))[2:4] == (2, ip("10.0.0.1"))
    with pytest.raises(ENETUNREACH):  # a gateway behind a gateway
        routes.add(net("20.0.0.0/8", 0, gateway=ip("8.8.8.8")))
    routes.add(net("20.0.0.0/8", 3, gateway=ip("99.0.0.1"), flags=route.FLAG_ONLINK))
    assert routes.lookup(ip("20.0.0.1")).oif == 3


def test_what_cannot_be_added_or_removed(routes: Routes) -> None:
    routes.add(net("10.0.0.0/8"))
    with pytest.raises(EEXIST):
        routes.add(net("10.0.0.0/8", 3))
    with pytest.raises(EINVAL):
        routes.add(net("10.0.0.1/8", metric=1))
    with pytest.raises(ESRCH):
        routes.remove(net("11.0.0.0/8"))
    routes.add(net("10.0.0.0/8", 3), replace=True)
    assert [entry.oif for entry in routes] == [3]
    routes.remove(net("10.0.0.0/8", 0))
    assert list(routes) == []


def test_rules(routes: Routes) -> None:
    routes.add(net("0.0.0.0/0", 2))
    routes.add(net("0.0.0.0/0", 3, table=100))
    routes.add_rule(Rule(4, 1000, 100, src=ip("10.0.0.0"), src_prefix=8))
    assert routes.lookup(ip("1.1.1.1"), ip("10.9.9.9")).oif == 3
    assert routes.lookup(ip("1.1.1.1"), ip("11.9.9.9")).oif == 2
    refuse = Rule(4, 500, action=route.PROHIBIT, dst=ip("1.1.1.1"), dst_prefix=32)
    routes.add_rule(refuse)
    with pytest.raises(EACCES):
        routes.lookup(ip("1.1.1.1"))
    with pytest.raises(EEXIST):
        routes.add_rule(refuse)
    routes.remove_rule(refuse)
    assert routes.lookup(ip("1.1.1.1")).oif == 2
    assert [rule.priority for rule in routes.rules if rule.family == 4] == [0, 1000, 32766, 32767]


PREFIXES = st.tuples(st.binary(min_size=4, max_size=4), st.integers(0, 32))


@given(st.lists(PREFIXES, max_size=30), st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=5))
def test_lookup_is_the_longest_match_of_a_list(networks: list[tuple[bytes, int]], addresses: list[bytes]) -> None:
    routes = Routes(lambda index: True, lambda event, thing: None)
    known: dict[tuple[bytes, int], int] = {}
    for number, (address, prefix) in enumerate(networks):
        network = route.masked(address, prefix)
        if (network, prefix) not in known:
            known[network, prefix] = number + 1
            routes.add(Route(network, prefix, number + 1))
    for address in [*addresses, *(network for network, _ in known)]:
        hits = [(prefix, oif) for (network, prefix), oif in known.items() if route.masked(address, prefix) == network]
        if hits:
            assert routes.lookup(address).oif == max(hits)[1]
        else:
            with pytest.raises(ENETUNREACH):
                routes.lookup(address)
    for (network, prefix), oif in known.items():
        routes.remove(Route(network, prefix, oif))
    assert list(routes) == []
