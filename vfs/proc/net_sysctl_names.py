"""Names below /proc/sys/net, what they are and what they take (ip-sysctl.rst). Those that are only kept start as in a
new network namespace."""

from __future__ import annotations

from typing import NamedTuple

INT_MAX, UINT_MAX, LONG_MAX = (1 << 31) - 1, (1 << 32) - 1, (1 << 63) - 1


class Param(NamedTuple):
    """`attribute` of the stack's settings, or "" for one that is kept and starts as `start`. It has that many `numbers`
    between `low` and `high`; with 0 it is text. The attribute times `scale[0]` / `scale[1]` is shown. "*" in a path is
    an interface."""

    attribute: str
    start: bytes = b""
    low: int = 0
    high: int = INT_MAX
    numbers: int = 1
    mode: int = 0o644
    scale: tuple[int, int] = (1, 1)


# Plain attributes of the same name.
_IPV4 = (
    "ip_forward igmp_max_memberships igmp_max_msf ipfrag_high_thresh ipfrag_time ipfrag_max_dist "
    "icmp_ratelimit icmp_msgs_per_sec icmp_msgs_burst tcp_abort_on_overflow tcp_dsack tcp_fastopen "
    "tcp_fin_timeout tcp_keepalive_intvl tcp_keepalive_time tcp_max_orphans tcp_max_syn_backlog "
    "tcp_max_tw_buckets tcp_moderate_rcvbuf tcp_mtu_probing tcp_base_mss tcp_no_metrics_save tcp_rfc1337 "
    "tcp_slow_start_after_idle tcp_invalid_ratelimit tcp_challenge_ack_limit "
).split()
SETTINGS: dict[bytes, Param] = {
    **{b"ipv4/" + name.encode(): Param(name) for name in _IPV4},
    b"ipv4/ip_nonlocal_bind": Param("ip_nonlocal_bind", high=255),
    b"ipv4/ip_no_pmtu_disc": Param("ip_no_pmtu_disc", high=255),
    b"ipv4/igmp_qrv": Param("igmp_qrv", low=1),
    b"ipv4/icmp_echo_ignore_all": Param("icmp_echo_ignore_all", high=1),
    b"ipv4/icmp_echo_ignore_broadcasts": Param("icmp_echo_ignore_broadcasts", high=1),
    b"ipv4/icmp_ignore_bogus_error_responses": Param("icmp_ignore_bogus_error_responses", high=1),
    b"ipv4/icmp_errors_use_inbound_ifaddr": Param("icmp_errors_use_inbound_ifaddr", high=1),
    b"ipv4/icmp_ratemask": Param("icmp_ratemask", high=UINT_MAX),
    b"ipv4/tcp_adv_win_scale": Param("tcp_adv_win_scale", low=-31, high=31),
    b"ipv4/tcp_early_retrans": Param("tcp_early_retrans", high=4),
    b"ipv4/tcp_ecn": Param("tcp_ecn", high=5),
    b"ipv4/tcp_keepalive_probes": Param("tcp_keepalive_probes", high=255),
    b"ipv4/tcp_min_snd_mss": Param("tcp_min_snd_mss", low=48, high=65535),
    b"ipv4/tcp_notsent_lowat": Param("tcp_notsent_lowat", high=UINT_MAX),
    b"ipv4/tcp_orphan_retries": Param("tcp_orphan_retries", high=255),
    b"ipv4/tcp_recovery": Param("tcp_recovery", high=255),
    b"ipv4/tcp_reordering": Param("tcp_reordering", low=1, high=300),
    b"ipv4/tcp_retries1": Param("tcp_retries1", high=255),
    b"ipv4/tcp_retries2": Param("tcp_retries2", high=255),
    b"ipv4/tcp_sack": Param("tcp_sack", high=1),
    b"ipv4/tcp_syn_retries": Param("tcp_syn_retries", low=1, high=127),
    b"ipv4/tcp_synack_retries": Param("tcp_synack_retries", high=255),
    b"ipv4/tcp_syncookies": Param("tcp_syncookies", high=2),
    b"ipv4/tcp_timestamps": Param("tcp_timestamps", high=2),
    b"ipv4/tcp_tw_reuse": Param("tcp_tw_reuse", high=2),
    b"ipv4/tcp_window_scaling": Param("tcp_window_scaling", high=1),
    b"ipv4/udp_rmem_min": Param("udp_rmem_min", low=1),
    b"ipv4/udp_wmem_min": Param("udp_wmem_min", low=1),
    b"ipv4/ip_default_ttl": Param("default_ttl", low=1, high=255),
    b"ipv4/ip_local_port_range": Param("ip_local_port_range", low=1, high=65535, numbers=2),
    b"ipv4/ip_local_reserved_ports": Param("ip_local_reserved_ports", numbers=0),
    b"ipv4/ip_unprivileged_port_start": Param("ip_unprivileged_port_start", high=65535),
    b"ipv4/ping_group_range": Param("ping_group_range", high=UINT_MAX - 1, numbers=2),
    b"ipv4/route/min_pmtu": Param("min_pmtu", low=68),
    b"ipv4/route/mtu_expires": Param("mtu_expires"),
    b"ipv4/tcp_congestion_control": Param("tcp_congestion_control", numbers=0),
    b"ipv4/tcp_allowed_congestion_control": Param("tcp_allowed_congestion_control", numbers=0),
    b"ipv4/tcp_available_congestion_control": Param("tcp_available_congestion_control", numbers=0, mode=0o444),
    b"ipv4/tcp_rmem": Param("tcp_rmem", low=1, numbers=3),
    b"ipv4/tcp_wmem": Param("tcp_wmem", low=1, numbers=3),
    b"ipv4/conf/*/forwarding": Param("ip_forward"),
    **{
        b"ipv4/conf/*/" + name.encode(): Param(name)
        for name in (
            "accept_redirects secure_redirects send_redirects accept_source_route rp_filter log_martians "
            "accept_local arp_ignore arp_announce arp_accept arp_notify promote_secondaries "
            "force_igmp_version "
        ).split()
    },
    b"ipv6/conf/*/forwarding": Param("ipv6_forwarding"),
    b"ipv6/conf/*/disable_ipv6": Param("ipv6_disable", high=1),
    b"ipv6/conf/*/hop_limit": Param("ipv6_hop_limit", low=1, high=255),
    b"ipv6/conf/*/accept_ra": Param("ipv6_accept_ra"),
    b"ipv6/conf/*/accept_ra_defrtr": Param("ipv6_accept_ra_defrtr"),
    b"ipv6/conf/*/accept_ra_pinfo": Param("ipv6_accept_ra_pinfo"),
    b"ipv6/conf/*/accept_ra_mtu": Param("ipv6_accept_ra_mtu"),
    b"ipv6/conf/*/accept_redirects": Param("ipv6_accept_redirects"),
    b"ipv6/conf/*/autoconf": Param("ipv6_autoconf"),
    b"ipv6/conf/*/dad_transmits": Param("ipv6_dad_transmits"),
    b"ipv6/conf/*/accept_dad": Param("ipv6_accept_dad", low=-1),
    b"ipv6/conf/*/router_solicitations": Param("ipv6_router_solicitations", low=-1),
    b"ipv6/conf/*/router_solicitation_interval": Param("ipv6_router_solicitation_interval"),
    b"ipv6/conf/*/router_solicitation_max_interval": Param("ipv6_router_solicitation_max_interval"),
    b"ipv6/conf/*/router_solicitation_delay": Param("ipv6_router_solicitation_delay"),
    b"ipv6/conf/*/max_addresses": Param("ipv6_max_addresses"),
    b"ipv6/conf/*/keep_addr_on_down": Param("ipv6_keep_addr_on_down", low=-1),
    b"ipv6/conf/*/force_mld_version": Param("ipv6_force_mld_version"),
    b"ipv6/conf/*/mtu": Param("mtu6", b"1280"),
    b"ipv6/bindv6only": Param("ipv6_bindv6only", high=1),
    b"ipv6/auto_flowlabels": Param("ipv6_auto_flowlabels", high=3),
    b"ipv6/ip6frag_high_thresh": Param("ip6frag_high_thresh", high=LONG_MAX),
    b"ipv6/ip6frag_time": Param("ip6frag_time"),
    b"ipv6/icmp/ratelimit": Param("icmp6_ratelimit"),
    b"ipv6/icmp/echo_ignore_all": Param("icmp6_echo_ignore_all", high=1),
    b"ipv6/icmp/echo_ignore_multicast": Param("icmp6_echo_ignore_multicast", high=1),
    b"ipv6/mld_max_msf": Param("mld_max_msf"),
    b"ipv6/mld_qrv": Param("mld_qrv", low=1),
    b"ipv6/route/mtu_expires": Param("ipv6_mtu_expires"),
    b"core/somaxconn": Param("somaxconn"),
    b"core/rmem_default": Param("rmem_default", low=2304),
    b"core/rmem_max": Param("rmem_max", low=2304),
    b"core/wmem_default": Param("wmem_default", low=4608),
    b"core/wmem_max": Param("wmem_max", low=4608),
    b"core/optmem_max": Param("optmem_max"),
}

