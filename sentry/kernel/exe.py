"""The program that a process runs (execve(2), ETXTBSY): open as long as one process runs it, and closed to writers.

`Inode.writers` counts open files that may write; each process that runs the file takes one off, so it is negative then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentry.kernel.thread_group import ThreadGroup
    from vfs.core.file import File
    from vfs.core.node import Inode
    from vfs.core.walk import Path


class Program:
    """A hold on an open program file. It ends with `drop`, or with the last reference to it."""

    __slots__ = ("path", "file", "inode")

    def __init__(self, path: Path, file: File, inode: Inode) -> None:
        self.path = path
        self.file: File | None = file.ref()
        inode.writers -= 1
        self.inode = inode  # the dentry may name another one by the time this ends

    def again(self) -> Program | None:
        """For another process that runs the same file."""
        return Program(self.path, self.file, self.inode) if self.file is not None else None

    def drop(self) -> None:
        file, self.file = self.file, None
        if file is not None:
            self.inode.writers += 1
            file.unref()

    __del__ = drop


def set_program(group: ThreadGroup, program: Program | None) -> None:
    """`group` runs `program` from now on; None: it is dead, but its /proc/PID/exe still has a name."""
    old, group.program = group.program, program
    if old is not None:
        old.drop()
    group.exe_file = None
    if program is not None:
        group.exe, group.exe_file = program.path, program.file
