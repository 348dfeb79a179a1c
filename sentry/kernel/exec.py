"""execve(2): the Sentry finds and checks the program, the host only starts the loader.

1. `begin`: walk, permission, format, `#!`, argument sizes; all that can fail fails here, with the caller untouched.
2. The caller is brought to a stop and its registers become execveat(LOADER, "", argv, envp, AT_EMPTY_PATH):
   `_redirect`.
3. That call comes as a notification and is let through for this descriptor and flag alone: `allow_injected`.
4. The loader, alone in the new address space, asks for its plan: `loader_call`. Only now is the exec committed: threads
   gone, close-on-exec, handlers, credentials. Until then a signal handler could still have run in the old program.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from sentry.abi.errno import EACCES, EAGAIN, EBADF, ELIBBAD, ELOOP, ENOENT, ETXTBSY, Errno
from sentry.creds import FileCaps
from sentry.engine._engine import ffi, lib
from sentry.kernel.arguments import check_arguments
from sentry.kernel.exe import Program, set_program
from sentry.kernel.exec_proof import has_happened, mark
from sentry.kernel.exit import end_vfork, release_task
from sentry.kernel.stops import ORIG_RAX, R8, R10, RAX, RDI, RDX, RIP, RSI, RSP, WORD, RestartNow, delivery_signal
from sentry.kernel.task import Task
from sentry.kernel.thread_group import AddressSpace
from sentry.loader.auxv import Ids
from sentry.loader.elf import Image, read_image, read_interpreter
from sentry.loader.plan import build_plan
from sentry.loader.script import HEAD_SIZE, MAX_DEPTH, Script, is_script, parse
from sentry.mm.user import UserMemory
from vfs.core.access import X, check
from vfs.core.walk import EMPTY, FOLLOW, Path, walk

if TYPE_CHECKING:
    from sentry.creds import Credentials
    from sentry.kernel.kernel import Kernel
    from vfs.core.node import Inode

AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, AT_FDCWD = 0x1000, 0x100, -100
MS_NOSUID, MS_NOEXEC = 2, 8
S_ISUID, S_ISGID, S_IXGRP = 0o4000, 0o2000, 0o010
NR_EXECVE, NR_EXECVEAT = 59, 322
ADDR_NO_RANDOMIZE = 0x40000
REDIRECTING, INJECTED, RUNNING, COMMITTED = range(4)

SETTLED_NS = 1_000_000_000

_caps: WeakKeyDictionary[Inode, tuple[int, FileCaps | None]] = WeakKeyDictionary()
_formats: WeakKeyDictionary[Inode, tuple[tuple[int, int, int], Script | Image]] = WeakKeyDictionary()


class Exec:
    """An exec under way: everything that the plan needs, decided before the old program is touched."""

    __slots__ = (
        "path", "program", "interp", "held", "interp_held", "prefix", "execfn", "comm", "creds", "secure",
        "argv_addr", "envp_addr", "stage", "caller", "marked",
    )  # fmt: skip

    def __init__(self, held: Program, program: Image) -> None:
        self.path = held.path
        self.program = program
        self.held: Program | None = held  # until the process has it
        self.interp: Image | None = None
        self.interp_held: Program | None = None
        self.prefix: list[bytes] = []
        self.execfn = b""
        self.comm = b""
        self.creds: Credentials | None = None
        self.secure = False
        self.argv_addr = 0
        self.envp_addr = 0
        self.stage = REDIRECTING
        self.caller: Credentials | None = None  # for whom all this was decided
        self.marked = False  # exec_proof.py


def prepare(t: Task, dirfd: int, path: bytes, flags: int) -> Exec:
    """Find the program and all that belongs to it; raises what execve(2) raises."""
    follow = 0 if flags & AT_SYMLINK_NOFOLLOW else FOLLOW
    place = walk(t, dirfd, path, follow | (EMPTY if flags & AT_EMPTY_PATH else 0))
    name = path
    if not path.startswith(b"/") and dirfd != AT_FDCWD:
        if dirfd in t.fds.cloexec and is_script(_head(t, place)):
            raise ENOENT  # the interpreter could not open it
        name = b"/dev/fd/%d/%s" % (dirfd, path) if path else b"/dev/fd/%d" % dirfd
    prefix: list[bytes] = []
    current, script_name = place, name
    for _ in range(MAX_DEPTH + 1):
        held, form = _format(t, current)
        if isinstance(form, Image):
            break
        held.drop()
        prefix = form.prefix(script_name, prefix or None)
        script_name = form.interp
        current = walk(t, AT_FDCWD, form.interp)
    else:
        raise ELOOP
    out = Exec(held, form)
    out.prefix, out.execfn, out.comm = prefix, name, name.rsplit(b"/", 1)[-1][:15]
    if form.interp is not None:
        library = walk(t, AT_FDCWD, form.interp)
        out.interp_held, interp = _format(t, library, as_interp=True)
        if not isinstance(interp, Image):
            raise ELIBBAD
        out.interp = interp
    _set_ids(t, out)
    return out


def _set_ids(t: Task, exec_: Exec) -> None:
    """Set-id bits and file capabilities (execve(2), capabilities(7)); not on a nosuid mount."""
    inode = exec_.path.dentry.inode
    set_uid = set_gid = caps = None
    if not exec_.path.mount.flags & MS_NOSUID:
        if inode.mode & S_ISUID:
            set_uid = inode.uid
        if inode.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP:
            set_gid = inode.gid
        caps = _file_caps(inode)
    shared = t.fs.shared and any(o.fs is t.fs and o.group is not t.group for o in t.kernel.tasks.values())
    exec_.creds, exec_.secure = t.creds.for_exec(set_uid, set_gid, caps, shared)


def _file_caps(inode: Inode) -> FileCaps | None:
    """Kept while the file's change time stands, once that is so old that a further change must show in it."""
    changed_ns = inode.stat().ctime_ns
    known = _caps.get(inode)
    if known is not None and known[0] == changed_ns:
        return known[1]
    try:
        caps = FileCaps.parse(inode.getxattr(b"security.capability"))
    except Errno:
        caps = None
    if time.time_ns() - changed_ns > SETTLED_NS:
        _caps[inode] = (changed_ns, caps)
    return caps


