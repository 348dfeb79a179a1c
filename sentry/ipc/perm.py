"""What the three kinds of System V objects share (sysvipc(7)): key, owner, mode, and the table of identifiers.

An identifier is a sequence number above the index of a slot, so that one that was removed is not soon another's.
"""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Generic, TypeVar

from sentry.abi.const.ipc import IPC_CREAT, IPC_EXCL, IPC_PRIVATE
from sentry.abi.const.rights import CAP_IPC_OWNER, CAP_SYS_ADMIN
from sentry.abi.errno import EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM
from sentry.abi.structs import IPC_PERM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sentry.creds import Credentials

INDEX_BITS = 15
SLOTS = 1 << INDEX_BITS
LAST_SEQUENCE = (1 << (31 - INDEX_BITS)) - 1
R, W = 4, 2


def seconds() -> int:
    """The time that the *_ds structures hold."""
    return int(time())


class IpcObject:
    """`id` is set when it enters a table; `removed` stays true for those who still sleep on it."""

    def __init__(self, key: int, mode: int, creds: Credentials) -> None:
        self.key = key
        self.mode = mode & 0o777
        self.uid = self.cuid = creds.euid
        self.gid = self.cgid = creds.egid
        self.id = -1
        self.removed = False
        self.ctime = seconds()

    @property
    def shown_mode(self) -> int:
        """With the flags that *ctl shows above the nine bits."""
        return self.mode

    def check(self, creds: Credentials, want: int) -> None:
        """EACCES unless all of `want` (R, W) is given by the mode or CAP_IPC_OWNER."""
        if creds.euid in (self.uid, self.cuid):
            bits = self.mode >> 6
        elif _in_group(creds, self.gid) or _in_group(creds, self.cgid):
            bits = self.mode >> 3
        else:
            bits = self.mode
        if want & ~bits and not creds.has(CAP_IPC_OWNER):
            raise EACCES

    def check_mode(self, creds: Credentials, mode: int) -> None:
        """The permissions that a *get call asks for, in any of the three places."""
        self.check(creds, (mode >> 6 | mode >> 3 | mode) & 0o7)

    def check_owner(self, creds: Credentials) -> None:
        """EPERM unless the caller may change or remove it."""
        if creds.euid not in (self.uid, self.cuid) and not creds.has(CAP_SYS_ADMIN):
            raise EPERM

    def set_owner(self, uid: int, gid: int, mode: int) -> None:
        """IPC_SET. EINVAL for an id that is none."""
        if uid == 0xFFFF_FFFF or gid == 0xFFFF_FFFF:
            raise EINVAL
        self.uid, self.gid, self.mode = uid, gid, self.mode & ~0o777 | mode & 0o777
        self.ctime = seconds()

    def packed_perm(self) -> bytes:
        """struct ipc64_perm."""
        return IPC_PERM.pack(
            self.key, self.uid, self.gid, self.cuid, self.cgid, self.shown_mode, self.id >> INDEX_BITS, 0
        )


def _in_group(creds: Credentials, gid: int) -> bool:
    return gid == creds.egid or gid in creds.groups


T = TypeVar("T", bound=IpcObject)


class Table(Generic[T]):
    """The objects of one kind, by index and by key."""

    def __init__(self) -> None:
        self.slots: dict[int, T] = {}
        self.keys: dict[int, T] = {}
        self._next = 0
        self._sequence = 0

    def get(
        self, key: int, flags: int, creds: Credentials, limit: int, make: Callable[[], T], fits: Callable[[T], bool]
    ) -> T:
        """shmget, semget, msgget. `fits(found)` false: EINVAL."""
        if key != IPC_PRIVATE:
            found = self.keys.get(key)
            if found is not None:
                if flags & IPC_CREAT and flags & IPC_EXCL:
                    raise EEXIST
                found.check_mode(creds, flags)
                if not fits(found):
                    raise EINVAL
                return found
            if not flags & IPC_CREAT:
                raise ENOENT
        if len(self.slots) >= min(limit, SLOTS):
            raise ENOSPC
        made = make()
        self._enter(made)
        return made

    def _enter(self, made: T) -> None:
        index = self._next
        while index in self.slots:
            index = (index + 1) % SLOTS
        if index < self._next:
            self._sequence = self._sequence + 1 & LAST_SEQUENCE
        self._next = index + 1
        if self._next == SLOTS:
            self._next = 0
            self._sequence = self._sequence + 1 & LAST_SEQUENCE
        made.id = self._sequence << INDEX_BITS | index
        self.slots[index] = made
        if made.key != IPC_PRIVATE:
            self.keys[made.key] = made

    def find(self, number: int) -> T:
        """By identifier; EINVAL for one that is no more."""
        found = self.slots.get(number & SLOTS - 1) if number >= 0 else None
        if found is None or found.id != number:
            raise EINVAL
        return found

    def at(self, index: int) -> T:
        """By index (SHM_STAT, SEM_STAT, MSG_STAT)."""
        found = self.slots.get(index & SLOTS - 1) if index >= 0 else None
        if found is None:
            raise EINVAL
        return found

    @property
    def highest(self) -> int:
        """The highest index in use, 0 when there is none."""
        return max(self.slots, default=0)

    def forget_key(self, gone: T) -> None:
        if self.keys.get(gone.key) is gone:
            del self.keys[gone.key]

    def remove(self, gone: T) -> None:
        gone.removed = True
        self.forget_key(gone)
        index = gone.id & SLOTS - 1
        if self.slots.get(index) is gone:
            del self.slots[index]

    def __iter__(self) -> Iterator[T]:
        return iter([self.slots[index] for index in sorted(self.slots)])

    def __len__(self) -> int:
        return len(self.slots)
