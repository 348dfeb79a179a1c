"""The ptrace platform's parts that need no guest (ptrace(2), seccomp(2), unix(7))."""

from __future__ import annotations

import array
import ast
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sentry.platform.filter import compile_filter
from sentry.platform.handover import CONTROL_AT, DATA_AT, FD_AT, Channel, _message
from sentry.platform.host_allowlist import PTRACE_FOR_LIFE, calls
from sentry.platform.native import rules

PROJECT = Path(__file__).resolve().parents[3]
RET = b"\x06\0\0\0"
NOTIFY, TRACE = b"\0\0\xc0\x7f", b"\0\0\xf0\x7f"


def test_python_ptrace_is_imported_in_one_module() -> None:
    """It is GPL-2.0-only: what does not need it must run without it."""
    found = []
    for package in ("runsc_py", "sentry", "syscalls", "vfs", "netstack", "tools"):
        for path in (PROJECT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                if any(name.partition(".")[0] == "ptrace" for name in names):
                    found.append(str(path.relative_to(PROJECT)))
    assert set(found) == {"sentry/platform/tracing.py"}


def test_guests_run_the_same_calls_natively() -> None:
    listed = rules(62, 61)
    notified, traced = compile_filter(listed), compile_filter(listed, traced=True)
    assert RET + NOTIFY in notified and RET + NOTIFY not in traced
    assert traced == notified.replace(RET + NOTIFY, RET + TRACE)


def test_the_sentry_may_ask_for_little_more() -> None:
    floor, more = calls(), calls("ptrace")
    assert {call.name for call in more} == {call.name for call in floor}
    added = [call for call in more if call not in floor]
    assert {call.tests for call in added} == {((0, "==", request),) for request in PTRACE_FOR_LIFE}
    assert len(added) == len(PTRACE_FOR_LIFE) <= 4


def test_a_message_is_what_recvmsg_reads() -> None:
    base = 0x1000
    data = _message.pack(0, 0, 0, base + 56, 1, base + CONTROL_AT, 24, 0, base + DATA_AT, 1, 0, 0, 0, -1)
    iov, iov_count, control, control_length = struct.unpack_from("<QQQQ", data, 16)
    assert (iov - base, iov_count, control - base, control_length) == (56, 1, 80, socket.CMSG_SPACE(4))
    assert struct.unpack_from("<QQ", data, 56) == (base + 72, 1)
    assert CONTROL_AT - DATA_AT == 8
    assert socket.CMSG_LEN(4) - 4 == FD_AT - CONTROL_AT
    assert len(data) == CONTROL_AT + socket.CMSG_SPACE(4)


CONFINED = """
import os, sys
from sentry.platform import host_filter
from sentry.platform.handover import Channel
channel, fd = Channel(16400), os.open(sys.executable, os.O_RDONLY)
host_filter.prepare(sys.argv[1], "ptrace")
host_filter.install()
sent = channel.send(fd), channel.send(fd), channel.send(fd)
left = 0
try:
    while channel.theirs.recvmsg(8, 64, 0x40):
        left += 1
except BlockingIOError:
    pass
os.write(1, f"{sent} {left}".encode())
os._exit(0)
"""


def test_the_sentrys_own_filter_lets_it_be_thrown_away(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CONFINED, str(tmp_path)], capture_output=True, cwd=PROJECT)
    assert (done.returncode, done.stdout) == (0, b"(True, True, True) 1"), done.stderr


def test_what_a_dead_receiver_left_reaches_nobody(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / name, os.O_CREAT | os.O_RDWR) for name in ("first", "second"))
    channel = Channel(16400)
    assert channel.send(first)
    assert channel.send(second)
    numbers = array.array("i")
    _, control, _, _ = channel.theirs.recvmsg(8, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT)
    numbers.frombytes(control[0][2])
    assert os.fstat(numbers[0]).st_ino == os.fstat(second).st_ino
    with pytest.raises(BlockingIOError):
        channel.theirs.recvmsg(8, socket.CMSG_SPACE(4), socket.MSG_DONTWAIT)
    for fd in (first, second, *numbers):
        os.close(fd)