NEIGHBOR: dict[bytes, Param] = {
    b"base_reachable_time_ms": Param("neigh_base_reachable_time_ms"),
    b"base_reachable_time": Param("neigh_base_reachable_time_ms", scale=(1, 1000)),
    b"retrans_time_ms": Param("neigh_retrans_time_ms"),
    b"retrans_time": Param("neigh_retrans_time_ms", scale=(1, 10)),
    b"delay_first_probe_time": Param("neigh_delay_first_probe_time"),
    b"gc_stale_time": Param("neigh_gc_stale_time"),
    b"unres_qlen_bytes": Param("neigh_unres_qlen_bytes"),
    b"ucast_solicit": Param("neigh_ucast_solicit"),
    b"mcast_solicit": Param("neigh_mcast_solicit"),
}
THRESHOLDS = {b"gc_thresh%d" % at: Param(f"neigh_gc_thresh{at}") for at in (1, 2, 3)}

# Kept: path: first value.
_KEPT: dict[bytes, bytes] = {
    b"core/bpf_jit_enable": b"1",
    b"core/busy_poll": b"0",
    b"core/busy_read": b"0",
    b"core/default_qdisc": b"noqueue",
    b"core/dev_weight": b"64",
    b"core/message_burst": b"10",
    b"core/message_cost": b"5",
    b"core/netdev_budget": b"300",
    b"core/netdev_max_backlog": b"1000",
    b"core/tstamp_allow_data": b"1",
    b"core/txrehash": b"1",
    b"ipv4/conf/*/arp_evict_nocarrier": b"1",
    b"ipv4/conf/*/arp_filter": b"0",
    b"ipv4/conf/*/bc_forwarding": b"0",
    b"ipv4/conf/*/bootp_relay": b"0",
    b"ipv4/conf/*/disable_policy": b"1",
    b"ipv4/conf/*/drop_gratuitous_arp": b"0",
    b"ipv4/conf/*/drop_unicast_in_l2_multicast": b"0",
    b"ipv4/conf/*/igmpv2_unsolicited_report_interval": b"10000",
    b"ipv4/conf/*/igmpv3_unsolicited_report_interval": b"1000",
    b"ipv4/conf/*/ignore_routes_with_linkdown": b"0",
    b"ipv4/conf/*/medium_id": b"0",
    b"ipv4/conf/*/proxy_arp": b"0",
    b"ipv4/conf/*/proxy_arp_pvlan": b"0",
    b"ipv4/conf/*/route_localnet": b"0",
    b"ipv4/conf/*/shared_media": b"1",
    b"ipv4/conf/*/src_valid_mark": b"0",
    b"ipv4/conf/*/tag": b"0",
    b"ipv4/fib_notify_on_flag_change": b"0",
    b"ipv4/fib_sync_mem": b"524288",
    b"ipv4/fwmark_reflect": b"0",
    b"ipv4/icmp_echo_enable_probe": b"0",
    b"ipv4/igmp_link_local_mcast_reports": b"1",
    b"ipv4/inet_peer_maxttl": b"600",
    b"ipv4/inet_peer_minttl": b"120",
    b"ipv4/inet_peer_threshold": b"65664",
    b"ipv4/ip_autobind_reuse": b"0",
    b"ipv4/ip_dynaddr": b"0",
    b"ipv4/ip_early_demux": b"1",
    b"ipv4/ip_forward_update_priority": b"1",
    b"ipv4/ip_forward_use_pmtu": b"0",
    b"ipv4/ipfrag_low_thresh": b"3145728",
    b"ipv4/neigh/*/anycast_delay": b"100",
    b"ipv4/neigh/*/app_solicit": b"0",
    b"ipv4/neigh/*/interval_probe_time_ms": b"5000",
    b"ipv4/neigh/*/locktime": b"100",
    b"ipv4/neigh/*/mcast_resolicit": b"0",
    b"ipv4/neigh/*/proxy_delay": b"80",
    b"ipv4/neigh/*/proxy_qlen": b"64",
    b"ipv4/neigh/*/unres_qlen": b"101",
    b"ipv4/nexthop_compat_mode": b"1",
    b"ipv4/route/min_adv_mss": b"256",
    b"ipv4/tcp_app_win": b"31",
    b"ipv4/tcp_autocorking": b"1",
    b"ipv4/tcp_backlog_ack_defer": b"1",
    b"ipv4/tcp_child_ehash_entries": b"0",
    b"ipv4/tcp_comp_sack_delay_ns": b"1000000",
    b"ipv4/tcp_comp_sack_nr": b"44",
    b"ipv4/tcp_comp_sack_slack_ns": b"100000",
    b"ipv4/tcp_early_demux": b"1",
    b"ipv4/tcp_ecn_fallback": b"1",
    b"ipv4/tcp_ecn_option": b"2",
    b"ipv4/tcp_ecn_option_beacon": b"3",
    b"ipv4/tcp_fack": b"0",
    b"ipv4/tcp_fastopen_blackhole_timeout_sec": b"0",
    b"ipv4/tcp_frto": b"2",
    b"ipv4/tcp_fwmark_accept": b"0",
    b"ipv4/tcp_limit_output_bytes": b"4194304",
    b"ipv4/tcp_low_latency": b"0",
    b"ipv4/tcp_max_reordering": b"300",
    b"ipv4/tcp_mem": b"190000\t253000\t380000",
    b"ipv4/tcp_migrate_req": b"0",
    b"ipv4/tcp_min_rtt_wlen": b"300",
    b"ipv4/tcp_min_tso_segs": b"2",
    b"ipv4/tcp_mtu_probe_floor": b"48",
    b"ipv4/tcp_no_ssthresh_metrics_save": b"1",
    b"ipv4/tcp_pacing_ca_ratio": b"120",
    b"ipv4/tcp_pacing_ss_ratio": b"200",
    b"ipv4/tcp_pingpong_thresh": b"1",
    b"ipv4/tcp_probe_interval": b"600",
    b"ipv4/tcp_probe_threshold": b"8",
    b"ipv4/tcp_reflect_tos": b"0",
    b"ipv4/tcp_retrans_collapse": b"1",
    b"ipv4/tcp_rto_max_ms": b"120000",
    b"ipv4/tcp_rto_min_us": b"200000",
    b"ipv4/tcp_shrink_window": b"0",
    b"ipv4/tcp_stdurg": b"0",
    b"ipv4/tcp_syn_linear_timeouts": b"4",
    b"ipv4/tcp_thin_linear_timeouts": b"0",
    b"ipv4/tcp_tso_rtt_log": b"9",
    b"ipv4/tcp_tso_win_divisor": b"3",
    b"ipv4/tcp_tw_reuse_delay": b"1000",
    b"ipv4/tcp_workaround_signed_windows": b"0",
    b"ipv4/udp_child_hash_entries": b"0",
    b"ipv4/udp_early_demux": b"1",
    b"ipv4/udp_mem": b"380000\t507000\t760000",
    b"ipv6/anycast_src_echo_reply": b"0",
    b"ipv6/conf/*/accept_ra_from_local": b"0",
    b"ipv6/conf/*/accept_ra_min_hop_limit": b"1",
    b"ipv6/conf/*/accept_ra_min_lft": b"0",
    b"ipv6/conf/*/accept_ra_rt_info_max_plen": b"0",
    b"ipv6/conf/*/accept_ra_rt_info_min_plen": b"0",
    b"ipv6/conf/*/accept_ra_rtr_pref": b"1",
    b"ipv6/conf/*/accept_source_route": b"0",
    b"ipv6/conf/*/accept_untracked_na": b"0",
    b"ipv6/conf/*/addr_gen_mode": b"0",
    b"ipv6/conf/*/disable_policy": b"0",
    b"ipv6/conf/*/drop_unicast_in_l2_multicast": b"0",
    b"ipv6/conf/*/drop_unsolicited_na": b"0",
    b"ipv6/conf/*/enhanced_dad": b"1",
    b"ipv6/conf/*/force_forwarding": b"0",
    b"ipv6/conf/*/force_tllao": b"0",
    b"ipv6/conf/*/ignore_routes_with_linkdown": b"0",
    b"ipv6/conf/*/max_desync_factor": b"600",
    b"ipv6/conf/*/mldv1_unsolicited_report_interval": b"10000",
    b"ipv6/conf/*/mldv2_unsolicited_report_interval": b"1000",
    b"ipv6/conf/*/ndisc_evict_nocarrier": b"1",
    b"ipv6/conf/*/ndisc_notify": b"0",
    b"ipv6/conf/*/ndisc_tclass": b"0",
    b"ipv6/conf/*/optimistic_dad": b"0",
    b"ipv6/conf/*/proxy_ndp": b"0",
    b"ipv6/conf/*/ra_defrtr_metric": b"1024",
    b"ipv6/conf/*/ra_honor_pio_life": b"0",
    b"ipv6/conf/*/ra_honor_pio_pflag": b"0",
    b"ipv6/conf/*/regen_max_retry": b"3",
    b"ipv6/conf/*/regen_min_advance": b"2",
    b"ipv6/conf/*/router_probe_interval": b"60",
    b"ipv6/conf/*/suppress_frag_ndisc": b"1",
    b"ipv6/conf/*/temp_prefered_lft": b"86400",
    b"ipv6/conf/*/temp_valid_lft": b"604800",
    b"ipv6/conf/*/use_oif_addrs_only": b"0",
    b"ipv6/conf/*/use_optimistic": b"0",
    b"ipv6/conf/*/use_tempaddr": b"-1",
    b"ipv6/fib_notify_on_flag_change": b"0",
    b"ipv6/flowlabel_consistency": b"1",
    b"ipv6/flowlabel_reflect": b"0",
    b"ipv6/flowlabel_state_ranges": b"0",
    b"ipv6/fwmark_reflect": b"0",
    b"ipv6/icmp/echo_ignore_anycast": b"0",
    b"ipv6/icmp/error_anycast_as_unicast": b"0",
    b"ipv6/icmp/ratemask": b"0-1\t3-127",
    b"ipv6/idgen_delay": b"1",
    b"ipv6/idgen_retries": b"3",
    b"ipv6/ip6frag_low_thresh": b"3145728",
    b"ipv6/ip_nonlocal_bind": b"0",
    b"ipv6/max_dst_opts_length": b"2147483647",
    b"ipv6/max_dst_opts_number": b"8",
    b"ipv6/max_hbh_length": b"2147483647",
    b"ipv6/max_hbh_opts_number": b"8",
    b"ipv6/route/gc_elasticity": b"9",
    b"ipv6/route/gc_interval": b"30",
    b"ipv6/route/gc_min_interval": b"0",
    b"ipv6/route/gc_min_interval_ms": b"500",
    b"ipv6/route/gc_thresh": b"1024",
    b"ipv6/route/gc_timeout": b"60",
    b"ipv6/route/max_size": b"2147483647",
    b"ipv6/route/min_adv_mss": b"1220",
    b"ipv6/route/skip_notify_on_dev_down": b"0",
    b"unix/max_dgram_qlen": b"512",
}
_TEXTS = (b"core/default_qdisc", b"ipv6/icmp/ratemask")
KEPT = {
    path: Param("", value, -1, LONG_MAX, 0 if path in _TEXTS else value.count(b"\t") + 1)
    for path, value in _KEPT.items()
}
for _family in (b"ipv4", b"ipv6"):
    for _name, _param in NEIGHBOR.items():
        KEPT[_family + b"/neigh/*/" + _name] = _param
    for _name, _param in THRESHOLDS.items():
        KEPT[_family + b"/neigh/default/" + _name] = _param
    KEPT[_family + b"/route/flush"] = Param("", mode=0o200)
ALL: dict[bytes, Param] = {**KEPT, **SETTINGS}
