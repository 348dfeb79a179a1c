"""The end of a sandbox: what its programs have sent, and the ends of their connections, still reach their peers.

On Linux a connection outlives the process that has closed it, which a program that answers and ends relies on. Here
the stack would be gone with pid 1, so the sandbox stays a moment longer, as short as the peers' acknowledgements are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.tcp.tcb import Tcb

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.kernel.kernel import Kernel

MILLISECOND_NS = 1_000_000
PATIENCE_NS = 5000 * MILLISECOND_NS  # in all
QUIET_NS = 1000 * MILLISECOND_NS  # without a peer acknowledging anything


def settle(kernel: Kernel) -> None:
    """Once no guest runs any more: serve the stack until nothing is owed, or no peer takes it."""
    net = kernel.net
    now_ns = kernel.now_ns()
    end_ns, quiet_ns = now_ns + PATIENCE_NS, now_ns + QUIET_NS
    owed = _owed(net.enter())
    while owed and now_ns < min(end_ns, quiet_ns):
        deadline_ns = min(end_ns, quiet_ns)
        next_ns = kernel.until_ns()
        if 0 <= next_ns < deadline_ns:
            deadline_ns = next_ns
        kernel.platform.idle(kernel, max(deadline_ns - now_ns, 0))
        kernel.turn(True)
        now_ns = kernel.now_ns()
        left = _owed(net.enter())
        if left < owed:
            quiet_ns = now_ns + QUIET_NS
        owed = left


def _owed(stack: Stack) -> int:
    """Bytes that closed sockets have taken and no peer has acknowledged; a FIN is one."""
    connections = stack.tcp.connections.values()
    return sum(entry.unacknowledged() for entry in connections if isinstance(entry, Tcb) and entry.orphan)
