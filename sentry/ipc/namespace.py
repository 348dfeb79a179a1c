"""The IPC namespace of a sandbox (ipc_namespaces(7)): there is one, with every object in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentry.ipc.mqueue import MqueueFs
from sentry.ipc.msg import MsgQueue
from sentry.ipc.perm import Table
from sentry.ipc.sem import SemSet
from sentry.ipc.shm import Segments

if TYPE_CHECKING:
    from sentry.kernel.kernel import Kernel


class IpcNamespace:
    def __init__(self, kernel: Kernel) -> None:
        self.sem: Table[SemSet] = Table()
        self.msg: Table[MsgQueue] = Table()
        self.shm = Segments(kernel)
        self.mqueue = MqueueFs()


def ipc(kernel: Kernel) -> IpcNamespace:
    """The one of `kernel`, made when it is first needed."""
    found = kernel.__dict__.get("ipc")
    if not isinstance(found, IpcNamespace):
        found = kernel.__dict__["ipc"] = IpcNamespace(kernel)
    return found
