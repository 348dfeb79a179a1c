"""What /proc/net/snmp, /proc/net/snmp6 and /proc/net/netstat show: counters by the names that stand there."""

from __future__ import annotations

IP = (
    "InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers OutRequests OutDiscards "
    "OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs FragFails FragCreates OutTransmits"
).split()  # fmt: skip
IP6 = (
    "InReceives InHdrErrors InTooBigErrors InNoRoutes InAddrErrors InUnknownProtos InTruncatedPkts InDiscards "
    "InDelivers OutForwDatagrams OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails "
    "FragOKs FragFails FragCreates InMcastPkts OutMcastPkts InOctets OutOctets InMcastOctets OutMcastOctets "
    "InBcastOctets OutBcastOctets InNoECTPkts InECT1Pkts InECT0Pkts InCEPkts OutTransmits"
).split()
ICMP = (
    "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos InEchoReps "
    "InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal OutRateLimitHost "
    "OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos OutEchoReps OutTimestamps "
    "OutTimestampReps OutAddrMasks OutAddrMaskReps"
).split()
ICMP6 = (
    "InMsgs InErrors OutMsgs OutErrors InCsumErrors OutRateLimitHost InDestUnreachs InPktTooBigs InTimeExcds "
    "InParmProblems InEchos InEchoReplies InGroupMembQueries InGroupMembResponses InGroupMembReductions "
    "InRouterSolicits InRouterAdvertisements InNeighborSolicits InNeighborAdvertisements InRedirects InMLDv2Reports "
    "OutDestUnreachs OutPktTooBigs OutTimeExcds OutParmProblems OutEchos OutEchoReplies OutGroupMembQueries "
    "OutGroupMembResponses OutGroupMembReductions OutRouterSolicits OutRouterAdvertisements OutNeighborSolicits "
    "OutNeighborAdvertisements OutRedirects OutMLDv2Reports"
).split()
UDP = (
    "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors"
).split()  # fmt: skip
TCP = (
    "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs "
    "RetransSegs InErrs OutRsts InCsumErrors"
).split()


class NetCounters:
    """One dict for each group; whoever counts holds the dict: `counters.ip["InReceives"] += 1`. `tcp_ext` and `ip_ext`
    (/proc/net/netstat) start nearly empty and are filled by name as things happen, with `bump`."""

    def __init__(self) -> None:
        self.ip = dict.fromkeys(IP, 0)
        self.ip6 = dict.fromkeys(IP6, 0)
        self.icmp = dict.fromkeys(ICMP, 0)
        self.icmp6 = dict.fromkeys(ICMP6, 0)
        self.icmp_in_types: dict[int, int] = {}
        self.icmp_out_types: dict[int, int] = {}
        self.icmp6_in_types: dict[int, int] = {}
        self.icmp6_out_types: dict[int, int] = {}
        self.udp = dict.fromkeys(UDP, 0)
        self.udp6 = dict.fromkeys(UDP, 0)
        self.tcp = dict.fromkeys(TCP, 0)
        self.tcp.update(RtoAlgorithm=1, RtoMin=200, RtoMax=120000, MaxConn=-1)
        self.tcp_ext: dict[str, int] = {}
        self.ip_ext = {"InOctets": 0, "OutOctets": 0}


def bump(group: dict[str, int], name: str, by: int = 1) -> None:
    """Count in a group that is filled as things happen."""
    group[name] = group.get(name, 0) + by
