"""msgget(2), msgsnd(2), msgrcv(2), msgctl(2)."""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING

from sentry.abi.const.ipc import IPC_64, IPC_INFO, IPC_NOWAIT, IPC_RMID, IPC_SET, IPC_STAT
from sentry.abi.const.rights import CAP_SYS_RESOURCE
from sentry.abi.errno import EINVAL
from sentry.abi.structs import IPC_PERM
from sentry.ipc.msg import MSG_COPY, MSG_EXCEPT, Message, MsgQueue
from sentry.ipc.namespace import ipc
from sentry.ipc.perm import R, W
from sentry.wait import IN, OUT, RESTARTNOHAND, retry
from syscalls.args import Addr, Int, Long, Size
from syscalls.registry import syscall
from vfs.proc.sysctl import value

if TYPE_CHECKING:
    from sentry.kernel.task import Task

MSG_STAT, MSG_INFO, MSG_STAT_ANY = 11, 12, 13
# struct msqid64_ds behind the perm: stime rtime ctime cbytes qnum qbytes lspid lrpid
REST = Struct("<qqqQQQii16x")
LIMIT = 1 << 30  # bytes that one queue holds, whatever its owner may ask for
MSGINFO = Struct("<7iH2x")  # pool map max mnb mni ssz tql seg


@syscall("msgget", Int, Int)
def sys_msgget(t: Task, key: int, flags: int) -> int:
    kernel = t.kernel
    table = ipc(kernel).msg

    def make() -> MsgQueue:
        return MsgQueue(key, flags, t.creds, value(kernel, b"kernel/msgmnb"))

    return table.get(key, flags, t.creds, value(kernel, b"kernel/msgmni"), make, lambda found: True).id


@syscall("msgsnd", Int, Addr, Size, Int)
def sys_msgsnd(t: Task, number: int, message_addr: int, size: int, flags: int) -> int:
    kind = t.mem.i64(message_addr)
    if size > value(t.kernel, b"kernel/msgmax") or number < 0 or kind < 1:
        raise EINVAL
    message = Message(kind, t.mem.read(message_addr + 8, size) if size else b"")
    queue = ipc(t.kernel).msg.find(number)
    queue.check(t.creds, W)

    def send() -> int:
        queue.send(message, t.group.pid, bool(flags & IPC_NOWAIT))
        return 0

    return retry(send, [(queue, OUT)], restart=RESTARTNOHAND)


@syscall("msgrcv", Int, Addr, Size, Long, Int)
def sys_msgrcv(t: Task, number: int, message_addr: int, size: int, wanted: int, flags: int) -> int:
    if number < 0 or size > (1 << 63) - 1:
        raise EINVAL
    if flags & MSG_COPY and (flags & MSG_EXCEPT or not flags & IPC_NOWAIT):
        raise EINVAL
    queue = ipc(t.kernel).msg.find(number)
    queue.check(t.creds, R)

    def give(message: Message) -> None:
        t.mem.write(message_addr, message.kind.to_bytes(8, "little") + message.text)

    receive = partial(queue.receive, wanted, size, flags, t.group.pid, give)
    return retry(receive, [(queue, IN)], restart=RESTARTNOHAND)


@syscall("msgctl", Int, Int, Addr)
def sys_msgctl(t: Task, number: int, command: int, addr: int) -> int:
    command &= ~IPC_64
    table = ipc(t.kernel).msg
    if number < 0 or command < 0:
        raise EINVAL
    if command in (IPC_INFO, MSG_INFO):
        return _info(t, command, addr)
    if command in (MSG_STAT, MSG_STAT_ANY):
        queue = table.at(number)
        if command == MSG_STAT:
            queue.check(t.creds, R)
        _put(t, queue, addr)
        return queue.id
    if command not in (IPC_STAT, IPC_SET, IPC_RMID):
        raise EINVAL
    if command == IPC_SET:
        perm, limit = t.mem.unpack(IPC_PERM, addr), t.mem.u64(addr + IPC_PERM.size + 40)
    queue = table.find(number)
    if command == IPC_STAT:
        queue.check(t.creds, R)
        _put(t, queue, addr)
    elif command == IPC_SET:
        queue.check_owner(t.creds)
        if limit > value(t.kernel, b"kernel/msgmnb"):
            t.creds.require(CAP_SYS_RESOURCE)
        queue.set_owner(perm[1], perm[2], perm[5])
        queue.limit = min(limit, LIMIT)
        queue.queue.notify()  # it may be larger, and others may be allowed
    else:
        queue.check_owner(t.creds)
        table.remove(queue)
        queue.queue.notify()
    return 0


def _put(t: Task, q: MsgQueue, addr: int) -> None:
    rest = REST.pack(q.stime, q.rtime, q.ctime, q.bytes, len(q.messages), q.limit, q.lspid, q.lrpid)
    t.mem.write(addr, q.packed_perm() + rest)


def _info(t: Task, command: int, addr: int) -> int:
    kernel = t.kernel
    table = ipc(kernel).msg
    most, per_queue, queues = (value(kernel, b"kernel/" + name) for name in (b"msgmax", b"msgmnb", b"msgmni"))
    if command == MSG_INFO:
        pool, total, count = len(table), sum(q.bytes for q in table), sum(len(q.messages) for q in table)
    else:
        pool, total, count = min(queues * per_queue // 1024, 0x7FFF_FFFF), per_queue, per_queue
    t.mem.pack(MSGINFO, addr, pool, count, most, per_queue, queues, 16, total, 0xFFFF)
    return table.highest
