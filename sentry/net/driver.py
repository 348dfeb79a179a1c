"""Drives a stack from the kernel's loop: the clock before each entry, `advance` after it, one timer for the next
deadline. With nothing due it does nothing and costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netstack.stack import Stack
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.timers import Timer


class Driver:
    """`stack` is set once, by its owner: the stack wants `wakeup` before it exists."""

    __slots__ = ("_due", "_ended", "_kernel", "_now", "_timer", "stack")

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._now = kernel.now_ns
        self._due = False  # a turn is on its way
        self._ended = False
        self._timer: Timer | None = None
        self.stack: Stack

    def enter(self) -> Stack:
        """The stack, with its clock right: what every call into it begins with."""
        stack = self.stack
        stack.now_ns = self._now()
        return stack

    def wakeup(self) -> None:
        """The stack has work, or an earlier deadline: soon, never from within the entry that made it."""
        if not self._due:
            self._due = True
            self._kernel.defer(self._turn)

    def end(self) -> None:
        """Nobody is left in the namespace: connections that linger and interfaces go, and the stack. Its parts hold
        each other, and there is no collector: they are emptied."""
        stack = self.enter()
        if stack.tcp is not None:
            for entry in tuple(stack.tcp.connections.values()):
                orphan = getattr(entry, "socket", None)
                if orphan is not None:
                    orphan.abort()
        for iface in tuple(stack.interfaces.values()):
            if iface is not stack.loopback and iface.index:  # not gone with its other end
                stack.remove_interface(iface)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._ended = self._due = True  # no turn is asked for any more
        for part in tuple(vars(stack).values()):
            if hasattr(part, "__dict__") and type(part).__module__.startswith("netstack."):
                vars(part).clear()
        vars(stack).clear()

    def _turn(self) -> None:
        """One bounded stretch of the stack's work; it asks again for what it leaves."""
        if self._ended:
            return
        self._due = False
        try:
            self.stack.advance(self._now())
        finally:
            self._arm()

    def _arm(self) -> None:
        """One timer of the kernel at the stack's next deadline; one that is too early stays and finds nothing due."""
        next_ns, timer = self.stack.next_ns(), self._timer
        if next_ns < 0 or self._due:
            return
        if timer is not None:
            if timer.deadline_ns <= next_ns:
                return
            timer.cancel()
        self._timer = self._kernel.timers.add(next_ns, self._expired)

    def _expired(self) -> None:
        self._timer = None
        self._turn()
