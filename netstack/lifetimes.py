"""Addresses and routes that end: one timer for the earliest of all (rtnetlink's IFA_CACHEINFO and RTA_EXPIRES)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netstack.iface import DEPRECATED, Address
from netstack.route import Route

if TYPE_CHECKING:
    from netstack.stack import Stack
    from netstack.timers import Timer


class Lifetimes:
    """Told of each address and route that comes with an end."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._timer: Timer | None = None

    def of_address(self, address: Address) -> None:
        self._until(address.valid_ns)
        if not address.flags & DEPRECATED:
            self._until(address.preferred_ns)

    def of_route(self, route: Route) -> None:
        self._until(route.expires_ns)

    def _until(self, end_ns: int | None) -> None:
        if end_ns is None or end_ns >= 1 << 62:
            return
        if self._timer is not None:
            if self._timer.pending and self._timer.deadline_ns <= end_ns:
                return
            self._timer.cancel()
        self._timer = self.stack.timers.add(end_ns, self._due)

    def _due(self) -> None:
        stack = self.stack
        now_ns = stack.now_ns
        self._timer = None
        for iface in list(stack.interfaces.values()):
            for address in list(iface.addresses):
                if address.valid_ns is not None and address.valid_ns <= now_ns:
                    if address in iface.addresses:
                        stack.remove_address(iface, address)
                    continue
                ended = address.preferred_ns is not None and address.preferred_ns <= now_ns
                if ended and not address.flags & DEPRECATED:
                    address_now = address._replace(flags=address.flags | DEPRECATED)
                    stack.addressing.replace(iface, address, address_now)
                    address = address_now
                self.of_address(address)
        stack.routes.remove_where(lambda route: route.expires_ns is not None and route.expires_ns <= now_ns)
        for route in stack.routes:
            self.of_route(route)
