"""exec: what the command line makes of a process, what goes to the Sentry, and how it keeps the sessions."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from runsc_py.cli import exec_command
from runsc_py.cli.exec_command import ALIASES, OPTIONS, change, sub_cgroups
from runsc_py.cli.options import Options, parse
from runsc_py.errors import Failure
from runsc_py.host import flags as f
from runsc_py.oci.process import CAP_BITS, Process
from runsc_py.sandbox import sessions, stub
from runsc_py.sandbox.joining import process_of, request_of
from runsc_py.sandbox.links import EXIT, MESSAGE, SIGNAL, SIGWINCH
from runsc_py.sandbox.sessions import Sessions, read_request
from sentry.boot import CONSOLE, BootError, ProcessConfig
from tests.unit.runsc_py.recording import RecordingHost
from tests.unit.runsc_py.test_runtime_links import Kernel


def options(*words: str) -> Options:
    return parse(list(words), OPTIONS, ALIASES, "exec", stop_at_first=True)


def changed(*words: str) -> Process:
    process = Process(["main"], ["A=old", "PATH=/bin"], "/home")
    process.caps = (7, 3, 0, 3, 0)
    process.additional_gids = [4]
    process.terminal = True
    change(process, options(*words, "c", "cmd", "-x", "--", "y"))
    return process


def test_the_containers_own_process_is_the_base() -> None:
    plain = changed()
    assert plain.args == ["cmd", "-x", "--", "y"]
    assert (plain.env, plain.cwd, plain.uid, plain.gid) == (["A=old", "PATH=/bin"], "/home", 0, 0)
    assert plain.caps == (7, 3, 0, 3, 0) and plain.additional_gids == [4] and not plain.terminal


def test_what_the_command_line_says_instead() -> None:
    other = changed("-e", "A=new", "--env=B=", "--cwd", "/x", "-u", "5:6", "-g", "7,8", "-t", "--no-new-privs", "-c",
                    "sys_time")  # fmt: skip
    assert other.env == ["A=new", "PATH=/bin", "B="]
    assert (other.cwd, other.uid, other.gid, other.additional_gids) == ("/x", 5, 6, [4, 7, 8])
    bit = CAP_BITS["CAP_SYS_TIME"]
    assert other.caps == (7 | bit, 3 | bit, 0, 3 | bit, 0)
    assert other.terminal and other.no_new_privs
    assert changed("--user", "5").gid == 0
    assert changed("-c", "cap_nonsense").caps == (7, 3, 0, 3, 0)


@pytest.mark.parametrize("words", [("-u", "root"), ("-u", "1:x"), ("-u", "4294967295"), ("-g", "1,"), ("--cwd", "x")])
def test_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(Failure):
        changed(*words)


def test_sub_cgroups(tmp_path: Path) -> None:
    own = []
    for controller in ("memory", "cpu,cpuacct"):
        own.append(str(tmp_path / controller / "c"))
        (tmp_path / controller / "c" / "in" / "ner").mkdir(parents=True)
    assert sub_cgroups(own, []) == own
    assert sub_cgroups(own, ["/in/ner"]) == [f"{own[0]}/in/ner", f"{own[1]}/in/ner"]
    assert sub_cgroups(own, ["cpuacct:in"]) == [own[0], f"{own[1]}/in"]
    assert sub_cgroups(own, ["memory:in", "cpu:in/ner"]) == [f"{own[0]}/in", f"{own[1]}/in/ner"]
    for bad in ("no/such", "../other", "in/../../x"):
        with pytest.raises(Failure):
            sub_cgroups(own, [bad])


def test_every_failure_is_255(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from runsc_py.cli.settings import Settings

    settings = Settings()
    settings.root = str(tmp_path)
    for words in ([], ["c"], ["c", "cmd"], ["--user"], ["--what", "c", "cmd"]):
        with pytest.raises(Failure) as caught:
            exec_command.main(settings, words)
        assert caught.value.code == 255

    def broken(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(exec_command, "_exec", broken)
    with pytest.raises(Failure) as caught:
        exec_command.main(settings, ["c", "cmd"])
    assert caught.value.code == 255


def test_number_of_a_child() -> None:
    with pytest.raises(OSError, match="No such"):
        process_of(os.getpid(), 77)


# the request ----------------------------------------------------------------------------------------------------------
def wish(process_: Process, **more: object) -> dict[str, object]:
    return {"op": "exec", "process": request_of(process_), "terminal": False, "console": [False] * 3, **more}


def test_request_there_and_back() -> None:
    process = changed("-u", "5:6", "-e", "U=\udcff")
    process.rlimits = {7: (1, 2)}
    config, link = read_request(wish(process), [10, 11, 12, 13, 14])
    assert (link, config.stdio, config.preserved, config.console) == (10, (11, 12, 13), {3: 14}, -1)
    assert config.args[0] == b"cmd" and config.env[-1] == b"U=\xff" and config.cwd == b"/home"
    assert (config.uid, config.gid, config.caps, config.rlimits) == (5, 6, (7, 3, 0, 3, 0), {7: (1, 2)})
    config, link = read_request(wish(process, terminal=True, console=[True, False, True]), [10, 11, 12])
    assert (link, config.console, config.stdio) == (10, 11, (CONSOLE, 12, CONSOLE))


# sessions -------------------------------------------------------------------------------------------------------------
class Connection:
    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    def send(self, answer: dict[str, object]) -> None:
        self.sent.append(answer)


class Joining:
    """The Sentry's part, as the session sees it."""

    made: list[Joining] = []
    error: BootError | None = None

    def __init__(self, kernel: object, config: ProcessConfig, watcher: sessions.Session) -> None:
        self.config, self.watcher = config, watcher
        self.console: object = None
        self.done: list[object] = []
        Joining.made.append(self)

    def start(self) -> None:
        if Joining.error is not None:
            raise Joining.error
        self.done.append("start")

    def release(self) -> None:
        self.done.append("release")

    def kill(self) -> None:
        self.done.append("kill")

    def signal(self, signo: int) -> None:
        self.done.append(signo)

    def window_changed(self) -> None:
        self.done.append("window")


