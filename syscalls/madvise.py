"""madvise(2): the listed advice is native (platform/native.py); what comes here is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.abi.errno import EINVAL
from syscalls.args import Addr, Int, Size
from syscalls.registry import syscall

if TYPE_CHECKING:
    from sentry.kernel.task import Task


_NOTE = "no page is merged or poisoned: MADV_MERGEABLE and HWPOISON are EINVAL, as where they are not built in"


@syscall("madvise", Addr, Size, Int, note=_NOTE)
def sys_madvise(t: Task, addr: int, length: int, advice: int) -> int:
    raise EINVAL
