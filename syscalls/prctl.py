"""Operations on a process or thread: prctl(2), with capabilities(7) for secure bits, ambient and bounding sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sentry.abi.const import rights as r
from sentry.abi.errno import EFAULT, EINVAL, ENODEV, EPERM, Errno
from syscalls.args import PrctlOp, ULong
from syscalls.registry import CONTINUE, syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task

SECBITS = r.SECURE_ALL_BITS | r.SECURE_ALL_LOCKS
KEEP_LOCKED = r.SECBIT_KEEP_CAPS_LOCKED
SIGNAL_MAX = 64
Op = Callable[["Task", int, int, int, int], int]

# The host's own setting of the calling task: it names no object and reads no policy from memory.
HOST_OWN = frozenset(
    (
        r.PR_GET_PDEATHSIG, r.PR_SET_NAME, r.PR_GET_NAME, r.PR_SET_TIMERSLACK, r.PR_GET_TIMERSLACK,
        r.PR_SET_THP_DISABLE, r.PR_GET_THP_DISABLE, r.PR_SET_VMA,
    )
)  # fmt: skip
# What a kernel of this machine answers when the feature is not there.
ABSENT: dict[int, type[Errno]] = {
    r.PR_GET_SPECULATION_CTRL: ENODEV,
    r.PR_SET_SPECULATION_CTRL: ENODEV,
    r.PR_SET_IO_FLUSHER: EPERM,
    r.PR_GET_IO_FLUSHER: EPERM,
}


@syscall(
    "prctl", PrctlOp, ULong, ULong, ULong, ULong,
    support="partial", note="no seccomp filters of the guest, no PR_SET_MM of single fields, no syscall user dispatch",
)  # fmt: skip
def sys_prctl(t: Task, op: int, a: int, b: int, c: int, d: int) -> int:
    option = op & 0xFFFFFFFF
    if option in HOST_OWN:
        return CONTINUE
    run = OPS.get(option)
    if run is None:
        raise ABSENT.get(option, EINVAL)
    return run(t, a, b, c, d)


def _cap(number: int) -> int:
    if number > r.CAP_LAST_CAP:
        raise EINVAL
    return number


def _set_pdeathsig(t: Task, signo: int, b: int, c: int, d: int) -> int:
    if signo > SIGNAL_MAX:
        raise EINVAL
    return CONTINUE  # the host sends it: the parents are real


def _get_dumpable(t: Task, a: int, b: int, c: int, d: int) -> int:
    return t.group.dumpable


def _set_dumpable(t: Task, value: int, b: int, c: int, d: int) -> int:
    """The host's own flag stays off: its core_pattern must never see a guest's memory."""
    if value not in (0, 1):
        raise EINVAL
    t.group.dumpable = value
    return 0


def _get_keepcaps(t: Task, a: int, b: int, c: int, d: int) -> int:
    return int(t.creds.keep_caps)


def _set_keepcaps(t: Task, on: int, b: int, c: int, d: int) -> int:
    if on > 1:
        raise EINVAL
    bits = t.creds.securebits
    if bits & KEEP_LOCKED:
        raise EPERM
    t.creds = t.creds._replace(securebits=bits & ~r.SECBIT_KEEP_CAPS | (r.SECBIT_KEEP_CAPS if on else 0))
    return 0


def _get_securebits(t: Task, a: int, b: int, c: int, d: int) -> int:
    return t.creds.securebits


def _set_securebits(t: Task, new: int, b: int, c: int, d: int) -> int:
    old = t.creds.securebits
    locked = (old & r.SECURE_ALL_LOCKS) >> 1 & (old ^ new)  # a locked bit would change
    if locked or old & r.SECURE_ALL_LOCKS & ~new or new & ~SECBITS or not t.creds.has(r.CAP_SETPCAP):
        raise EPERM
    t.creds = t.creds._replace(securebits=new)
    return 0


def _capbset_read(t: Task, cap: int, b: int, c: int, d: int) -> int:
    return t.creds.bounding >> _cap(cap) & 1


def _capbset_drop(t: Task, cap: int, b: int, c: int, d: int) -> int:
    t.creds.require(r.CAP_SETPCAP)
    t.creds = t.creds._replace(bounding=t.creds.bounding & ~(1 << _cap(cap)))
    return 0


def _cap_ambient(t: Task, what: int, cap: int, c: int, d: int) -> int:
    creds = t.creds
    if c or d:
        raise EINVAL
    if what == r.PR_CAP_AMBIENT_CLEAR_ALL:
        if cap:
            raise EINVAL
        t.creds = creds._replace(ambient=0)
        return 0
    bit = 1 << _cap(cap)
    if what == r.PR_CAP_AMBIENT_IS_SET:
        return int(creds.ambient & bit != 0)
    if what == r.PR_CAP_AMBIENT_RAISE:
        if not creds.permitted & creds.inheritable & bit or creds.securebits & r.SECBIT_NO_CAP_AMBIENT_RAISE:
            raise EPERM
        t.creds = creds._replace(ambient=creds.ambient | bit)
    elif what == r.PR_CAP_AMBIENT_LOWER:
        t.creds = creds._replace(ambient=creds.ambient & ~bit)
    else:
        raise EINVAL
    return 0


def _set_no_new_privs(t: Task, on: int, b: int, c: int, d: int) -> int:
    if on != 1 or b or c or d:
        raise EINVAL
    t.creds = t.creds._replace(no_new_privs=True)
    return 0


def _get_no_new_privs(t: Task, a: int, b: int, c: int, d: int) -> int:
    if a or b or c or d:
        raise EINVAL
    return int(t.creds.no_new_privs)


def _set_child_subreaper(t: Task, on: int, b: int, c: int, d: int) -> int:
    t.group.subreaper = on != 0
    return CONTINUE  # the host gives orphans their parent


def _get_child_subreaper(t: Task, value_addr: int, b: int, c: int, d: int) -> int:
    t.mem.put_i32(value_addr, int(t.group.subreaper))
    return 0


def _get_timing(t: Task, a: int, b: int, c: int, d: int) -> int:
    return r.PR_TIMING_STATISTICAL


def _set_timing(t: Task, value: int, b: int, c: int, d: int) -> int:
    if value != r.PR_TIMING_STATISTICAL:
        raise EINVAL
    return 0


def _get_tsc(t: Task, value_addr: int, b: int, c: int, d: int) -> int:
    t.mem.put_i32(value_addr, r.PR_TSC_ENABLE)
    return 0


def _get_seccomp(t: Task, a: int, b: int, c: int, d: int) -> int:
    return 0


def _mce_kill_get(t: Task, a: int, b: int, c: int, d: int) -> int:
    if a or b or c or d:
        raise EINVAL
    return r.PR_MCE_KILL_DEFAULT


def _nothing(t: Task, a: int, b: int, c: int, d: int) -> int:
    return 0


def _set_ptracer(t: Task, a: int, b: int, c: int, d: int) -> int:
    raise EINVAL  # as without Yama


def _set_mm(t: Task, a: int, b: int, c: int, d: int) -> int:
    if a == r.PR_SET_MM_MAP_SIZE:
        if b == 0:
            raise EFAULT
        t.mem.put_u32(b, 104)
        return 0
    raise EPERM


OPS: dict[int, Op] = {
    r.PR_SET_PDEATHSIG: _set_pdeathsig,
    r.PR_GET_DUMPABLE: _get_dumpable,
    r.PR_SET_DUMPABLE: _set_dumpable,
    r.PR_GET_KEEPCAPS: _get_keepcaps,
    r.PR_SET_KEEPCAPS: _set_keepcaps,
    r.PR_GET_SECUREBITS: _get_securebits,
    r.PR_SET_SECUREBITS: _set_securebits,
    r.PR_CAPBSET_READ: _capbset_read,
    r.PR_CAPBSET_DROP: _capbset_drop,
    r.PR_CAP_AMBIENT: _cap_ambient,
    r.PR_SET_NO_NEW_PRIVS: _set_no_new_privs,
    r.PR_GET_NO_NEW_PRIVS: _get_no_new_privs,
    r.PR_SET_CHILD_SUBREAPER: _set_child_subreaper,
    r.PR_GET_CHILD_SUBREAPER: _get_child_subreaper,
    r.PR_GET_TIMING: _get_timing,
    r.PR_SET_TIMING: _set_timing,
    r.PR_GET_TSC: _get_tsc,
    r.PR_GET_SECCOMP: _get_seccomp,
    r.PR_MCE_KILL_GET: _mce_kill_get,
    r.PR_TASK_PERF_EVENTS_DISABLE: _nothing,
    r.PR_TASK_PERF_EVENTS_ENABLE: _nothing,
    r.PR_SET_PTRACER: _set_ptracer,
    r.PR_SET_MM: _set_mm,
}
