"""execve(2): programs of every kind see through the loader exactly what they see natively."""

import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentry.platform.native import LOADER_FDS

KINDS = {
    "static": ("-static",),
    "static-pie": ("-static-pie",),
    "pie": ("-pie",),
    "no-pie": ("-no-pie",),
    "pie, stack executable": ("-pie", "-Wl,-z,execstack"),
    "static, stack executable": ("-static", "-Wl,-z,execstack"),
    "pie, 2 MiB pages": ("-pie", "-Wl,-z,max-page-size=0x200000"),
    "static-pie, 2 MiB pages": ("-static-pie", "-Wl,-z,max-page-size=0x200000"),
    "no-pie, 64 KiB pages": ("-no-pie", "-Wl,-z,max-page-size=0x10000"),
    "static, code and headers in one segment": ("-static", "-Wl,-z,noseparate-code"),
    "pie, no relro": ("-pie", "-Wl,-z,norelro"),
    "at 1 MiB": ("-no-pie", "-Wl,-Ttext-segment=0x100000"),
    "high": ("-static", "-Wl,-Ttext-segment=0x10000000"),
}
Build = Callable[..., str]
Run = Any                       # conftest.Runner


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [(), ("one", "", "three"), ("x" * 5000,) * 3], ids=["none", "three", "long"])
def test_same_view(runner: Run, compiled: Build, kind: str, arguments: tuple[str, ...]) -> None:
    program = compiled("show.c", *KINDS[kind])
    native = runner.native(program, *arguments)
    assert native.status == len(arguments) + 1
    assert "entry 1" in native.out
    assert runner.loaded(program, *arguments) == native


def test_no_environment(runner: Run, compiled: Build) -> None:
    """Without environment strings the arguments end where the file name began."""
    program = compiled("show.c", "-static")
    native = subprocess.run(["env", "-i", program, "a"], capture_output=True, check=False).stdout
    assert runner.loaded(program, "a", options=("--no-env",)).out.encode("latin-1") == native


@pytest.mark.parametrize("flags", [("-static",), ("-static-pie",)], ids=["fixed", "movable"])
def test_registers(runner: Run, compiled: Build, flags: tuple[str, ...]) -> None:
    program = compiled("entry.S", "-nostdlib", *flags)
    assert runner.native(program).status == 0
    assert runner.loaded(program).status == 0


def test_identity(runner: Run, compiled: Build) -> None:
    out = runner.loaded(compiled("show.c", "-static"), options=("--ids", "1,2,3,4,1")).out
    for key, value in ((11, 1), (12, 2), (13, 3), (14, 4), (23, 1)):
        assert f"aux {key} = {value:#x}\n" in out


@pytest.mark.parametrize("kind", ["pie", "static"])
@pytest.mark.parametrize("limit", [49152, 65536, 8 << 20, 1 << 40])
def test_stack_limit(runner: Run, compiled: Build, kind: str, limit: int) -> None:
    """The loader needs 24 KiB below the strings; a limit without bound changes the layout of the mmap area."""
    program = compiled("show.c", f"-{kind}")
    native = runner.native("prlimit", f"--stack={limit}", program, "a")
    assert native.status == 2
    assert runner.loaded(program, "a", options=("--stack", str(limit))) == native


@pytest.mark.parametrize("kind", ["pie", "static-pie"])
def test_alignment(runner: Run, compiled: Build, kind: str) -> None:
    """Not compared with the host: kernels before 6.10 ignore it for a static PIE."""
    program = compiled("align.c", f"-{kind}", "-Wl,-z,max-page-size=0x200000")
    assert [runner.loaded(program).out for _ in range(3)] == ["1\n"] * 3


@pytest.mark.skipif(os.getuid() != 0, reason="gives up root")
@pytest.mark.parametrize("flags", [("-pie",), ("-no-pie",)], ids=["pie", "no-pie"])
def test_without_privilege(runner: Run, compiled: Build, flags: tuple[str, ...]) -> None:
    """PR_SET_MM_MAP needs none; the program is not dumpable."""
    program = compiled("small.c", *flags)
    out = runner.loaded(program, options=("--drop",)).out
    assert out == f"uid 65534 dumpable 0 name {os.path.basename(program)[:15]} brk near 1\n"


def test_without_randomness(runner: Run, compiled: Build) -> None:
    program = compiled("show.c", "-pie")
    assert runner.loaded(program, options=("--no-aslr",)) == runner.native(program)


def test_plan_larger_than_the_buffer(runner: Run, compiled: Build) -> None:
    program = compiled("show.c", "-pie")
    assert runner.loaded(program, options=("--small",)) == runner.native(program)


@pytest.mark.parametrize("line", ["#!{}", "#! {} arg with blanks\t", "#!{} -x\nrest", "#!\t{}\t-o\tp \n"])
@pytest.mark.parametrize("arguments", [(), ("one",), ("one", "two", "t" * 3000)], ids=["0", "1", "3"])
def test_script(runner: Run, compiled: Build, tmp_path: Path, line: str, arguments: tuple[str, ...]) -> None:
    show = tmp_path / "show"
    shutil.copy(compiled("show.c", "-pie"), show)
    script = executable(tmp_path / ("script" + "n" * 100), line.format(show).encode())
    native = runner.native(script, *arguments)
    assert native.status > 1
    assert runner.loaded(script, *arguments) == native