def _open(t: Task, place: Path) -> Program:
    inode = place.dentry.inode
    if not inode.is_reg:
        raise ELOOP if inode.is_link else EACCES
    if place.mount.flags & MS_NOEXEC:
        raise EACCES
    check(inode, t, X)
    if inode.writers > 0:
        raise ETXTBSY
    return Program(place, inode.open(place, 0, t), inode)


def _head(t: Task, place: Path) -> bytes:
    held = _open(t, place)
    assert held.file is not None
    head = held.file.pread(HEAD_SIZE, 0)
    held.drop()
    return head


def _format(t: Task, place: Path, as_interp: bool = False) -> tuple[Program, Script | Image]:
    """The open file and what it is; kept per version of the file."""
    held = _open(t, place)
    inode, file = held.inode, held.file
    assert file is not None
    inode.refresh()
    st = inode.stat()
    version = (st.size, st.mtime_ns, st.ctime_ns)
    known = _formats.get(inode)
    if known is not None and known[0] == version:
        return held, known[1]
    head = b"" if as_interp else file.pread(HEAD_SIZE, 0)
    form: Script | Image
    if as_interp:
        form = read_interpreter(file.pread)
    else:
        form = parse(head) if is_script(head) else read_image(file.pread)
    _formats[inode] = (version, form)
    return held, form


