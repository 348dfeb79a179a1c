"""What TCP_INFO says (tcp(7), struct tcp_info): by the structure's own names without `tcpi_`."""

from __future__ import annotations

from typing import NamedTuple

OPT_TIMESTAMPS, OPT_SACK, OPT_WSCALE, OPT_ECN, OPT_ECN_SEEN = 1, 2, 4, 8, 16


class TcpInfo(NamedTuple):
    """Times of tcp_info are microseconds (rto, ato, rtt, rttvar) or milliseconds (`last_...`)."""

    state: int
    ca_state: int = 0
    retransmits: int = 0
    probes: int = 0
    backoff: int = 0
    options: int = 0
    snd_wscale: int = 0
    rcv_wscale: int = 0
    delivery_rate_app_limited: int = 0
    rto: int = 0
    ato: int = 0
    snd_mss: int = 536
    rcv_mss: int = 536
    unacked: int = 0
    sacked: int = 0
    lost: int = 0
    retrans: int = 0
    fackets: int = 0
    last_data_sent: int = 0
    last_ack_sent: int = 0
    last_data_recv: int = 0
    last_ack_recv: int = 0
    pmtu: int = 0
    rcv_ssthresh: int = 0
    rtt: int = 0
    rttvar: int = 0
    snd_ssthresh: int = 0x7FFFFFFF
    snd_cwnd: int = 10
    advmss: int = 536
    reordering: int = 3
    rcv_rtt: int = 0
    rcv_space: int = 0
    total_retrans: int = 0
    pacing_rate: int = 0xFFFFFFFFFFFFFFFF
    max_pacing_rate: int = 0xFFFFFFFFFFFFFFFF
    bytes_acked: int = 0
    bytes_received: int = 0
    segs_out: int = 0
    segs_in: int = 0
    notsent_bytes: int = 0
    min_rtt: int = 0xFFFFFFFF
    data_segs_in: int = 0
    data_segs_out: int = 0
    delivery_rate: int = 0
    busy_time: int = 0
    rwnd_limited: int = 0
    sndbuf_limited: int = 0
    delivered: int = 0
    delivered_ce: int = 0
    bytes_sent: int = 0
    bytes_retrans: int = 0
    dsack_dups: int = 0
    reord_seen: int = 0
    rcv_ooopack: int = 0
    snd_wnd: int = 0
