"""State directory of a container, and its lock (flock(2) on the directory itself).

ROOT/ID/state.json   the record, replaced by rename; written before anything that must be cleaned up is made
ROOT/ID/control      the Sentry's socket
ROOT/ID/network      what was taken out of its network namespace (network.py)
ROOT/ID/exit         wait status of the container's first process, once it has one

The default ROOT never depends on the environment: commands come with differing ones (podman's `kill` has no PATH).
"""

from __future__ import annotations

import fcntl
import os
import time

from runsc_py import json_text
from runsc_py.errors import Failure, failure_of

DEFAULT_ROOT = "/run/runsc-py"
ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
RECORD_LIMIT = 4 << 20

Record = dict[str, object]


def check_id(container_id: str) -> str:
    allowed = 0 < len(container_id) <= 255 and ID_CHARACTERS.issuperset(container_id)
    if not allowed or set(container_id) == {"."}:
        raise Failure("container id", f"{container_id!r} is not allowed", "use letters, digits and _ + - .")
    return container_id


class Directory:
    """The directory of one container id; made by `create`, or found by `find`. Changes take the lock."""

    def __init__(self, root: str, container_id: str) -> None:
        self.id = check_id(container_id)
        self.path = f"{root}/{container_id}"
        self.lock_fd = -1

    @classmethod
    def create(cls, root: str, container_id: str) -> Directory:
        """A new directory, locked. Its name must be free."""
        directory = cls(root, container_id)
        try:
            os.makedirs(root, 0o700, exist_ok=True)
            os.mkdir(directory.path, 0o700)
        except FileExistsError:
            raise Failure("create", f"container {container_id!r} exists", "delete it first")
        except OSError as err:
            raise failure_of(err, "state directory", "use --root to choose another one")
        if not directory.lock(10.0):
            raise Failure("create", f"container {container_id!r} was deleted meanwhile")
        return directory

    @classmethod
    def find(cls, root: str, container_id: str) -> Directory | None:
        directory = cls(root, container_id)
        return directory if os.path.isdir(directory.path) else None

    def lock(self, patience_s: float) -> bool:
        """True when locked; False when the directory is gone (deleted by the holder before us)."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    raise Failure(f"container {self.id}", "busy: another command holds its lock", "try again")
                time.sleep(0.005)
        if not self._is_current(fd):
            os.close(fd)
            return False
        self.lock_fd = fd
        return True

    def _is_current(self, fd: int) -> bool:
        try:
            return os.path.samestat(os.fstat(fd), os.stat(self.path))
        except FileNotFoundError:
            return False

    def unlock(self) -> None:
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def read(self) -> Record:
        """The record; empty if `create` died before it wrote one."""
        try:
            with open(f"{self.path}/state.json", "rb") as file:
                record = json_text.loads(file.read(RECORD_LIMIT))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise Failure(f"container {self.id}", "its state.json is damaged", "`delete --force` removes it")
        return record if isinstance(record, dict) else {}

    def write(self, record: Record) -> None:
        fresh = f"{self.path}/.state.json"
        with open(fresh, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(json_text.dumps(record))
        os.rename(fresh, f"{self.path}/state.json")

    def exit_status(self) -> tuple[int, str] | None:
        """Wait status that the Sentry left behind, and why, if it was the sandbox that failed."""
        try:
            with open(f"{self.path}/exit", encoding="utf-8", errors="replace") as file:
                number, _, why = file.read(8192).partition("\n")
            return int(number), why
        except (OSError, ValueError):
            return None

    def remove(self) -> None:
        """Take the directory away; the lock goes with it."""
        for name in ("control", "exit", "network", "network.new", ".state.json", "state.json"):
            try:
                os.unlink(f"{self.path}/{name}")
            except FileNotFoundError:
                pass
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        self.unlock()


def listed(root: str) -> list[str]:
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if ID_CHARACTERS.issuperset(name) and os.path.isdir(f"{root}/{name}"))
