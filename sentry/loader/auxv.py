"""getauxval(3): the entries of the auxiliary vector that the Sentry decides.

The host makes the vector for the loader; the plan corrects these entries. The others stay as the host made them
(AT_RANDOM, AT_SYSINFO_EHDR, AT_HWCAP, AT_HWCAP2, AT_PLATFORM, AT_PAGESZ, AT_CLKTCK, AT_MINSIGSTKSZ, AT_RSEQ_*).
"""

import struct
from collections.abc import Mapping
from typing import NamedTuple

from sentry.abi.const.tasks import (
    AT_BASE,
    AT_EGID,
    AT_ENTRY,
    AT_EUID,
    AT_EXECFN,
    AT_FLAGS,
    AT_GID,
    AT_PHDR,
    AT_PHENT,
    AT_PHNUM,
    AT_SECURE,
    AT_UID,
)
from sentry.loader.elf import Image

BASE_ZERO, BASE_PROGRAM, BASE_INTERP, BASE_STRINGS = range(4)

AUX = struct.Struct("<IIQ")             # key, what to add to the value, value; as in engine/loader.c
_PHENT = 56


class Ids(NamedTuple):
    """The identity that the program sees; `secure` is set for a set-id or otherwise privileged execve."""

    uid: int
    euid: int
    gid: int
    egid: int
    secure: bool = False


def patches(program: Image, ids: Ids, extra: Mapping[int, int]) -> bytes:
    """The packed corrections; AT_EXECFN is the first string of the plan. `extra` gives further plain values."""
    rows = [
        (AT_PHDR, BASE_PROGRAM, program.phdr_vaddr),
        (AT_PHENT, BASE_ZERO, _PHENT),
        (AT_PHNUM, BASE_ZERO, program.phnum),
        (AT_BASE, BASE_INTERP, 0),
        (AT_FLAGS, BASE_ZERO, 0),
        (AT_ENTRY, BASE_PROGRAM, program.entry),
        (AT_UID, BASE_ZERO, ids.uid),
        (AT_EUID, BASE_ZERO, ids.euid),
        (AT_GID, BASE_ZERO, ids.gid),
        (AT_EGID, BASE_ZERO, ids.egid),
        (AT_SECURE, BASE_ZERO, int(ids.secure)),
        (AT_EXECFN, BASE_STRINGS, 0),
        *((key, BASE_ZERO, value) for key, value in extra.items()),
    ]
    return b"".join(AUX.pack(*row) for row in rows)