def begin(t: Task, dirfd: int, path: bytes, argv_addr: int, envp_addr: int, flags: int) -> None:
    """execve(2) by a running program, up to the point of no return; Errno if it fails. The call is answered later."""
    exec_ = prepare(t, dirfd, path, flags)
    exec_.argv_addr, exec_.envp_addr = argv_addr, envp_addr
    check_arguments(t, argv_addr, envp_addr, exec_.execfn)
    if t.on_stop is not None:  # another purpose is bringing it to a stop: that first, then the call is made again
        raise RestartNow
    mark(t, exec_)
    if not t.kernel.stops.interrupt(t, _redirect):
        raise EAGAIN
    t.exec_pending = exec_
    kernel = t.kernel
    if t.fds.loader_lost:  # the guest has mapped a file at the loader's number
        kernel.platform.add_fd(t, kernel.loader_fd, kernel.loader_at, cloexec=False)
        t.fds.loader_lost = False
    kernel.platform.answer(t, -4)


def _redirect(t: Task, status: int) -> None:
    stops = t.kernel.stops
    exec_ = t.exec_pending
    regs = stops.regs
    if exec_ is None or not stops.get_regs(t):
        t.exec_pending = None
        stops.finish(t, status)
        return
    regs[RIP] = regs[RIP] - 2
    if delivery_signal(status):  # a handler runs first; then the guest makes its call again
        regs[RAX] = regs[ORIG_RAX]
        regs[ORIG_RAX] = WORD
        t.exec_pending = None
    else:
        empty = (regs[RSP] - 256) & ~7
        if lib.eng_write(t.host_tid, empty, ffi.from_buffer(bytes(8)), 8) != 8:
            stops.kill(t.host_tid, 9)
        regs[RAX] = NR_EXECVEAT
        regs[RDI], regs[RSI], regs[RDX] = t.kernel.loader_at, empty, exec_.argv_addr
        regs[R10], regs[R8] = exec_.envp_addr, AT_EMPTY_PATH
        regs[ORIG_RAX] = WORD
        exec_.stage = INJECTED
    stops.set_regs(t)
    stops.finish(t, status)


def allow_injected(t: Task, fd: int, flags: int) -> bool:
    """Is this execveat the one that `_redirect` put into `t`?"""
    exec_ = t.exec_pending
    if exec_ is None or exec_.stage != INJECTED or fd != t.kernel.loader_at or flags != AT_EMPTY_PATH:
        return False
    exec_.stage = RUNNING
    return True


def loader_call(t: Task, a: tuple[int, ...]) -> None:
    """The loader's call: (buffer, size, stack pointer, its address, its size, version). Answered here, or at
    `start`."""
    kernel = t.kernel
    exec_ = t.exec_pending
    if exec_ is None or exec_.stage < RUNNING:
        exec_ = _from_other_thread(t)
        if exec_ is None:
            raise EBADF  # a guest that calls the number itself
    if exec_.stage == RUNNING and not has_happened(t, exec_):
        t.exec_pending = None
        raise EBADF
    if not kernel.released and t.group is kernel.init:
        kernel.pending_release = lambda: _serve(t, a)
        return
    _serve(t, a)


def _serve(t: Task, a: tuple[int, ...]) -> None:
    exec_ = t.exec_pending
    kernel = t.kernel
    assert exec_ is not None
    if exec_.stage == RUNNING:
        _commit(t, exec_)
        t.group.loader_range = (a[3], a[3] + a[4])
    creds = t.creds
    fixed = bool(t.group.personality & ADDR_NO_RANDOMIZE)
    program_fd, interp_fd = kernel.loader_at - 1, kernel.loader_at - 2
    try:
        plan = build_plan(
            exec_.program, exec_.interp, execfn=exec_.execfn, comm=exec_.comm,
            ids=Ids(creds.ruid, creds.euid, creds.rgid, creds.egid, exec_.secure),
            program_fd=program_fd, interp_fd=interp_fd,
            aslr=(lambda n: 0) if fixed else _random_below, argv_prefix=exec_.prefix,
        )  # fmt: skip
        if len(plan) <= a[1]:
            t.mem.write(a[0], plan)
            assert t.group.exe_file is not None
            kernel.platform.add_fd(t, t.group.exe_file.host_fd(False), program_fd)
            if exec_.interp_held is not None and exec_.interp_held.file is not None:
                kernel.platform.add_fd(t, exec_.interp_held.file.host_fd(False), interp_fd)
                exec_.interp_held.drop()
            t.exec_pending = None
    except Errno as err:
        kernel.debug(f"exec of {exec_.execfn!r} failed after the point of no return: {type(err).__name__}")
        kernel.stops.kill(t.group.host_pid, 9)
        return
    kernel.platform.answer(t, len(plan))


