"""Declarations, decoding, the table and the page printed from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentry.abi.errno import EBADF, ENOSYS, EPERM
from syscalls import registry, table
from syscalls.args import Fd, Int, Long, Mode, Path, UInt, ULong
from syscalls.registry import ENTRIES, Entry, native, refused, syscall


@pytest.fixture(autouse=True)
def _own_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    table.load()
    monkeypatch.setattr(registry, "ENTRIES", dict(ENTRIES))


def _decoded(kind: Any, raw: int, t: Any = None) -> Any:
    entry = Entry("x")
    entry.func, entry.args = lambda t, value: value, (kind,)
    return registry._caller(entry)(t, (raw, 0, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (Int, 0xFFFFFFFF, -1), (Int, (1 << 64) - 5, -5), (Int, 0x1_0000_0007, 7), (UInt, (1 << 64) - 1, 0xFFFFFFFF),
        (Long, (1 << 64) - 2, -2), (Long, 1 << 63, -(1 << 63)), (ULong, (1 << 64) - 1, (1 << 64) - 1),
        (Mode, 0x1F1FF, 0xF1FF),
    ],
)  # fmt: skip
def test_decode(kind: Any, raw: int, value: int) -> None:
    assert _decoded(kind, raw) == value


def test_decode_path_and_fd(t: Any) -> None:
    t.mem.write(0x10000, b"/etc\0")
    assert _decoded(Path, 0x10000, t) == b"/etc"

    class Fds:
        def get(self, fd: int) -> str:
            if fd != 3:
                raise EBADF
            return "file"

    t.fds = Fds()
    assert _decoded(Fd, 3, t) == _decoded(Fd, 3 | 7 << 32, t) == "file"
    with pytest.raises(EBADF):
        _decoded(Fd, (1 << 64) - 1, t)


def test_several_names_and_twice() -> None:
    @syscall("test_one", Int)
    @syscall("test_two", Int)
    def sys_test(t: Any, value: int) -> int:
        return value

    assert registry.ENTRIES["test_one"].func is registry.ENTRIES["test_two"].func is sys_test
    with pytest.raises(ValueError, match="test_one"):
        syscall("test_one")(sys_test)
    with pytest.raises(ValueError, match="support"):
        syscall("test_three", support="good")


def test_ways() -> None:
    native("test_native", "it is the host's")
    assert registry.ENTRIES["test_native"].way == "native"
    refused("test_refused", EPERM, "stub")
    entry = registry.ENTRIES["test_refused"]
    assert (entry.way, entry.support) == ("error", "stub")
    with pytest.raises(EPERM):
        registry._caller(entry)(None, (0,) * 6)  # type: ignore[arg-type]
    native("test_refused", "now it is")
    assert (entry.way, entry.support) == ("native", "full")
    syscall("test_native")(lambda t: 0)
    assert registry.ENTRIES["test_native"].way == "both"
    refused("test_native", EPERM)
    assert registry.ENTRIES["test_native"].way == "both"


def test_all_modules_load() -> None:
    assert table.ABSENT == {}


def test_every_number_answers(t: Any) -> None:
    for arch in ("x86_64", "aarch64"):
        calls = table.table(arch)
        assert len(calls) == 601 and all(callable(c) for c in calls)
        with pytest.raises(ENOSYS):
            calls[600](t, (0,) * 6)


def test_every_name_has_a_row() -> None:
    for arch in ("x86_64", "aarch64"):
        assert {r.name for r in table.rows(arch)} == set(registry.numbers(arch))
    assert len(table.rows()) == 383


def test_handlers_exist_on_an_architecture() -> None:
    known = set(registry.numbers("x86_64")) | set(registry.numbers("aarch64"))
    assert {n for n in ENTRIES if not n.startswith("test_")} <= known


def test_numbers_of_the_host_library() -> None:
    seccomp = pytest.importorskip("pyseccomp")
    for name, nr in registry.numbers("x86_64").items():
        try:
            there = seccomp.resolve_syscall(seccomp.Arch.X86_64, name)
        except (ValueError, OSError, AttributeError):
            continue
        assert there == nr or there < 0, name


def test_render() -> None:
    assert "read" in table.render("table")
    parsed = json.loads(table.render("json"))
    assert parsed[0]["name"] == "read" and parsed[-1]["number"] == 469
    assert table.render("csv").splitlines()[0] == "number,name,support,by,note"
    assert table.render("markdown").startswith("# System calls")
    with pytest.raises(ValueError, match="xml"):
        table.render("xml")


def test_privileged(call: Any, t: Any) -> None:
    assert call("reboot", 0, 0, 0) == -22
    t.creds = t.creds.set_uid(1000)
    assert call("reboot", 0, 0, 0) == -1
    assert call("uselib") == -38
