"""TCP_INFO of a connection over packets (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.tcp.congestion import INFINITE
from netstack.tcp.info import OPT_ECN, OPT_SACK, OPT_TIMESTAMPS, OPT_WSCALE, TcpInfo
from netstack.tcp.opening import advertised_mss
from netstack.tcp.state import SYN_SENT

if TYPE_CHECKING:
    from netstack.tcp.tcb import Tcb

MILLISECOND, MICROSECOND = 1_000_000, 1000


def report(tcb: Tcb) -> TcpInfo:
    socket = tcb.socket
    if socket.state == SYN_SENT:
        return TcpInfo(
            SYN_SENT, retransmits=tcb.syn_tries - 1, backoff=tcb.syn_tries - 1, rto=1_000_000, unacked=1,
            pmtu=tcb.path.mtu, advmss=advertised_mss(tcb.path, socket.options),
        )  # fmt: skip
    snd, rcv, terms, now_ns = tcb.snd, tcb.rcv, tcb.terms, tcb.stack.now_ns
    rec, rtt, mss = snd.rec, snd.rtt, snd.mss
    cc = rec.cc
    options = OPT_TIMESTAMPS * terms.timestamps | OPT_SACK * terms.sack | OPT_WSCALE * (terms.scale is not None)
    window = max(rcv.edge - rcv.nxt, 0)
    acked = min(rec.una, snd.tx.end) - tcb.iss - 1
    return TcpInfo(
        socket.state,
        ca_state=rec.state,
        retransmits=rec.timeouts,
        probes=snd.probes or tcb.keep_probes,
        backoff=rtt.backoffs,
        options=options | OPT_ECN * tcb.ecn,
        snd_wscale=terms.scale or 0,
        rcv_wscale=tcb.own_scale,
        rto=rtt.rto_ns // MICROSECOND,
        ato=40_000,
        snd_mss=mss,
        rcv_mss=rcv.mss,
        unacked=-(-(rec.nxt - rec.una) // mss),
        sacked=-(-rec.sacked_bytes // mss),
        lost=-(-rec.lost_bytes // mss),
        last_data_sent=(now_ns - snd.last_data_ns) // MILLISECOND,
        last_data_recv=(now_ns - rcv.last_data_ns) // MILLISECOND,
        last_ack_recv=(now_ns - tcb.heard_ns) // MILLISECOND,
        pmtu=tcb.path.mtu,
        rcv_ssthresh=window,
        rtt=rtt.srtt_ns // MICROSECOND,
        rttvar=rtt.rttvar_ns // MICROSECOND,
        snd_ssthresh=0x7FFFFFFF if cc.ssthresh >= INFINITE else cc.ssthresh // mss,
        snd_cwnd=max(cc.cwnd // mss, 1),
        advmss=advertised_mss(tcb.path, socket.options) - 12 * terms.timestamps,
        rcv_space=rcv.capacity,
        total_retrans=rec.retransmits,
        bytes_acked=acked,
        bytes_received=socket.rx.end - tcb.irs - 1,
        segs_out=tcb.segments_out,
        segs_in=tcb.segments_in,
        notsent_bytes=snd.unsent(),
        min_rtt=rtt.min_rtt_ns // MICROSECOND,
        data_segs_in=rcv.segments,
        data_segs_out=snd.segments,
        delivered=-(-rec.delivered_bytes // mss),
        bytes_sent=min(rec.nxt, snd.tx.end) - tcb.iss - 1 + rec.retransmitted_bytes,
        bytes_retrans=rec.retransmitted_bytes,
        dsack_dups=rec.dsacks,
        reord_seen=int(rec.reordering_seen),
        snd_wnd=snd.wnd,
    )
