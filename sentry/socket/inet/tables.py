"""Options of IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP and SOL_SOCKET by number (ip(7), ipv6(7), tcp(7), socket(7)).

What each is called in the stack, what it is at first, and what it may be. Numbers that need more than this are in
options.py and tcp_options.py.
"""

from __future__ import annotations

from typing import NamedTuple

from sentry.abi import flags as abi
from sentry.abi.flags import IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP

INT_MAX = 0x7FFFFFFF
PKTINFO_2292, HOPOPTS_2292, DSTOPTS_2292, RTHDR_2292, HOPLIMIT_2292 = 2, 3, 4, 5, 8  # as RFC 2292 had them


class Option(NamedTuple):
    """A number between `low` and `high`.

    name     the attribute of the endpoint's options that holds it; where the stack has none it is kept and given back
    cap      the capability that setting it takes, -1 for none
    boolean  any number that is not 0 is 1
    system   the sysctl whose value holds while this one is -1
    """

    name: str
    start: int = 0
    low: int = 0
    high: int = INT_MAX
    cap: int = -1
    boolean: bool = False
    system: str = ""


def flag(name: str, start: int = 0, cap: int = -1) -> Option:
    """Any number that is not 0 is 1."""
    return Option(name, start, cap=cap, boolean=True)


IP = {
    abi.IP_TOS: Option("tos", 0, -INT_MAX - 1),  # the value is cut to a byte, ECN bits of a stream stay (options.py)
    abi.IP_TTL: Option("ttl", 64, 1, 255),
    abi.IP_HDRINCL: flag("header_included"),
    abi.IP_ROUTER_ALERT: flag("router_alert"),
    abi.IP_RECVOPTS: flag("receive_options"),
    abi.IP_RETOPTS: flag("return_options"),
    abi.IP_PKTINFO: flag("packet_info"),
    abi.IP_MTU_DISCOVER: Option("mtu_discover", 1, 0, 5),
    abi.IP_RECVERR: flag("receive_errors"),
    abi.IP_RECVTTL: flag("receive_ttl"),
    abi.IP_RECVTOS: flag("receive_tos"),
    abi.IP_UNICAST_IF: Option("unicast_iface"),
    abi.IP_FREEBIND: flag("free_bind"),
    abi.IP_PASSSEC: flag("pass_security"),
    abi.IP_TRANSPARENT: flag("transparent", 0, abi.CAP_NET_RAW),
    abi.IP_RECVORIGDSTADDR: flag("receive_original_address"),
    abi.IP_MINTTL: Option("minimum_ttl", 0, 0, 255),
    abi.IP_NODEFRAG: flag("no_defragmentation"),
    abi.IP_CHECKSUM: flag("receive_checksum"),
    abi.IP_BIND_ADDRESS_NO_PORT: flag("bind_no_port"),
    abi.IP_RECVFRAGSIZE: flag("receive_fragment_size"),
    abi.IP_RECVERR_RFC4884: flag("receive_errors_rfc4884"),
    abi.IP_MULTICAST_TTL: Option("multicast_ttl", 1, 0, 255),
    abi.IP_MULTICAST_LOOP: flag("multicast_loop", 1),
    abi.IP_MULTICAST_ALL: flag("multicast_all", 1),
}

IPV6 = {
    PKTINFO_2292: flag("packet_info6_2292"),
    HOPOPTS_2292: flag("receive_hop_options_2292"),
    DSTOPTS_2292: flag("receive_destination_options_2292"),
    RTHDR_2292: flag("receive_routing_header_2292"),
    HOPLIMIT_2292: flag("receive_hop_limit_2292"),
    abi.IPV6_FLOWINFO: flag("receive_flow_info"),
    abi.IPV6_UNICAST_HOPS: Option("hop_limit", 64, -1, 255),
    abi.IPV6_MULTICAST_HOPS: Option("multicast_hops", 1, -1, 255),
    abi.IPV6_MULTICAST_LOOP: flag("multicast_loop6", 1),
    abi.IPV6_ROUTER_ALERT: flag("router_alert"),
    abi.IPV6_MTU_DISCOVER: Option("mtu_discover6", 1, 0, 5),
    abi.IPV6_RECVERR: flag("receive_errors6"),
    abi.IPV6_MULTICAST_ALL: flag("multicast_all6", 1),
    abi.IPV6_ROUTER_ALERT_ISOLATE: flag("router_alert_isolate"),
    abi.IPV6_RECVERR_RFC4884: flag("receive_errors_rfc4884"),
    abi.IPV6_FLOWINFO_SEND: flag("flow_info_send"),
    abi.IPV6_RECVPKTINFO: flag("packet_info6"),
    abi.IPV6_RECVHOPLIMIT: flag("receive_hop_limit"),
    abi.IPV6_RECVHOPOPTS: flag("receive_hop_options"),
    abi.IPV6_RECVRTHDR: flag("receive_routing_header"),
    abi.IPV6_RECVDSTOPTS: flag("receive_destination_options"),
    abi.IPV6_RECVPATHMTU: flag("receive_path_mtu"),
    abi.IPV6_DONTFRAG: flag("dont_fragment"),
    abi.IPV6_RECVTCLASS: flag("receive_traffic_class"),
    abi.IPV6_TCLASS: Option("traffic_class", 0, -1, 255),
    abi.IPV6_AUTOFLOWLABEL: flag("auto_flow_label", 1),
    abi.IPV6_ADDR_PREFERENCES: Option("address_preferences", 0),
    abi.IPV6_MINHOPCOUNT: Option("minimum_hops", 0, 0, 255),
    abi.IPV6_RECVORIGDSTADDR: flag("receive_original_address"),
    abi.IPV6_TRANSPARENT: flag("transparent", 0, abi.CAP_NET_RAW),
    abi.IPV6_RECVFRAGSIZE: flag("receive_fragment_size"),
    abi.IPV6_FREEBIND: flag("free_bind"),
}

