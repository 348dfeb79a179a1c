"""Counters of a network namespace under /proc/net (proc_pid_net(5)): snmp, snmp6, netstat."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from netstack.counters import UDP
from netstack.tcp.state import CLOSE_WAIT, ESTABLISHED
from sentry.net import listing

if TYPE_CHECKING:
    from sentry.net.namespace import NetNamespace

# The names of netstat's lines, which programs find their way by.
TCP_EXT = (
    "SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled RcvPruned OfoPruned "
    "OutOfWindowIcmps LockDroppedIcmps ArpFilter TW TWRecycled TWKilled PAWSActive PAWSEstab BeyondWindow "
    "TSEcrRejected PAWSOldAck PAWSTimewait DelayedACKs DelayedACKLocked DelayedACKLost ListenOverflows "
    "ListenDrops TCPHPHits TCPPureAcks TCPHPAcks TCPRenoRecovery TCPSackRecovery TCPSACKReneging TCPSACKReorder "
    "TCPRenoReorder TCPTSReorder TCPFullUndo TCPPartialUndo TCPDSACKUndo TCPLossUndo TCPLostRetransmit "
    "TCPRenoFailures TCPSackFailures TCPLossFailures TCPFastRetrans TCPSlowStartRetrans TCPTimeouts TCPLossProbes "
    "TCPLossProbeRecovery TCPRenoRecoveryFail TCPSackRecoveryFail TCPRcvCollapsed TCPBacklogCoalesce "
    "TCPDSACKOldSent TCPDSACKOfoSent TCPDSACKRecv TCPDSACKOfoRecv TCPAbortOnData TCPAbortOnClose TCPAbortOnMemory "
    "TCPAbortOnTimeout TCPAbortOnLinger TCPAbortFailed TCPMemoryPressures TCPMemoryPressuresChrono TCPSACKDiscard "
    "TCPDSACKIgnoredOld TCPDSACKIgnoredNoUndo TCPSpuriousRTOs TCPMD5NotFound TCPMD5Unexpected TCPMD5Failure "
    "TCPSackShifted TCPSackMerged TCPSackShiftFallback TCPBacklogDrop PFMemallocDrop TCPMinTTLDrop "
    "TCPDeferAcceptDrop IPReversePathFilter TCPTimeWaitOverflow TCPReqQFullDoCookies TCPReqQFullDrop "
    "TCPRetransFail TCPRcvCoalesce TCPOFOQueue TCPOFODrop TCPOFOMerge TCPChallengeACK TCPSYNChallenge "
    "TCPFastOpenActive TCPFastOpenActiveFail TCPFastOpenPassive TCPFastOpenPassiveFail TCPFastOpenListenOverflow "
    "TCPFastOpenCookieReqd TCPFastOpenBlackhole TCPSpuriousRtxHostQueues BusyPollRxPackets TCPAutoCorking "
    "TCPFromZeroWindowAdv TCPToZeroWindowAdv TCPWantZeroWindowAdv TCPSynRetrans TCPOrigDataSent "
    "TCPHystartTrainDetect TCPHystartTrainCwnd TCPHystartDelayDetect TCPHystartDelayCwnd TCPACKSkippedSynRecv "
    "TCPACKSkippedPAWS TCPACKSkippedSeq TCPACKSkippedFinWait2 TCPACKSkippedTimeWait TCPACKSkippedChallenge "
    "TCPWinProbe TCPKeepAlive TCPMTUPFail TCPMTUPSuccess TCPDelivered TCPDeliveredCE TCPAckCompressed "
    "TCPZeroWindowDrop TCPRcvQDrop TCPWqueueTooBig TCPFastOpenPassiveAltKey TcpTimeoutRehash "
    "TcpDuplicateDataRehash TCPDSACKRecvSegs TCPDSACKIgnoredDubious TCPMigrateReqSuccess TCPMigrateReqFailure "
    "TCPPLBRehash TCPAORequired TCPAOBad TCPAOKeyNotFound TCPAOGood TCPAODroppedIcmps "
).split()
IP_EXT = (
    "InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets "
    "InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts InECT0Pkts "
    "InCEPkts ReasmOverlaps "
).split()


def _pair(title: str, values: dict[str, int]) -> str:
    return f"{title}: {' '.join(values)}\n{title}: {' '.join(map(str, values.values()))}\n"


def _established(net: NetNamespace) -> int:
    return sum(1 for row in listing.tcp(net) if row.state in (ESTABLISHED, CLOSE_WAIT))


def snmp(net: NetNamespace) -> bytes:
    stack = net.enter()
    counters, settings = stack.counters, stack.settings
    head = {"Forwarding": 1 if settings.ip_forward else 2, "DefaultTTL": settings.default_ttl}
    lines = [_pair("Ip", head | counters.ip), _pair("Icmp", counters.icmp)]
    types = {f"InType{kind}": count for kind, count in sorted(counters.icmp_in_types.items())}
    types |= {f"OutType{kind}": count for kind, count in sorted(counters.icmp_out_types.items())}
    if types:
        lines.append(_pair("IcmpMsg", types))
    lines.append(_pair("Tcp", counters.tcp | {"CurrEstab": _established(net)}))
    lines += [_pair("Udp", counters.udp), _pair("UdpLite", dict.fromkeys(UDP, 0))]
    return "".join(lines).encode()


def snmp6(net: NetNamespace) -> bytes:
    counters = net.enter().counters
    found = {f"Ip6{name}": count for name, count in counters.ip6.items()}
    found |= {f"Icmp6{name}": count for name, count in counters.icmp6.items()}
    found |= {f"Icmp6InType{kind}": count for kind, count in sorted(counters.icmp6_in_types.items())}
    found |= {f"Icmp6OutType{kind}": count for kind, count in sorted(counters.icmp6_out_types.items())}
    found |= {f"Udp6{name}": count for name, count in counters.udp6.items()}
    found |= {f"UdpLite6{name}": 0 for name in UDP}
    return "".join(f"{name:<32}\t{count}\n" for name, count in found.items()).encode()


def netstat(net: NetNamespace) -> bytes:
    counters = net.enter().counters
    tcp = dict.fromkeys(TCP_EXT, 0) | counters.tcp_ext
    ip = dict.fromkeys(IP_EXT, 0) | counters.ip_ext
    return (_pair("TcpExt", tcp) + _pair("IpExt", ip)).encode()


FILES: dict[bytes, Callable[[NetNamespace], bytes]] = {b"snmp": snmp, b"snmp6": snmp6, b"netstat": netstat}
