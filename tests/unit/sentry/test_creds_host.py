"""sentry.creds against the host's kernel: the same random calls, the same ids, sets and errors after each."""

from __future__ import annotations

import ctypes
import os
import random
import sys
import traceback

import pytest

from sentry.abi.errno import Errno
from sentry.abi.nr.x86_64 import NR
from sentry.creds import ALL_CAPS, KEEP, Credentials

IDS = (0, 0, 1000, 1001, 1002, KEEP)
PR_CAPBSET_DROP, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT = 24, 8, 28, 47


def _status() -> Credentials:
    with open("/proc/self/status", encoding="ascii") as f:
        lines = dict(line.split(":", 1) for line in f.read().splitlines())
    uid, gid = ([int(x) for x in lines[k].split()] for k in ("Uid", "Gid"))
    caps = {k: int(lines[k], 16) for k in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")}
    return Credentials(
        ruid=uid[0], euid=uid[1], suid=uid[2], fsuid=uid[3], rgid=gid[0], egid=gid[1], sgid=gid[2], fsgid=gid[3],
        groups=tuple(int(x) for x in lines["Groups"].split()), permitted=caps["CapPrm"], effective=caps["CapEff"],
        inheritable=caps["CapInh"], bounding=caps["CapBnd"], ambient=caps["CapAmb"],
    )  # fmt: skip


class Host:
    """Raw system calls of this one thread; glibc's wrappers would change all threads."""

    def __init__(self) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)

    def call(self, name: str, *args: int) -> int:
        """The result, negative for an error."""
        done = self.libc.syscall(ctypes.c_long(NR[name]), *(ctypes.c_long(a) for a in args))
        return int(done) if done >= 0 else -ctypes.get_errno()

    def capset(self, effective: int, permitted: int, inheritable: int) -> int:
        head = (ctypes.c_uint32 * 2)(0x20080522, 0)
        words = [v >> shift & 0xFFFFFFFF for shift in (0, 32) for v in (effective, permitted, inheritable)]
        data = (ctypes.c_uint32 * 6)(*words)
        return self.call("capset", ctypes.addressof(head), ctypes.addressof(data))

    def setgroups(self, groups: tuple[int, ...]) -> int:
        data = (ctypes.c_uint32 * max(1, len(groups)))(*groups)
        return self.call("setgroups", len(groups), ctypes.addressof(data))


def _step(rng: random.Random, host: Host, creds: Credentials) -> tuple[str, Credentials, int, int]:
    """One random call on both: what it was, our credentials after it, our errno, the host's."""
    pick = rng.choice
    kind = pick(("setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid",
                 "setgroups", "capset", "capset", "keep"))  # fmt: skip
    method = {"setuid": "set_uid", "setgid": "set_gid", "setreuid": "set_reuid", "setregid": "set_regid",
              "setresuid": "set_resuid", "setresgid": "set_resgid", "setfsuid": "set_fsuid",
              "setfsgid": "set_fsgid"}.get(kind)  # fmt: skip
    error, args = 0, tuple(pick(IDS) for _ in range(3))
    new = creds
    if method is not None:
        args = args[: 3 if "res" in kind else 2 if "re" in kind else 1]
        told = host.call(kind, *args)
        told = 0 if kind.startswith("setfs") else told
        try:
            new = getattr(creds, method)(*args)
        except Errno as err:
            error = err.code
    elif kind == "setgroups":
        groups = tuple(sorted(pick((0, 5, 7, 1000)) for _ in range(rng.randrange(4))))
        told = host.setgroups(groups)
        try:
            new = creds.set_groups(groups)
        except Errno as err:
            error = err.code
        args = groups
    elif kind == "capset":
        sets = [creds.effective, creds.permitted, creds.inheritable]
        sets = [pick((s, s & rng.getrandbits(41), s | 1 << rng.randrange(41), creds.permitted)) for s in sets]
        told = host.capset(*sets)
        try:
            new = creds.set_caps(*sets)
        except Errno as err:
            error = err.code
        args = tuple(sets)
    else:
        on = rng.randrange(2)
        told = host.call("prctl", PR_SET_KEEPCAPS, on, 0, 0, 0)
        new = creds._replace(securebits=creds.securebits & ~16 | on << 4)
    return f"{kind}{args}", new, error, -told


def _differ(seed: int) -> str:
    """Run one child's worth of calls; the first difference, or nothing."""
    rng, host = random.Random(seed), Host()
    creds = _status()
    did: list[str] = []
    for _ in range(12):
        what, creds, ours, theirs = _step(rng, host, creds)
        did.append(what)
        if ours != theirs:
            return f"seed {seed}: {did}: errno {ours}, host {theirs}"
        seen = _status()._replace(securebits=creds.securebits)
        if seen != creds:
            return f"seed {seed}: {did}:\nours {creds}\nhost {seen}"
    return ""


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="needs root")
def test_same_as_host() -> None:
    for seed in range(150):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                text = _differ(seed)
            except BaseException:
                text = traceback.format_exc()
            os.write(writer, text.encode()[:4000])
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as f:
            said = f.read().decode()
        os.waitpid(pid, 0)
        assert not said, said


def test_root_has_everything() -> None:
    assert _status().bounding & ~ALL_CAPS == 0
