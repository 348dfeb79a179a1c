"""exit(2), exit_group(2) and death by signal: the Sentry lets go of a task's things before anybody can see its end.

exit and exit_group are notified: descriptors are closed first, then the host runs the call, so a parent that sees the
exit also sees end of file. A death by signal is learnt from the process's pidfd.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sentry.kernel.bracket import hold_parent
from sentry.kernel.exe import set_program
from sentry.kernel.fs_context import FsContext
from sentry.kernel.parking import unpark
from sentry.wait import IN, RDNORM

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel
    from sentry.kernel.task import Task
    from sentry.kernel.thread_group import ThreadGroup

SIGCHLD = 17


def begin_exit(t: Task) -> bool:
    """exit(2) of one thread. True: let the host run it now; False: it is answered later."""
    group = t.group
    if len(group.tasks) == 1:
        return begin_exit_group(t)
    release_task(t)
    return True


def begin_exit_group(t: Task) -> bool:
    """exit_group(2). True: let the host run it now; False: when the parent stands still (Bracket)."""
    group = t.group
    group.exiting = True
    for task in tuple(group.tasks.values()):
        if task is not t:
            unpark(task)
        let_go(task)
    parent = group.parent
    if parent is None or parent.dead or parent.exiting or not parent.sighand.interrupts(SIGCHLD):
        return True
    return hold_parent(t, parent)


def let_go(t: Task) -> None:
    """Close the descriptors of a task that will make no further call."""
    if not t.dead:
        t.dead = True
        t.kernel.stops.guest.thread_ended(t)
        if t.undo is not None:
            undo, t.undo = t.undo, None
            undo.release(t.group.pid)
        t.fds.release()
        kernel = t.kernel
        t.net = kernel.net  # what nobody else is in ends with it, not with the zombie
        if t.fs.own_mounts is not None:
            t.fs = FsContext(kernel.root, kernel.root, t.fs.umask)


def release_task(t: Task) -> None:
    """A thread is gone (or as good as gone); its process goes on."""
    unpark(t)
    let_go(t)
    t.exec_pending = None
    t.kernel.tasks.pop(t.host_tid, None)
    t.group.tasks.pop(t.host_tid, None)
    t.kernel.signals.forget(t)


def group_died(kernel: Kernel, group: ThreadGroup) -> None:
    """The pidfd said that the last thread is gone."""
    if group.dead:
        return
    group.dead = True
    if group.pidfd >= 0:
        kernel.unwatch(group.pidfd)
        os.close(group.pidfd)
        group.pidfd = -1
    kernel.stops.collect()  # as a barrier: a pidfd is ready before SIGCHLD is queued, which it is when this returns
    tasks = tuple(group.tasks.values())
    for hook in kernel.group_death_hooks:
        hook(group)
    for task in tasks:
        release_task(task)
    if tasks:  # /proc still shows the zombie's credentials
        group.tasks[tasks[0].host_tid] = tasks[0]
    if group.timers is not None:
        group.timers.clear()
    if group.aio is not None:
        group.aio.end()
    set_program(group, None)
    end_vfork(group)
    if group.death_queue is not None:
        group.death_queue.notify(IN | RDNORM)
    _reparent(kernel, group)
    if group is kernel.init:
        kernel.stopping = True
        return
    kernel.zombies[group.host_pid] = group
    if len(kernel.zombies) > 64:
        for zombie in tuple(kernel.zombies.values()):
            forget_if_reaped(kernel, zombie)
    parent = group.parent
    if group.in_flight and parent is not None:
        parent.exits_in_flight -= 1
    if parent is not None and not parent.dead:
        if parent.bracket is not None:
            parent.bracket.child_died(group)
        kernel.signals.learn(parent)


def end_vfork(group: ThreadGroup) -> None:
    """The child of a vfork has left its parent's memory: the host wakes the parent."""
    waiter, group.vfork_parent = group.vfork_parent, None
    if waiter is not None:
        waiter.vforking = False


def _reparent(kernel: Kernel, group: ThreadGroup) -> None:
    """Children go to the nearest living subreaper, else to pid 1 (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    if not group.children:
        return
    heir = group.parent
    while heir is not None and (heir.dead or not heir.subreaper):
        heir = heir.parent
    if heir is None:
        heir = kernel.init
    for child in group.children:
        child.parent = heir
        child.in_flight = False
        if heir is not None:
            heir.children.add(child)
    group.children = set()


def forget_if_reaped(kernel: Kernel, group: ThreadGroup) -> bool:
    """True when the parent has waited for this zombie: then nothing is left of it."""
    try:
        os.kill(group.host_pid, 0)
        return False
    except ProcessLookupError:
        remove_group(kernel, group)
        return True
    except PermissionError:
        return False


def remove_group(kernel: Kernel, group: ThreadGroup) -> None:
    if not group.dead:
        group_died(kernel, group)
    group.reaped = True
    kernel.zombies.pop(group.host_pid, None)
    if kernel.groups.get(group.host_pid) is group:
        del kernel.groups[group.host_pid]
    if group.parent is not None:
        group.parent.children.discard(group)
    group.tasks.clear()  # no cycle is left for the garbage collector
