"""unshare(2), setns(2): tables that tasks share, and namespaces. There are several of the network and of mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.const import tasks as k
from sentry.abi.const.rights import CAP_SYS_ADMIN, CAP_SYS_CHROOT
from sentry.abi.errno import EINVAL, EPERM, ESRCH, EUSERS
from sentry.kernel.fork import NAMESPACES, check_namespaces
from sentry.net.namespace import NetNamespace
from syscalls.args import FdNum, Int, ULong
from syscalls.ptrace import may_attach
from syscalls.registry import CONTINUE, syscall
from vfs.anon.pidfd import PidFile
from vfs.core.mount import MountNamespace, mounts_of
from vfs.proc.namespaces import TYPES, NamespaceFile

if TYPE_CHECKING:
    from sentry.kernel.task import Task

ALONE = k.CLONE_THREAD | k.CLONE_SIGHAND | k.CLONE_VM
KNOWN = ALONE | k.CLONE_FS | k.CLONE_FILES | k.CLONE_SYSVSEM | NAMESPACES


@syscall("unshare", ULong, support="partial", note="new namespaces of network and mounts, others: EPERM")
def sys_unshare(t: Task, flags: int) -> int:
    if flags & ~KNOWN:
        raise EINVAL
    if flags & ALONE and len(t.group.tasks) > 1:
        raise EINVAL
    if flags & NAMESPACES:
        check_namespaces(t, flags & ~k.CLONE_FS)
    if flags & k.CLONE_SYSVSEM and t.undo is not None:
        undo, t.undo = t.undo, None
        undo.release(t.group.pid)
    if flags & k.CLONE_NEWNS:
        t.fs = t.fs.part(mounts_of(t))
    elif flags & k.CLONE_FS:
        t.fs = t.fs.copy()
    if flags & k.CLONE_NEWNET:
        t.net = NetNamespace(t.kernel, first=False)
    if flags & k.CLONE_FILES and t.fds.users > 1:
        own = t.fds.copy()
        t.fds.release()
        t.fds = own
        return CONTINUE  # the real tables part too, which hold what is mapped
    return 0


@syscall("setns", FdNum, Int)
def sys_setns(t: Task, fd: int, kinds: int) -> int:
    file = t.fds.get(fd)
    if isinstance(file, NamespaceFile):
        kind = TYPES[file.kind]
        if kinds and kinds != kind:
            raise EINVAL
        wanted = kind
        net, mounts = file.space, file.space
    elif isinstance(file, PidFile):
        if not kinds or kinds & ~NAMESPACES:
            raise EINVAL
        if file.group.dead or not file.group.tasks:
            raise ESRCH
        if file.group is not t.group and not may_attach(t, file.group.leader):
            raise EPERM
        wanted = kinds
        leader = file.group.leader
        net, mounts = leader.net, mounts_of(leader)
    else:
        raise EINVAL
    if wanted & k.CLONE_NEWUSER:
        raise EINVAL  # one is in it already
    t.creds.require(CAP_SYS_ADMIN)
    if wanted & k.CLONE_NEWTIME and len(t.group.tasks) > 1:
        raise EUSERS
    if wanted & k.CLONE_NEWNS:
        assert isinstance(mounts, MountNamespace)
        _enter_mounts(t, mounts)
    if wanted & k.CLONE_NEWNET:
        assert isinstance(net, NetNamespace)
        t.net = net
    return 0


def _enter_mounts(t: Task, mounts: MountNamespace) -> None:
    """Root and working directory become the namespace's root, also where one was in it."""
    t.creds.require(CAP_SYS_CHROOT)
    sharing = [task for task in t.kernel.tasks.values() if task.fs is t.fs and task is not t]
    if sharing:
        raise EINVAL
    t.fs.own_mounts = None if mounts is t.kernel.mounts else mounts
    t.fs.root = t.fs.cwd = mounts.root.top()
