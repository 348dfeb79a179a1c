"""`--profile`: how often each call came to the Sentry and where its time went, for the debug log at the end.

A call's cost has four parts: two switches between guest and Sentry, the Sentry's own code, and copies of guest memory
(process_vm_readv(2)). The switches are not seen from here: what a call costs beyond the figures below is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns, process_time_ns
from typing import TYPE_CHECKING

from sentry.mm import user
from syscalls.registry import names

if TYPE_CHECKING:
    from sentry.kernel.task import Task
    from syscalls.registry import Call, Registers


class Profile:
    """Counts for the whole life of the sandbox. Times are in ns; the timing itself adds some 0.5 us to each call."""

    def __init__(self, arch: str) -> None:
        self.names = names(arch)
        self.calls = [0] * len(self.names)
        self.took_ns = [0] * len(self.names)
        self.raised = [0] * len(self.names)  # answered by an error, or parked
        self.copies = 0
        self.copied_ns = 0
        self.began_ns = perf_counter_ns()

    def table(self, plain: list[Call]) -> list[Call]:
        """The same calls, timed. `plain` replaces its own entries when they are first used, so it is looked up anew."""
        return [self._timed(plain, nr) for nr in range(len(plain))]

    def _timed(self, plain: list[Call], nr: int) -> Call:
        calls, took_ns, raised = self.calls, self.took_ns, self.raised

        def timed(t: Task, registers: Registers) -> int:
            began = perf_counter_ns()
            calls[nr] += 1
            done = False
            try:
                result = plain[nr](t, registers)
                done = True
                return result
            finally:
                took_ns[nr] += perf_counter_ns() - began
                raised[nr] += not done

        return timed

    def watch_copies(self) -> None:
        """Count and time every copy to and from guests, for this process from now on."""
        for name in ("_eng_read", "_eng_write", "_eng_cstring", "_eng_put_stat"):
            setattr(user, name, self._copier(getattr(user, name)))

    def _copier(self, plain: Callable[..., int]) -> Callable[..., int]:
        def copy(*args: object) -> int:
            began = perf_counter_ns()
            result = plain(*args)
            self.copied_ns += perf_counter_ns() - began
            self.copies += 1
            return result

        return copy

    def report(self) -> str:
        """A table, the dearest call first. us/call is the handler with its copies, in wall-clock time."""
        wall_ms, cpu_ms = (perf_counter_ns() - self.began_ns) / 1e6, process_time_ns() / 1e6
        total = sum(self.calls)
        lines = [
            f"profile: {total} calls, {sum(self.took_ns) / 1e6:.1f} ms in handlers, of which {self.copies} copies "
            f"{self.copied_ns / 1e6:.1f} ms; the Sentry's CPU time {cpu_ms:.1f} ms in {wall_ms:.1f} ms",
            f"{'call':<20}{'count':>10}{'raised':>10}{'ms':>10}{'us/call':>10}",
        ]
        for nr in sorted(range(len(self.calls)), key=lambda nr: -self.took_ns[nr]):
            count = self.calls[nr]
            if count:
                ms = self.took_ns[nr] / 1e6
                lines.append(
                    f"{self.names[nr]:<20}{count:>10}{self.raised[nr]:>10}{ms:>10.2f}{1000 * ms / count:>10.1f}"
                )
        return "\n".join(lines)