def test_script_of_scripts(runner: Run, compiled: Build, tmp_path: Path) -> None:
    inner = tmp_path / "program"
    shutil.copy(compiled("show.c", "-pie"), inner)
    path = str(inner)
    for depth in range(5):
        path = executable(tmp_path / f"s{depth}", f"#!{path} arg{depth}\n".encode())
    native = runner.native(path, "a", "b")
    assert native.status == 13
    assert runner.loaded(path, "a", "b") == native


def mappings(path: Path) -> tuple[int, Path | None]:
    """mmap calls that a program takes, a segment each and one for memory behind the file's last page; its interpreter.
    Toolchains differ in how they lay segments out."""
    data = path.read_bytes()
    start, size, count = *struct.unpack_from("<Q", data, 32), *struct.unpack_from("<HH", data, 54)
    calls, interp = 0, None
    for at in range(start, start + size * count, size):
        kind, _, offset, address, _, in_file, in_memory, _ = struct.unpack_from("<IIQQQQQQ", data, at)
        if kind == 1:
            calls += 1 + (-(-(address + in_memory) // 4096) > -(-(address + in_file) // 4096))
        elif kind == 3:
            interp = Path(os.fsdecode(data[offset : offset + in_file - 1]))
    return calls, interp


def test_what_the_loader_calls(runner: Run, compiled: Build) -> None:
    """Only what the guest's filter lets through, and no more than it takes: the price of an execve."""
    built = Path(compiled("show.c", "-pie"))
    own, interpreter = mappings(built)
    assert interpreter is not None
    theirs, _ = mappings(interpreter)
    report = runner.traced(compiled("show.c", "-pie")).report
    calls = report["calls"]
    program, interp = LOADER_FDS | report["program_fd"], LOADER_FDS | report["program_fd"] - 1
    assert [call[0] for call in calls if call[0] == 3] == [3, 3]
    for nr, *args in calls:
        if nr == 9:
            assert args[3] & 0x20 or args[4] in (program, interp)
        elif nr == 3:
            assert args[0] in (program, interp)
        elif nr == 157:
            assert tuple(args[:1]) in ((4,), (15,), (35,))
        else:
            assert nr in (10, 11)
    assert report["asked"] == 1
    assert report["loader_size"] == 4096
    numbers = sorted(call[0] for call in calls)
    assert numbers == [3, 3, *[9] * (own + theirs), 11, 11, 157, 157, 157]


REAL = [
    ("/usr/bin/busybox", "echo", "static"),
    ("/bin/ls", "/etc"),
    ("/bin/bash", "-c", "x=$(echo hi | cat); echo $x; exit 7"),
    ("/bin/dash", "-c", "kill -SEGV $$"),
    ("/usr/bin/python3", "-c", "import sys, json; print(sys.argv, sys.executable)", "a"),
    ("/lib64/ld-linux-x86-64.so.2", "/bin/echo", "through the interpreter"),
    ("/usr/bin/gcc", "--version"),
    ("/usr/bin/perl", "-e", "print 'x' x 3"),
]


@pytest.mark.parametrize("argv", REAL, ids=[os.path.basename(argv[0]) for argv in REAL])
def test_real_programs(runner: Run, argv: tuple[str, ...]) -> None:
    if not os.path.exists(argv[0]):
        pytest.skip(f"no {argv[0]}")
    assert runner.loaded(*argv) == runner.native(*argv)


@pytest.mark.parametrize("flags", [("-pie",), ("-no-pie",)], ids=["pie", "no-pie"])
def test_address_sanitizer(runner: Run, compiled: Build, flags: tuple[str, ...]) -> None:
    """Its shadow memory must be free: the loader may lie anywhere but there."""
    program = compiled("show.c", "-fsanitize=address", *flags)
    native = runner.native(program, "a")
    assert native.status == 2
    assert runner.loaded(program, "a") == native


def test_go(runner: Run, tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("no go")
    source = tmp_path / "main.go"
    source.write_text(
        "package main\nimport (\"fmt\"; \"os\"; \"sync\")\n"
        "func main() { var w sync.WaitGroup; var m sync.Mutex; n := 0\n"
        "for i := 0; i < 100; i++ { w.Add(1); go func() { m.Lock(); n++; m.Unlock(); w.Done() }() }\n"
        "w.Wait(); fmt.Println(n, os.Args[1:]) }\n"
    )
    environ = {**os.environ, "GOCACHE": str(tmp_path / "cache"), "CGO_ENABLED": "0", "GO111MODULE": "off"}
    program = str(tmp_path / "main")
    subprocess.run(["go", "build", "-o", program, str(source)], env=environ, check=True, cwd=tmp_path)
    assert runner.native(program, "a", "b").out == "100 [a b]\n"
    assert runner.loaded(program, "a", "b") == runner.native(program, "a", "b")


def executable(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return str(path)
