"""ptrace(2) between guests: the Sentry is the only real tracer and keeps a tracee for the guest that asked.

A tracee stays SEIZEd as long as it has a guest tracer. Its stops come to Stops first, whose own purposes (clone events,
exact signals, exec, brackets) are served before anything is reported; what is left then is the guest's: `stopped`
reports it and the task stands still until the tracer resumes it, or lets it go on unseen. Signals of tracees are thus
delivered at stops anyway; a call that the Sentry had not received is made again after the handler (`resume`).

The host knows nothing of guest tracers, so wait4(2) for them is answered from here (trace_wait.py). A tracer's thread
that already sleeps in the host's wait4 is brought out of it when there is something to report.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sentry.abi.const.signals import CLD_EXITED, CLD_KILLED, CLD_STOPPED, CLD_TRAPPED
from sentry.abi.const.tasks import (
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_EXIT,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_STOP,
    PTRACE_EVENT_VFORK,
    PTRACE_EVENTMSG_SYSCALL_ENTRY,
    PTRACE_O_EXITKILL,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEEXIT,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACESYSGOOD,
    PTRACE_O_TRACEVFORK,
    PTRACE_O_TRACEVFORKDONE,
)
from sentry.engine._engine import lib
from sentry.kernel.trace_exec import TraceExec, delivery_signal, no_privileges
from sentry.wait import IN, WaitQueue

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

SIGTRAP, SIGKILL, SIGCHLD, SIGCONT, SIGSTOP = 5, 9, 17, 18, 19
FORK_EVENTS = (PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_CLONE)
SA_NOCLDSTOP = 1
NR_WAIT4, NR_WAITID = 61, 247
WAITS = (NR_WAIT4, NR_WAITID)
EXECS = (59, 322, (1 << 64) - 1)  # execve, execveat, a call to be made again
ORIG_RAX = 15  # in words of struct user_regs_struct
SYSCALL_STOP = SIGTRAP | 0x80
ALWAYS = (  # what the Sentry itself wants to see of a tracee
    PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACESYSGOOD
)  # fmt: skip
AT_EVENT_STOP = PTRACE_EVENT_STOP << 16 | SIGTRAP << 8 | 0x7F
MAX_DEATHS = 65536  # reports that a tracer never asks for
_child_info = struct.Struct("<iiiiiIi")  # signo, errno, code, padding, pid, uid, status


class Tracee:
    """A task with a guest tracer. `stop` is how it stands still, as in wait status >> 8; None while it runs."""

    __slots__ = ("task", "tracer", "by", "seized", "options", "host_status", "stop", "waited", "event", "message",
                 "birth", "interrupting", "by_call", "synthetic", "listening",
                 "starting", "exit_due")  # fmt: skip

    def __init__(self, task: Task, tracer: Tracer, by: Task | None, seized: bool, options: int) -> None:
        self.task = task
        self.tracer = tracer
        self.by = by  # the tracing thread; None after PTRACE_TRACEME until one makes a request
        self.seized = seized
        self.options = options
        self.host_status = AT_EVENT_STOP
        self.stop: int | None = None
        self.waited = False  # the stop was reported by wait4(2)
        self.event = 0  # a fork event to be reported when the Sentry is done with the stop
        self.message = 0
        self.birth = False  # its first stop is still to come (PTRACE_O_TRACEFORK and the like)
        self.interrupting = False
        self.by_call = False  # resumed by PTRACE_SYSCALL
        self.starting = False  # a new program is on its way to its first instruction (trace_exec.py)
        self.exit_due = False  # the end of the call under way is still to be reported (PTRACE_SYSCALL)
        self.listening = False  # PTRACE_LISTEN: it stays in its group stop until SIGCONT
        self.synthetic = False  # the signal of this stop is not what the host stopped it for (exec)

    @property
    def deliverable(self) -> bool:
        """Does it stand before the delivery of a signal, so that its tracer may choose another?"""
        signo = delivery_signal(self.host_status)
        return bool(signo) and signo != SYSCALL_STOP

    @property
    def group_stopped(self) -> bool:
        status = self.host_status
        return status >> 16 == PTRACE_EVENT_STOP and status >> 8 & 0xFF != SIGTRAP

    @property
    def host_options(self) -> int:
        wanted = self.options & (PTRACE_O_TRACEEXIT | PTRACE_O_TRACEVFORKDONE)
        return self.task.kernel.stops.options | ALWAYS | wanted


class Death:
    """The end of a tracee that is no child of its tracer: told by us, as the host does not know."""

    __slots__ = ("tid", "status", "by", "uid")

    def __init__(self, tid: int, status: int, by: Task | None, uid: int) -> None:
        self.tid = tid
        self.status = status
        self.by = by
        self.uid = uid


class Tracer:
    """A process that traces others; its parked waits sleep on `queue`."""

    __slots__ = ("group", "queue", "tracees", "deaths", "due")

    def __init__(self, group: ThreadGroup) -> None:
        self.group = group
        self.queue = WaitQueue()
        self.tracees: dict[int, Tracee] = {}
        self.deaths: list[Death] = []
        self.due: bytes | None = None  # a SIGCHLD to be sent once a wait under way has got its answer


class GuestTrace:
    """All tracees by host number, all tracers by process."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.tracees: dict[int, Tracee] = {}
        self.tracers: dict[ThreadGroup, Tracer] = {}

    # beginning and end ---------------------------------------------------------------------------
    def add(self, task: Task, group: ThreadGroup, by: Task | None, seized: bool, options: int) -> Tracee | None:
        """Trace `task` for a guest from now on; None when it is gone. Permission was checked."""
        tracer = self.tracers.get(group)
        if tracer is None:
            tracer = self.tracers[group] = Tracer(group)
        tracee = Tracee(task, tracer, by, seized, options)
        if not task.traced:
            if lib.eng_seize(task.host_tid, tracee.host_options):
                self._drop_idle(tracer)
                return None
            task.traced = True
        self.tracees[task.host_tid] = tracer.tracees[task.host_tid] = tracee
        self._out_of_host_waits(tracer)  # their answer may be ours from now on
        return tracee

    def detach(self, tracee: Tracee, signo: int) -> None:
        """PTRACE_DETACH of a stopped tracee."""
        t = tracee.task
        self.kernel.signals.exact.give_up(t)
        signo = signo if tracee.deliverable else 0
        self._forget(tracee)
        if signo:
            self.kernel.signals.exact.rewind(t)
        self.kernel.stops.release(t, signo)

    def _forget(self, tracee: Tracee) -> None:
        tracer = tracee.tracer
        tid = tracee.task.host_tid
        if self.tracees.get(tid) is tracee:
            del self.tracees[tid]
        if tracer.tracees.get(tid) is tracee:
            del tracer.tracees[tid]
        tracee.stop, tracee.listening = None, False
        tracer.queue.notify(IN)
        self._drop_idle(tracer)

    def _drop_idle(self, tracer: Tracer) -> None:
        if not tracer.tracees and not tracer.deaths and not tracer.queue and tracer.due is None:
            self.tracers.pop(tracer.group, None)

    def thread_ended(self, t: Task) -> None:
        """A thread that may trace others is at its end: all that it traces is let go, or killed (PTRACE_O_EXITKILL)."""
        tracer = self.tracers.get(t.group)
        if tracer is None:
            return
        last = all(task.dead for task in t.group.tasks.values())
        for tracee in tuple(tracer.tracees.values()):
            if tracee.by is not t and not last:
                continue
            stood, signo = self.holds(tracee.task), delivery_signal(tracee.host_status)
            signo = signo if tracee.deliverable and not tracee.synthetic else 0
            self._forget(tracee)
            if tracee.options & PTRACE_O_EXITKILL:
                self.kernel.stops.kill(tracee.task.group.host_pid, SIGKILL)
            elif stood:
                if signo:
                    self.kernel.signals.exact.rewind(tracee.task)
                self.kernel.stops.release(tracee.task, signo)
            # else: one that runs is let go at its next stop (Stops)
        if last:
            tracer.deaths.clear()
            tracer.due = None
            self._drop_idle(tracer)

    def died(self, tracee: Tracee, status: int) -> None:
        """The host says that it ended (waitpid(2) status)."""
        tracer, group, tid = tracee.tracer, tracee.task.group, tracee.task.host_tid
        by_host = tid == group.host_pid and group in tracer.group.children
        if not by_host and len(tracer.deaths) < MAX_DEATHS:
            number, uid = tracee.task.tid, tracee.task.creds.ruid
            tracer.deaths.append(Death(number, status, tracee.by, uid))
            code = CLD_KILLED if status & 0x7F else CLD_EXITED
            value = status & 0x7F or status >> 8 & 0xFF
            self._tell(tracer, _child_info.pack(SIGCHLD, 0, code, 0, number, uid, value).ljust(128, b"\0"))
        self._forget(tracee)

    def born(self, cloner: Task, child: Task) -> None:
        """`child` is new, it and its maker stand still (fork.py)."""
        waiting = self.tracers.get(cloner.group)
        if waiting is not None:  # a wait that slept here must now look at a child as well
            waiting.queue.notify(IN)
        tracee = self.tracees.get(cloner.host_tid)
        if tracee is None:
            return
        event = tracee.host_status >> 16
        if event not in FORK_EVENTS or not tracee.options & 1 << event:
            return
        child.traced = True
        new = self.add(child, tracee.tracer.group, tracee.by, tracee.seized, tracee.options)
        if new is not None:
            new.birth = True
            tracee.event, tracee.message = event, child.tid

    # stops ---------------------------------------------------------------------------------------
    def holds(self, t: Task) -> bool:
        """Does `t` stand still for a guest?"""
        tracee = self.tracees.get(t.host_tid)
        return tracee is not None and (tracee.stop is not None or tracee.listening)

    def host_stop(self, tracee: Tracee, status: int) -> int:
        """Before anybody else sees the stop: the status that the Sentry's own purpose is to see, 0 if none is."""
        tracee.host_status = status
        t = tracee.task
        if status >> 16 == PTRACE_EVENT_EXEC:
            no_privileges(tracee)
        if status >> 8 == SYSCALL_STOP and t.on_stop is not None and not tracee.starting:
            if t.clone_request is not None and t.clone_request.saved:
                return status  # it goes from one such stop to the next
            if lib.eng_event_message(t.host_tid) == PTRACE_EVENTMSG_SYSCALL_ENTRY:
                lib.eng_interrupt(t.host_tid)  # every stop uses up the trap that was asked for
                self.stopped(tracee, status)
                return 0
            status = AT_EVENT_STOP  # as good as the trap, which comes no more
        # A signal that is to be queued at a stop goes out plainly unless the stop is a mere trap: each other kind is
        # the guest tracer's to see, and a tracee's signals come at stops in any case.
        if status != AT_EVENT_STOP and t.queued_exact:
            exact = self.kernel.signals.exact
            if t.on_stop == exact.at_stop:
                t.on_stop = None
            exact.give_up(t)
        return status

    def _injected_exec(self, t: Task) -> bool:
        """Is the call at which `t` stops the exec that the Sentry has put in place of the guest's?"""
        stops = self.kernel.stops
        return t.exec_pending is not None and stops.get_regs(t) and stops.regs[ORIG_RAX] in EXECS

    def _call_code(self, tracee: Tracee) -> int:
        return SYSCALL_STOP if tracee.options & PTRACE_O_TRACESYSGOOD else SIGTRAP

    def stopped(self, tracee: Tracee, status: int) -> None:
        """A stop that is no purpose of the Sentry's, or not any more: report it, or go on."""
        event, signo = status >> 16, status >> 8 & 0xFF
        if tracee.event:
            tracee.exit_due = tracee.by_call and status >> 8 == SYSCALL_STOP
            event, tracee.event = tracee.event, 0
            self.report(tracee, event << 8 | SIGTRAP)
        elif event == PTRACE_EVENT_STOP and signo == SIGTRAP:
            if tracee.birth or tracee.interrupting:
                as_event = tracee.seized or not tracee.birth
                tracee.birth = False
                self.report(tracee, PTRACE_EVENT_STOP << 8 | SIGTRAP if as_event else SIGSTOP)
            else:
                self.go_on(tracee)
        elif event == PTRACE_EVENT_STOP:
            self.report(tracee, PTRACE_EVENT_STOP << 8 | signo if tracee.seized else signo)
        elif event == PTRACE_EVENT_EXEC:
            self._exec(tracee)
        elif event in FORK_EVENTS:  # a fork that the tracer did not ask to see
            self.go_on(tracee)
        elif event:
            message = int(lib.eng_event_message(tracee.task.host_tid))
            tracee.message = message if event == PTRACE_EVENT_EXIT else 0
            self.report(tracee, event << 8 | SIGTRAP)
        elif signo == SYSCALL_STOP:
            if tracee.by_call and not self._injected_exec(tracee.task):
                self.report(tracee, self._call_code(tracee))
            else:
                self.go_on(tracee)
        else:
            self.report(tracee, signo)

    def report(self, tracee: Tracee, code: int, synthetic: bool = False) -> None:
        tracee.stop, tracee.waited, tracee.synthetic = code, False, synthetic
        tracee.interrupting = False  # every stop serves an interrupt
        task = tracee.task
        parent = task.group.parent
        if parent is not None and parent.bracket is not None:  # it does not die of this signal, not yet
            parent.bracket.child_died(task.group)
        how = CLD_STOPPED if tracee.group_stopped else CLD_TRAPPED
        info = _child_info.pack(SIGCHLD, 0, how, 0, task.tid, task.creds.ruid, code & 0x7F)
        self._tell(tracee.tracer, info.ljust(128, b"\0"))

    def go_on(self, tracee: Tracee, signo: int = 0) -> None:
        """On the host: let it run with all that we want to see of it."""
        host_tid = tracee.task.host_tid
        lib.eng_set_options(host_tid, tracee.host_options)
        if tracee.interrupting:
            lib.eng_interrupt(host_tid)
        if tracee.by_call:
            self.kernel.stops.cont_syscall(tracee.task, signo)
        else:
            self.kernel.stops.cont(tracee.task, signo)

    def resume(self, tracee: Tracee, signo: int, by_call: bool = False) -> None:
        """PTRACE_CONT and its kin."""
        due, tracee.exit_due = tracee.exit_due and by_call, False
        tracee.stop, tracee.by_call = None, by_call
        if due:
            self.report(tracee, self._call_code(tracee), tracee.synthetic)
            return
        signo = signo if tracee.deliverable else 0
        if signo:
            self.kernel.signals.exact.rewind(tracee.task)
        self.go_on(tracee, signo)

    def listen(self, tracee: Tracee) -> None:
        """PTRACE_LISTEN: on the host it stays in its trap; SIGCONT is looked for whenever one may have come."""
        tracee.stop, tracee.listening = None, True
        self.kernel.signals.followers.add(self)
        self.signals_came(tracee.task.group)

    def signals_came(self, group: ThreadGroup | None) -> None:
        """Called by Signals; None: to any process."""
        listening = [tracee for tracee in self.tracees.values() if tracee.listening]
        for tracee in listening:
            masks = self.kernel.signals.masks(tracee.task) if group in (None, tracee.task.group) else None
            if masks is not None and (masks[0] | masks[1]) >> (SIGCONT - 1) & 1:
                tracee.listening = False
                self.go_on(tracee)  # to the trap that the host has set for this
                tracee.interrupting = True
        if not listening:  # Signals is going through the set now
            self.kernel.defer(self._stop_following)

    def _stop_following(self) -> None:
        if not any(tracee.listening for tracee in self.tracees.values()):
            self.kernel.signals.followers.discard(self)

    def interrupt(self, tracee: Tracee) -> None:
        """PTRACE_INTERRUPT."""
        t = tracee.task
        if tracee.listening:
            tracee.listening = False
            self.report(tracee, tracee.host_status >> 8 & 0xFF | PTRACE_EVENT_STOP << 8)
            return
        tracee.interrupting = True
        lib.eng_interrupt(t.host_tid)
        if t.parked is not None:
            self.kernel.signals.end_call(t.parked, False)

    def stop_by_signal(self, tracee: Tracee) -> None:
        """PTRACE_ATTACH: SIGSTOP, whose delivery is the tracer's to see and to suppress."""
        t = tracee.task
        lib.eng_tgkill(t.group.host_pid, t.host_tid, SIGSTOP)
        self.kernel.signals.learn(t.group)
        self.kernel.signals.recheck(t.group)

    def _exec(self, tracee: Tracee) -> None:
        t = tracee.task
        tracee.message = t.tid  # the number before the exec
        former = int(lib.eng_event_message(t.host_tid))
        if former > 0 and former != t.host_tid:  # not the leader execed: it has the leader's number from here on
            mover = self.tracees.pop(former, None)
            if mover is not None:
                mover.message = mover.task.tid
                self._forget(tracee)
                mover.tracer.tracees.pop(former, None)
                mover.task = t
                self.tracees[t.host_tid] = mover.tracer.tracees[t.host_tid] = mover
                mover.host_status = tracee.host_status
                tracee = mover
        TraceExec(self, tracee).begin()

    # telling the tracer --------------------------------------------------------------------------
    def _tell(self, tracer: Tracer, info: bytes) -> None:
        """Something can be waited for: SIGCHLD comes after the answer of a wait that is under way, as from Linux."""
        tracer.queue.notify(IN)
        if not tracer.group.sighand.get(SIGCHLD).flags & SA_NOCLDSTOP:
            tracer.due = info
        if not self._out_of_host_waits(tracer):  # parked waits are answered in this turn, the signal goes in the next
            self.signal_later(tracer)

    def signal_later(self, tracer: Tracer) -> None:
        self.kernel.defer(lambda: self.kernel.defer(lambda: self._signal(tracer)))

    def _signal(self, tracer: Tracer) -> None:
        info, tracer.due = tracer.due, None
        if info is not None and not tracer.group.dead:
            self.kernel.signals.send_group(tracer.group, SIGCHLD, info)

    def _out_of_host_waits(self, tracer: Tracer) -> bool:
        stops = self.kernel.stops
        found = False
        for task in tuple(tracer.group.tasks.values()):
            if task.continued_nr in WAITS and task.on_stop is None and not task.dead:
                found |= stops.interrupt(task, lambda t, status: self._left_wait(tracer, t, status))
        return found

    def _left_wait(self, tracer: Tracer, t: Task, status: int) -> None:
        """A wait that the stop has cancelled is made again after the handler of what is sent here."""
        self.kernel.signals.exact.rewind(t, waits=True)
        self._signal(tracer)
        self.kernel.stops.finish(t, status)
