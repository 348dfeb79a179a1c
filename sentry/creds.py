"""Credentials of a task: credentials(7), capabilities(7), setuid(2), setresuid(2), setfsuid(2), setgroups(2).

A value never changes; a transition returns a new one or raises EPERM or EINVAL as Linux would. The rules are those of
one user namespace whose root is uid 0.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from sentry.abi.const.rights import (
    CAP_CHOWN,
    CAP_DAC_OVERRIDE,
    CAP_DAC_READ_SEARCH,
    CAP_FOWNER,
    CAP_FSETID,
    CAP_LAST_CAP,
    CAP_LINUX_IMMUTABLE,
    CAP_MAC_OVERRIDE,
    CAP_MKNOD,
    CAP_SETGID,
    CAP_SETPCAP,
    CAP_SETUID,
    SECBIT_KEEP_CAPS,
    SECBIT_NO_SETUID_FIXUP,
    SECBIT_NOROOT,
)
from sentry.abi.errno import EINVAL, EPERM, Errno

ALL_CAPS = (1 << (CAP_LAST_CAP + 1)) - 1
# What follows the fsuid (setfsuid(2), capabilities(7) "Effect of user ID changes").
FS_CAPS = (
    1 << CAP_CHOWN | 1 << CAP_MKNOD | 1 << CAP_DAC_OVERRIDE | 1 << CAP_DAC_READ_SEARCH | 1 << CAP_FOWNER
    | 1 << CAP_FSETID | 1 << CAP_LINUX_IMMUTABLE | 1 << CAP_MAC_OVERRIDE
)  # fmt: skip
KEEP = 0xFFFFFFFF  # (uid_t)-1: leave this one as it is
NGROUPS_MAX = 65536


class FileCaps(NamedTuple):
    """The value of security.capability (capabilities(7), "File capabilities")."""

    permitted: int
    inheritable: int
    effective: bool

    @classmethod
    def parse(cls, value: bytes) -> FileCaps | None:
        """None when the attribute does not apply here (another namespace's root); EINVAL for a malformed one."""
        magic = int.from_bytes(value[:4], "little")
        words = {0x0100_0000: 3, 0x0200_0000: 5, 0x0300_0000: 6}.get(magic & 0xFF00_0000)
        if words is None or len(value) != 4 * words:
            raise EINVAL
        word = [int.from_bytes(value[i : i + 4], "little") for i in range(0, 4 * words, 4)]
        if words == 6 and word[5] != 0:
            return None
        high = (word[3], word[4]) if words >= 5 else (0, 0)
        return cls((word[1] | high[0] << 32) & ALL_CAPS, (word[2] | high[1] << 32) & ALL_CAPS, bool(magic & 1))


class Credentials(NamedTuple):
    """Who a task is: user and group ids, supplementary groups (sorted), capability sets as bit masks, secure bits."""

    ruid: int = 0
    euid: int = 0
    suid: int = 0
    fsuid: int = 0
    rgid: int = 0
    egid: int = 0
    sgid: int = 0
    fsgid: int = 0
    groups: tuple[int, ...] = ()
    permitted: int = 0
    effective: int = 0
    inheritable: int = 0
    bounding: int = ALL_CAPS
    ambient: int = 0
    securebits: int = 0
    no_new_privs: bool = False

    # -- questions --

    def has(self, cap: int) -> bool:
        return bool(self.effective >> cap & 1)

    def require(self, cap: int, error: type[Errno] = EPERM) -> None:
        if not self.effective >> cap & 1:
            raise error

    def in_group(self, gid: int) -> bool:
        """Is `gid` the file-system group or a supplementary one (inode permission checks)?"""
        return gid == self.fsgid or self._supplementary(gid)

    def _supplementary(self, gid: int) -> bool:
        at = bisect_left(self.groups, gid)
        return at < len(self.groups) and self.groups[at] == gid

    @property
    def keep_caps(self) -> bool:
        return bool(self.securebits & SECBIT_KEEP_CAPS)

    def covers(self, other: Credentials) -> bool:
        """May this one act on a process of `other` as far as capabilities go (ptrace(2), access mode checks)?"""
        return other.permitted & ~self.permitted == 0

    # -- user ids --

    def set_uid(self, uid: int) -> Credentials:
        if uid == KEEP:
            raise EINVAL
        if self.has(CAP_SETUID):
            return self._users(uid, uid, uid, uid)
        if uid not in (self.ruid, self.suid):
            raise EPERM
        return self._users(self.ruid, uid, self.suid, uid)

    def set_reuid(self, ruid: int, euid: int) -> Credentials:
        may = self.has(CAP_SETUID)
        if ruid != KEEP and ruid not in (self.ruid, self.euid) and not may:
            raise EPERM
        if euid != KEEP and euid not in (self.ruid, self.euid, self.suid) and not may:
            raise EPERM
        real = self.ruid if ruid == KEEP else ruid
        effective = self.euid if euid == KEEP else euid
        saved = effective if ruid != KEEP or (euid != KEEP and euid != self.ruid) else self.suid
        return self._users(real, effective, saved, effective)

    def set_resuid(self, ruid: int, euid: int, suid: int) -> Credentials:
        mine = (self.ruid, self.euid, self.suid, KEEP)
        if not self.has(CAP_SETUID) and not (ruid in mine and euid in mine and suid in mine):
            raise EPERM
        effective = self.euid if euid == KEEP else euid
        return self._users(
            self.ruid if ruid == KEEP else ruid, effective, self.suid if suid == KEEP else suid, effective
        )

    def set_fsuid(self, uid: int) -> Credentials:
        """The same value where it is refused: setfsuid(2) reports no error."""
        if uid == KEEP or not (uid in (self.ruid, self.euid, self.suid, self.fsuid) or self.has(CAP_SETUID)):
            return self
        effective = self.effective
        if not self.securebits & SECBIT_NO_SETUID_FIXUP:
            if self.fsuid == 0 and uid != 0:
                effective &= ~FS_CAPS
            elif self.fsuid != 0 and uid == 0:
                effective |= self.permitted & FS_CAPS
        return self._replace(fsuid=uid, effective=effective)

    def _users(self, ruid: int, euid: int, suid: int, fsuid: int) -> Credentials:
        """New user ids, and capabilities(7) "Effect of user ID changes on capabilities"."""
        permitted, effective, ambient = self.permitted, self.effective, self.ambient
        if not self.securebits & SECBIT_NO_SETUID_FIXUP:
            if 0 in (self.ruid, self.euid, self.suid) and 0 not in (ruid, euid, suid):
                if not self.keep_caps:
                    permitted = effective = 0
                ambient = 0
            if self.euid == 0 and euid != 0:
                effective = 0
            elif self.euid != 0 and euid == 0:
                effective = permitted
        return self._replace(
            ruid=ruid, euid=euid, suid=suid, fsuid=fsuid, permitted=permitted, effective=effective, ambient=ambient
        )

    # -- group ids --

    def set_gid(self, gid: int) -> Credentials:
        if gid == KEEP:
            raise EINVAL
        if self.has(CAP_SETGID):
            return self._replace(rgid=gid, egid=gid, sgid=gid, fsgid=gid)
        if gid not in (self.rgid, self.sgid):
            raise EPERM
        return self._replace(egid=gid, fsgid=gid)

    def set_regid(self, rgid: int, egid: int) -> Credentials:
        may = self.has(CAP_SETGID)
        if rgid != KEEP and rgid not in (self.rgid, self.egid) and not may:
            raise EPERM
        if egid != KEEP and egid not in (self.rgid, self.egid, self.sgid) and not may:
            raise EPERM
        real = self.rgid if rgid == KEEP else rgid
        effective = self.egid if egid == KEEP else egid
        saved = effective if rgid != KEEP or (egid != KEEP and egid != self.rgid) else self.sgid
        return self._replace(rgid=real, egid=effective, sgid=saved, fsgid=effective)

    def set_resgid(self, rgid: int, egid: int, sgid: int) -> Credentials:
        mine = (self.rgid, self.egid, self.sgid, KEEP)
        if not self.has(CAP_SETGID) and not (rgid in mine and egid in mine and sgid in mine):
            raise EPERM
        effective = self.egid if egid == KEEP else egid
        return self._replace(
            rgid=self.rgid if rgid == KEEP else rgid,
            egid=effective,
            sgid=self.sgid if sgid == KEEP else sgid,
            fsgid=effective,
        )

    def set_fsgid(self, gid: int) -> Credentials:
        if gid == KEEP or not (gid in (self.rgid, self.egid, self.sgid, self.fsgid) or self.has(CAP_SETGID)):
            return self
        return self._replace(fsgid=gid)

    def set_groups(self, groups: tuple[int, ...]) -> Credentials:
        self.require(CAP_SETGID)
        if len(groups) > NGROUPS_MAX or KEEP in groups:
            raise EINVAL
        return self._replace(groups=tuple(sorted(groups)))

    # -- capabilities --

    def set_caps(self, effective: int, permitted: int, inheritable: int) -> Credentials:
        """capset(2) on oneself."""
        effective, permitted, inheritable = effective & ALL_CAPS, permitted & ALL_CAPS, inheritable & ALL_CAPS
        if not self.has(CAP_SETPCAP) and inheritable & ~(self.inheritable | self.permitted):
            raise EPERM
        if inheritable & ~(self.inheritable | self.bounding) or permitted & ~self.permitted or effective & ~permitted:
            raise EPERM
        ambient = self.ambient & permitted & inheritable
        return self._replace(effective=effective, permitted=permitted, inheritable=inheritable, ambient=ambient)

    def for_exec(
        self,
        set_uid: int | None = None,
        set_gid: int | None = None,
        file_caps: FileCaps | None = None,
        shared_fs: bool = False,
    ) -> tuple[Credentials, bool]:
        """Credentials after execve(2) and whether the program runs with AT_SECURE.

        `set_uid`, `set_gid` are the owner of a file with S_ISUID, the group of one with S_ISGID (and S_IXGRP),
        `file_caps` its capabilities; the caller passes None for all three on a nosuid mount. `shared_fs`: another
        process shares root and cwd (CLONE_FS). EPERM for a capability-dumb binary.
        """
        if self.no_new_privs:
            set_uid = set_gid = None
        euid = self.euid if set_uid is None else set_uid
        egid = self.egid if set_gid is None else set_gid
        permitted, raised = 0, False
        if file_caps is not None:
            permitted = (self.bounding & file_caps.permitted) | (self.inheritable & file_caps.inheritable)
            raised = file_caps.effective
            if raised and file_caps.permitted & ~permitted:
                raise EPERM
        suid_root = self.ruid != 0 and euid == 0
        if not self.securebits & SECBIT_NOROOT and not (file_caps is not None and suid_root):
            if self.ruid == 0 or euid == 0:
                permitted = self.bounding | self.inheritable
            if euid == 0:
                raised = True
        changed = euid != self.ruid or egid != self.rgid
        if (changed or permitted & ~self.permitted) and (self.no_new_privs or shared_fs):
            if self.no_new_privs or not self.has(CAP_SETUID):
                euid, egid = self.ruid, self.rgid
            permitted &= self.permitted
        ambient = 0 if file_caps is not None or changed else self.ambient
        permitted |= ambient
        effective = permitted if raised else ambient
        secure = changed or (self.ruid != 0 and (raised or permitted & ~ambient != 0))
        new = self._replace(
            euid=euid, suid=euid, fsuid=euid, egid=egid, sgid=egid, fsgid=egid, permitted=permitted,
            effective=effective, ambient=ambient, securebits=self.securebits & ~SECBIT_KEEP_CAPS,
        )  # fmt: skip
        return new, secure


ROOT = Credentials(permitted=ALL_CAPS, effective=ALL_CAPS)
