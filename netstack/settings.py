"""The sysctls of one network namespace, as attributes, with Linux's defaults (Documentation/networking/ip-sysctl).

Values are what the files under /proc/sys/net say: seconds where they say seconds, bytes where they say bytes."""

from __future__ import annotations

from collections.abc import Callable


class Settings:
    """Written by anybody at any time, which `changed` is told of by name; read where the value is needed."""

    def __init__(self, changed: Callable[[str], None] = lambda name: None) -> None:
        self.changed: Callable[[str], None] = lambda name: None  # the defaults are no change
        # net.ipv4
        self.ip_forward = 0
        self.default_ttl = 64
        self.ip_nonlocal_bind = 0
        self.ip_no_pmtu_disc = 0
        self.min_pmtu = 552  # route/min_pmtu
        self.mtu_expires = 600  # route/mtu_expires
        self.ip_local_port_range = (32768, 60999)
        self.ip_local_reserved_ports: tuple[tuple[int, int], ...] = ()
        self.ip_unprivileged_port_start = 1024
        self.ping_group_range = (1, 0)
        self.igmp_max_memberships = 20
        self.igmp_max_msf = 10
        self.igmp_qrv = 2
        self.ipfrag_high_thresh = 4194304
        self.ipfrag_time = 30
        self.icmp_echo_ignore_all = 0
        self.icmp_echo_ignore_broadcasts = 1
        self.icmp_ratelimit = 1000
        self.icmp_ratemask = 6168
        self.icmp_msgs_per_sec = 1000
        self.icmp_msgs_burst = 50
        # net.ipv4.conf.all
        self.accept_redirects = 1
        self.secure_redirects = 1
        self.send_redirects = 1
        self.accept_source_route = 0
        self.rp_filter = 0
        self.accept_local = 0
        self.arp_ignore = 0
        self.arp_accept = 0
        self.promote_secondaries = 0
        self.force_igmp_version = 0
        # net.ipv4.neigh.default and net.ipv6.neigh.default
        self.neigh_base_reachable_time_ms = 30000
        self.neigh_retrans_time_ms = 1000
        self.neigh_delay_first_probe_time = 5
        self.neigh_gc_stale_time = 60
        self.neigh_gc_thresh1 = 128
        self.neigh_gc_thresh3 = 1024
        self.neigh_unres_qlen_bytes = 212992
        self.neigh_ucast_solicit = 3
        self.neigh_mcast_solicit = 3
        # net.ipv6
        self.ipv6_bindv6only = 0
        self.ip6frag_time = 60
        self.icmp6_ratelimit = 1000
        self.icmp6_echo_ignore_all = 0
        self.icmp6_echo_ignore_multicast = 0
        self.mld_max_msf = 64
        self.mld_qrv = 2
        # net.ipv6.conf.all
        self.ipv6_forwarding = 0
        self.ipv6_disable = 0
        self.ipv6_hop_limit = 64
        self.ipv6_mtu_expires = 600
        self.ipv6_accept_ra = 1
        self.ipv6_accept_ra_defrtr = 1
        self.ipv6_accept_ra_pinfo = 1
        self.ipv6_accept_ra_mtu = 1
        self.ipv6_accept_redirects = 1
        self.ipv6_autoconf = 1
        self.ipv6_dad_transmits = 1
        self.ipv6_accept_dad = 1
        self.ipv6_router_solicitations = -1  # for ever, with back-off (RFC 7559)
        self.ipv6_router_solicitation_interval = 4
        self.ipv6_router_solicitation_max_interval = 3600
        self.ipv6_router_solicitation_delay = 1
        self.ipv6_max_addresses = 16
        self.ipv6_keep_addr_on_down = 0
        self.ipv6_force_mld_version = 0
        # net.ipv4.tcp_*
        self.tcp_abort_on_overflow = 0
        self.tcp_congestion_control = "cubic"
        self.tcp_available_congestion_control = "reno cubic"
        self.tcp_allowed_congestion_control = "reno cubic"
        self.tcp_dsack = 1
        self.tcp_early_retrans = 3
        self.tcp_ecn = 2
        self.tcp_fin_timeout = 60
        self.tcp_keepalive_intvl = 75
        self.tcp_keepalive_probes = 9
        self.tcp_keepalive_time = 7200
        self.tcp_max_orphans = 8192
        self.tcp_max_syn_backlog = 512
        self.tcp_max_tw_buckets = 8192
        self.tcp_moderate_rcvbuf = 1
        self.tcp_notsent_lowat = 0xFFFFFFFF
        self.tcp_orphan_retries = 0
        self.tcp_retries1 = 3
        self.tcp_retries2 = 15
        self.tcp_rfc1337 = 0
        self.tcp_rmem = (4096, 131072, 6291456)
        self.tcp_sack = 1
        self.tcp_slow_start_after_idle = 1
        self.tcp_syn_retries = 6
        self.tcp_synack_retries = 5
        self.tcp_syncookies = 1
        self.tcp_timestamps = 1
        self.tcp_tw_reuse = 2
        self.tcp_window_scaling = 1
        self.tcp_wmem = (4096, 16384, 4194304)
        self.tcp_invalid_ratelimit = 500
        self.tcp_challenge_ack_limit = 1000
        # net.core and net.ipv4.udp_*
        self.somaxconn = 4096
        self.rmem_default = 212992
        self.rmem_max = 212992
        self.wmem_default = 212992
        self.wmem_max = 212992
        self.optmem_max = 20480
        self.changed = changed

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        self.changed(name)