class Group:
    pid, host_pid = 5, 9


class Room:
    """Sessions of a kernel that only watches descriptors; the stub's end of each link is ours."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sessions, "Joining", Joining)
        Joining.made, Joining.error = [], None
        self.kernel = Kernel()
        self.sessions = Sessions(self.kernel)  # type: ignore[arg-type]
        self.connection: Any = Connection()
        self.passed: list[int] = []

    def begin(self, **more: object) -> tuple[Any, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(5)
        self.passed = [theirs.detach(), *(os.open("/dev/null", os.O_RDWR) for _ in range(3))]
        return self.sessions.begin(wish(changed(), **more), self.passed, self.connection), ours

    def is_open(self) -> list[bool]:
        return [Path(f"/proc/self/fd/{fd}").exists() for fd in self.passed]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    return Room(monkeypatch)


def test_a_session_from_start_to_end(room: Room) -> None:
    answer, link = room.begin()
    joining = Joining.made[0]
    assert answer is None and joining.done == ["start"]
    joining.watcher.joined(Group())  # type: ignore[arg-type]
    assert room.connection.sent == [{"pid": 5, "outer": 9}]
    session = room.sessions.of(room.connection)
    assert session is not None and session.go() == {} and joining.done[-1] == "release"
    room.sessions.closed(room.connection)
    assert "kill" not in joining.done, "the command may leave once it runs"
    link.send(MESSAGE.pack(SIGNAL, 15))
    link.send(MESSAGE.pack(SIGNAL, SIGWINCH))
    joining.console = object()
    room.kernel.turn()
    room.kernel.turn()
    assert joining.done[-2:] == [15, "window"]
    joining.watcher.ended(512)
    assert link.recv(100) == MESSAGE.pack(EXIT, 512) and link.recv(100) == b""
    assert not room.sessions.living and not room.kernel.callbacks


def test_without_a_terminal_a_new_size_is_a_signal(room: Room) -> None:
    _, link = room.begin()
    link.send(MESSAGE.pack(SIGNAL, SIGWINCH))
    room.kernel.turn()
    assert Joining.made[0].done == ["start", SIGWINCH]


def test_the_death_of_the_stub(room: Room) -> None:
    _, link = room.begin()
    link.close()
    room.kernel.turn()
    assert Joining.made[0].done == ["start", "kill"]
    Joining.made[0].watcher.ended(9)
    assert not room.sessions.living


def test_a_command_that_leaves_too_early(room: Room) -> None:
    room.begin()
    room.sessions.closed(room.connection)
    assert Joining.made[0].done == ["start", "kill"]
    Joining.made[0].watcher.joined(Group())  # type: ignore[arg-type]
    assert Joining.made[0].done == ["start", "kill", "kill"] and not room.connection.sent


def test_what_cannot_start_keeps_nothing_open(room: Room) -> None:
    Joining.error = BootError("no such file or directory", 127)
    answer, _ = room.begin()
    assert answer == {"error": "no such file or directory", "code": 127}
    assert not any(room.is_open()) and not room.sessions.living and not room.kernel.callbacks


@pytest.mark.parametrize("more", [{"process": 1}, {"console": [True]}, {"console": 1}, {"terminal": True},
                                  {"process": {"args": []}}])  # fmt: skip
def test_requests_that_make_no_sense(room: Room, more: dict[str, object]) -> None:
    answer, _ = room.begin(**more)
    assert "bad request" in answer["error"] and not any(room.is_open())


def test_a_failure_later(room: Room) -> None:
    room.begin()
    Joining.made[0].watcher.failed("exec: gone", 126)
    assert room.connection.sent == [{"error": "exec: gone", "code": 126}] and not room.sessions.living


def test_a_paused_container(room: Room) -> None:
    room.kernel.pause.wanted = True
    answer, _ = room.begin()
    assert "paused" in answer["error"] and not any(room.is_open())
    answer, _ = room.begin(ignore_paused=True)
    assert answer is None and Joining.made[-1].done == []
    other: Any = Connection()
    room.connection, first = other, room.connection
    room.begin(ignore_paused=True)
    room.sessions.closed(other)
    room.kernel.pause.wanted = False
    room.sessions.resumed()
    assert [made.done for made in Joining.made] == [["start"], ["kill"]]
    assert room.sessions.of(first) is not None and len(room.sessions.living) == 1


# the stub -------------------------------------------------------------------------------------------------------------
def test_the_stub_joins_the_containers_own() -> None:
    """It builds no root: one is there."""
    plan = stub.StubPlan("c", "", "")
    plan.mnt_fd, plan.netns_fd, plan.sentry_fd = 71, 72, 0
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        host = RecordingHost()
        plan.exec_fd = fcntl.fcntl(0, fcntl.F_DUPFD, 20)

        def execveat(fd: int, argv: list[bytes], env: list[bytes]) -> None:
            os.write(writing, repr([call for call in host.calls if call[0] in ("setns", "unshare", "mount")]).encode())
            os._exit(0)

        host.execveat = execveat  # type: ignore[method-assign]
        os.close(reading)
        writing = fcntl.fcntl(writing, fcntl.F_DUPFD, 30)
        stub.run(host, plan, socket.socketpair()[0])
    os.close(writing)
    os.waitpid(pid, 0)
    assert os.read(reading, 1000).decode() == repr([("setns", 72, f.CLONE_NEWNET), ("setns", 71, f.CLONE_NEWNS)])
    os.close(reading)
