"""The retransmission timeout (RFC 6298)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netstack.tcp import rtt
from netstack.tcp.rtt import RttEstimator

MS = 1_000_000
SECOND = 1000 * MS


def test_first_sample() -> None:
    estimator = RttEstimator()
    assert estimator.rto_ns == SECOND and estimator.min_rtt_ns == 0
    estimator.sample(400 * MS, 0)
    assert (estimator.srtt_ns, estimator.rttvar_ns) == (400 * MS, 200 * MS)
    assert estimator.rto_ns == 1200 * MS and estimator.min_rtt_ns == 400 * MS


def test_steady_path_comes_down_to_the_floor() -> None:
    estimator = RttEstimator()
    for number in range(200):
        estimator.sample(50 * MS, number * 50 * MS)
    assert estimator.rto_ns < 255 * MS


def test_many_samples_of_one_round_trip_do_not_forget_a_burst() -> None:
    estimator = RttEstimator()
    for number in range(100):
        estimator.sample(100 * MS, number * 100 * MS)
    estimator.sample(900 * MS, 10 * SECOND)
    high = estimator.rto_ns
    for number in range(50):
        estimator.sample(100 * MS, 10 * SECOND + number * MS)
    assert estimator.rttvar_ns > 100 * MS and estimator.rto_ns > high // 2


def test_backoff_doubles_up_to_two_minutes_and_a_sample_ends_it() -> None:
    estimator = RttEstimator()
    for count in range(1, 20):
        estimator.backoff()
        assert estimator.backoffs == count
        assert estimator.rto_ns == min(SECOND << count, rtt.MAX_RTO_NS)
    estimator.sample(100 * MS, 0)
    assert estimator.rto_ns == 300 * MS and estimator.backoffs == 0


def test_seed_is_for_those_without_a_sample() -> None:
    estimator = RttEstimator()
    estimator.seed(3 * SECOND)
    assert estimator.rto_ns == 3 * SECOND
    estimator.sample(MS, 0)
    estimator.seed(3 * SECOND)
    assert estimator.rto_ns < SECOND


def test_smallest_round_trip_is_forgotten_after_minutes() -> None:
    estimator = RttEstimator()
    estimator.sample(10 * MS, 0)
    for at in range(1, 700):
        estimator.sample(50 * MS, at * SECOND)
        if at <= 300:
            assert estimator.min_rtt_ns == 10 * MS
    assert estimator.min_rtt_ns == 50 * MS


def test_delayed_acknowledgement_counts_for_the_timeout_only() -> None:
    estimator = RttEstimator()
    estimator.sample(90 * MS, 0, 50 * MS)
    assert estimator.srtt_ns == 90 * MS and estimator.min_rtt_ns == estimator.latest_ns == 50 * MS


@given(st.lists(st.tuples(st.integers(-5, 1 << 40), st.integers(0, 1 << 36)), min_size=1, max_size=50))
def test_bounds(samples: list[tuple[int, int]]) -> None:
    estimator = RttEstimator()
    now = 0
    for value, step in samples:
        now += step
        estimator.sample(value, now)
        assert rtt.MIN_RTO_NS < estimator.rto_ns <= rtt.MAX_RTO_NS
        assert estimator.min_rtt_ns > 0
