"""/proc/sysvipc/msg, sem and shm (proc(5)): the System V objects of the sandbox, as ipcs(1) reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.ipc.namespace import ipc
from vfs.core.node import FileSystem
from vfs.core.synth import SynthDir, SynthFile

if TYPE_CHECKING:
    from sentry.kernel.task import Task

MSG = (
    b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime"
    b"      ctime\n"
)
SEM = b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n"
SHM = (
    b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime"
    b"      dtime      ctime                   rss                  swap\n"
)


def msg_text(t: Task) -> bytes:
    return MSG + b"".join(
        b"%10d %10d  %4o  %10d %10d %5d %5d %5d %5d %5d %5d %10d %10d %10d\n"
        % (q.key, q.id, q.mode, q.bytes, len(q.messages), q.lspid, q.lrpid, q.uid, q.gid, q.cuid, q.cgid, q.stime,
           q.rtime, q.ctime)
        for q in ipc(t.kernel).msg
    )  # fmt: skip


def sem_text(t: Task) -> bytes:
    return SEM + b"".join(
        b"%10d %10d  %4o %10d %5d %5d %5d %5d %10d %10d\n"
        % (s.key, s.id, s.mode, len(s.sems), s.uid, s.gid, s.cuid, s.cgid, s.otime, s.ctime)
        for s in ipc(t.kernel).sem
    )


def shm_text(t: Task) -> bytes:
    segments = ipc(t.kernel).shm
    segments.sweep()
    counts = segments.count(list(segments))
    return SHM + b"".join(
        b"%10d %10d  %4o %21d %5d %5d  %5d %5d %5d %5d %5d %10d %10d %10d %21d %21d\n"
        % (s.key, s.id, s.shown_mode, s.size, s.cpid, s.lpid, counts[s], s.uid, s.gid, s.cuid, s.cgid, s.atime,
           s.dtime, s.ctime, s.resident() * 4096, 0)
        for s in segments
    )  # fmt: skip


def directory(fs: FileSystem) -> SynthDir:
    texts = {b"msg": msg_text, b"sem": sem_text, b"shm": shm_text}
    return SynthDir(fs, {name: SynthFile(fs, text) for name, text in texts.items()})