def _random_below(count: int) -> int:
    return int.from_bytes(os.urandom(8), "little") % count  # so far above `count` that all numbers are as likely


def _from_other_thread(t: Task) -> Exec | None:
    """A thread other than the leader execed: it now has the leader's number (execve(2), "Effect on process
    attributes")."""
    group = t.group
    if t.host_tid != group.host_pid:
        return None  # a sibling of one that execs, not yet ended by the host
    for other in tuple(group.tasks.values()):
        exec_ = other.exec_pending
        if other is not t and exec_ is not None and exec_.stage == RUNNING:
            t.fds, t.fs, t.creds = other.fds, other.fs, other.creds
            t.fds.users += 1
            t.exec_pending, other.exec_pending = exec_, None
            t.undo, other.undo = other.undo, None
            t.personality = other.personality
            t.dead = False
            return exec_
    return None


def leader_again(kernel: Kernel, host_tid: int) -> Task | None:
    """The maker of a call that is none of `kernel.tasks`: its leader had exited when another thread execed, which now
    has the leader's number. None: it is somebody else."""
    group = kernel.groups.get(host_tid)
    if group is None or group.dead:
        return None
    for other in group.tasks.values():
        exec_ = other.exec_pending
        if exec_ is not None and exec_.stage == RUNNING:
            t = Task(kernel, host_tid, group, other.fds, other.fs, other.creds, UserMemory(host_tid))
            group.tasks[host_tid] = kernel.tasks[host_tid] = t
            return t
    return None


def _commit(t: Task, exec_: Exec) -> None:
    """The old program is gone: everything that execve(2) lists under "Effect on process attributes"."""
    group = t.group
    exec_.stage = COMMITTED
    for other in tuple(group.tasks.values()):
        if other is not t:
            release_task(other)
    if t.fds.users > 1:
        own = t.fds.copy()
        t.fds.release()
        t.fds = own
    t.fds.close_on_exec()
    sighand = group.sighand.copy()
    sighand.reset_for_exec()
    group.sighand = sighand
    if exec_.creds is not None:
        t.creds = exec_.creds
    set_program(group, exec_.held)
    exec_.held = None
    group.dumpable = 0 if exec_.secure else 1
    end_vfork(group)
    if group.timers is not None:
        group.timers.exec()
    group.memory = AddressSpace()
    if group.aio is not None:
        group.aio.end()
    t.continued_nr = -1
    t.saved_deadline = None
    t.mem = UserMemory(t.host_tid)


def start_init(kernel: Kernel, t: Task, exec_: Exec) -> None:
    """pid 1: the launch makes the same call that `_redirect` puts into others."""
    exec_.stage = INJECTED
    exec_.caller = t.creds
    t.exec_pending = exec_


def find_in_path(t: Task, name: bytes, search: bytes) -> bytes:
    """execvp(3) for the container's command: the first executable in `search`; ENOENT, or EACCES if all that was found
    is not executable."""
    if b"/" in name:
        return name
    denied = False
    for directory in search.split(b":"):
        candidate = os.path.join(directory or b".", name)
        try:
            place = walk(t, AT_FDCWD, candidate)
            inode = place.dentry.inode
            if not inode.is_reg:
                raise EACCES
            check(inode, t, X)
            return candidate
        except EACCES:
            denied = True
        except Errno:
            continue
    raise EACCES if denied else ENOENT