TCP = {
    abi.TCP_NODELAY: flag("nodelay"),
    abi.TCP_CORK: flag("cork"),
    abi.TCP_KEEPIDLE: Option("keep_idle_s", 0, 1, 32767, system="tcp_keepalive_time"),
    abi.TCP_KEEPINTVL: Option("keep_interval_s", 0, 1, 32767, system="tcp_keepalive_intvl"),
    abi.TCP_KEEPCNT: Option("keep_count", 0, 1, 127, system="tcp_keepalive_probes"),
    abi.TCP_SYNCNT: Option("syn_count", 0, 1, 127, system="tcp_syn_retries"),
    abi.TCP_QUICKACK: Option("quick_ack", 1, -INT_MAX - 1),
    abi.TCP_USER_TIMEOUT: Option("user_timeout_ms"),
    abi.TCP_THIN_LINEAR_TIMEOUTS: Option("thin_linear_timeouts", 0, 0, 1),
    abi.TCP_THIN_DUPACK: Option("thin_dupack", 0, 0, 1),
    abi.TCP_FASTOPEN: Option("fast_open"),
    abi.TCP_FASTOPEN_CONNECT: Option("fast_open_connect", 0, 0, 1),
    abi.TCP_FASTOPEN_NO_COOKIE: Option("fast_open_no_cookie", 0, 0, 1),
    abi.TCP_NOTSENT_LOWAT: Option("notsent_low", 0, -INT_MAX - 1),
    abi.TCP_INQ: Option("inquire", 0, 0, 1),
    abi.TCP_SAVE_SYN: Option("save_syn", 0, 0, 2),
    abi.TCP_TX_DELAY: Option("transmit_delay_us"),
    abi.TCP_ZEROCOPY_RECEIVE: Option("zero_copy_receive"),
}

LEVELS: dict[int, dict[int, Option]] = {IPPROTO_IP: IP, IPPROTO_IPV6: IPV6, IPPROTO_TCP: TCP}

# SOL_SOCKET: kept in sentry/socket/options.py; the stack is told of these.
TOLD = {
    abi.SO_REUSEADDR: "reuse_address",
    abi.SO_REUSEPORT: "reuse_port",
    abi.SO_BROADCAST: "broadcast",
    abi.SO_KEEPALIVE: "keepalive",
    abi.SO_OOBINLINE: "oob_inline",
    abi.SO_DONTROUTE: "dont_route",
    abi.SO_NO_CHECK: "no_check",
    abi.SO_MARK: "mark",
    abi.SO_PRIORITY: "priority",
    abi.SO_RCVLOWAT: "low_water",
    abi.SO_PEEK_OFF: "peek_offset",
    abi.SO_RXQ_OVFL: "count_drops",
}
# More of SOL_SOCKET that is kept and given back: (first value, size in bytes).
KEPT = {
    abi.SO_BSDCOMPAT: (0, 4), abi.SO_WIFI_STATUS: (0, 4), abi.SO_NOFCS: (0, 4), abi.SO_TIMESTAMPING: (0, 8),
    abi.SO_TIMESTAMPING_NEW: (0, 8), abi.SO_MAX_PACING_RATE: ((1 << 64) - 1, 8), abi.SO_BPF_EXTENSIONS: (64, 4),
    abi.SO_INCOMING_NAPI_ID: (0, 4), abi.SO_ZEROCOPY: (0, 4), abi.SO_TXTIME: (0, 8), abi.SO_PREFER_BUSY_POLL: (0, 4),
    abi.SO_BUF_LOCK: (0, 4), abi.SO_RESERVE_MEM: (0, 4), abi.SO_RCVMARK: (0, 4), abi.SO_RCVPRIORITY: (0, 4),
}  # fmt: skip
# Known to getsockopt and setsockopt, but only to unix sockets and netlink.
NOT_INET = frozenset((abi.SO_PASSCRED, abi.SO_PASSSEC, abi.SO_PASSPIDFD, abi.SO_PASSRIGHTS))
