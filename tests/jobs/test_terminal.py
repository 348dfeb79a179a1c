"""termios(3), credentials(7): job control at a terminal, on the host and through `do` with the host's terminal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.jobs.terminal import Terminal

pytestmark = pytest.mark.timeout(120)
BASH = ["/bin/bash", "--norc", "--noprofile", "--noediting", "-i"]
DASH = ["/bin/dash", "-i"]


def at(place: str, runner: Any, argv: list[str]) -> Terminal:
    # the sandbox gets its environment by env(1): `do` does not hand on ours
    settings = ["PATH=/usr/bin:/bin", "LC_ALL=C", "TERM=dumb", "PS1=$ ", "HISTFILE="]
    return Terminal(runner.command(place, ["/usr/bin/env", "-i", *settings, *argv]))


@pytest.fixture
def bash(place: str, runner: Any) -> Iterator[Terminal]:
    if not shutil.which("bash"):
        pytest.skip("not installed: bash")
    with at(place, runner, BASH) as t:
        t.prompt()
        yield t


@pytest.fixture
def dash(place: str, runner: Any) -> Iterator[Terminal]:
    with at(place, runner, DASH) as t:
        t.prompt()
        yield t


def test_stop_and_go_on(bash: Terminal) -> None:
    bash.start("sleep 100")
    bash.quiet("never", 0.3)
    bash.type("\x1a")
    bash.expect(r"\[1\]\+  Stopped +sleep 100")
    bash.prompt()
    bash.run("jobs", r"\[1\]\+  Stopped +sleep 100")
    bash.run("bg", r"\[1\]\+ sleep 100 &")
    bash.run("jobs", r"\[1\]\+  Running +sleep 100 &")
    bash.start("fg")
    bash.expect("sleep 100")
    bash.quiet("status", 0.5)  # the shell names the job before it gives it the terminal
    bash.type("\x03")
    bash.prompt()
    bash.run("echo status $?", "status 130")


def test_stopped_pipeline(bash: Terminal) -> None:
    bash.start("cat | cat | cat")
    bash.line("through")
    bash.expect("through\r\nthrough\r\n")
    bash.type("\x1a")
    bash.expect(r"Stopped +cat \| cat \| cat")
    bash.prompt()
    bash.start("fg")
    bash.expect(r"cat \| cat \| cat")
    bash.line("again")
    bash.expect("again\r\nagain\r\n")
    bash.type("\x04")
    bash.prompt()
    bash.run("echo status $?", "status 0")


def test_dash_job_control(dash: Terminal) -> None:
    dash.run("set -m; set -o | grep monitor", "monitor +on")
    dash.start("sleep 100")
    dash.quiet("never", 0.3)
    dash.type("\x1a")
    dash.expect("Stopped")
    dash.prompt()
    dash.run("jobs", r"\[1\] \+ Stopped +sleep 100")
    dash.run("bg", "sleep 100")
    dash.run("jobs", "Running")
    dash.start("fg")
    dash.expect("sleep 100")
    dash.quiet("status", 0.5)
    dash.type("\x03")
    dash.prompt()
    dash.run("echo status $?", "status 130")
    dash.run("sleep 100 & sleep 200 &")
    dash.quiet("never", 0.3)        # until both have left the shell's ignored SIGTERM behind
    dash.run("kill %1 %2; wait; echo waited", "waited")


def test_interrupt_and_quit(bash: Terminal) -> None:
    for key, status in (("\x03", 130), ("\x1c", 131)):
        bash.start("sleep 50 | sleep 51")
        bash.quiet("never", 0.3)
        bash.type(key)
        bash.prompt()
        bash.run("echo status $?", f"status {status}")
    bash.type("half a line\x03")
    bash.prompt()
    bash.run("echo alive", "alive")
    bash.run("trap 'echo caught int' INT")
    bash.line("sh -c 'trap \"echo child; exit 5\" INT; while :; do sleep 0.05; done'")
    bash.quiet("never", 0.4)
    bash.type("\x03")
    bash.expect(r"\^Cchild")
    bash.prompt()


def test_background_read_stops(bash: Terminal) -> None:
    bash.run("cat &", r"\[1\] \d+")
    bash.quiet("never", 0.3)
    bash.run("jobs", r"\[1\]\+  Stopped +cat")
    bash.start("fg")
    bash.expect("cat")
    bash.line("to cat")
    bash.expect("to cat\r\nto cat\r\n")
    bash.type("\x04")
    bash.prompt()
    bash.run("jobs; echo no jobs", r"^no jobs")


def test_background_write_stops_when_asked(bash: Terminal) -> None:
    bash.run("(sleep 0.1; echo free) & wait", "free")
    bash.run("stty tostop")
    bash.run("(sleep 0.1; echo held) &", r"\[1\] \d+")
    bash.quiet(r"^held", 0.6)
    bash.run("jobs", r"\[1\]\+  Stopped")
    bash.start("fg")
    bash.expect("held")


def test_window_size(bash: Terminal) -> None:
    bash.run("stty size", "24 80")
    bash.run("trap 'echo winch $(stty size)' WINCH")
    bash.resize(30, 100)
    bash.quiet("never", 0.3)
    bash.line("")
    bash.expect("winch 30 100")
    bash.prompt()
    bash.run("stty size", "30 100")


def test_line_discipline(bash: Terminal) -> None:
    bash.start("cat")
    bash.line("abx\x7fc")
    bash.expect("abc\r\n")
    bash.line("wrong\x15right")
    bash.expect("\r\nright\r\n")
    bash.type("no newline\x04\x04")
    bash.expect("no newline")
    bash.prompt()
    bash.start("stty -echo; read -r x; stty echo; echo \"<$x>\"")
    bash.quiet("never", 0.3)
    bash.line("secret")
    bash.expect("<secret>")
    bash.prompt()
    assert "secret\r\n<secret>" not in bash.seen
    bash.start("stty raw -echo; dd bs=1 count=3 2>/dev/null | od -An -c; stty sane")
    bash.quiet("never", 0.5)
    bash.type("\x03\x04a")
    bash.expect(r"003 004   a")
    bash.prompt()


def test_terminal_files(bash: Terminal) -> None:
    bash.run("[ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo all", "^all")
    bash.run("echo direct >/dev/tty", "^direct")
    bash.run("setsid sh -c 'echo none </dev/tty' 2>&1 | tail -n 1", "No such device or address|cannot open")
    bash.run("tty >/dev/null; echo tty $?", "tty 0")
    bash.run("ps -o pid= >/dev/null 2>&1; echo x | [ -t 0 ]; echo pipe $?", "pipe 1")


def test_end_of_input_ends_the_shell(bash: Terminal) -> None:
    bash.run("(exit 7)")
    bash.type("\x04")
    assert bash.exit_status() == 7


def test_status_by_signal(place: str, runner: Any) -> None:
    with at(place, runner, ["/bin/sh", "-c", "echo up; sleep 50"]) as t:
        t.expect("up")
        t.quiet("never", 0.3)
        t.type("\x03")
        assert t.exit_status() in (-2, 130)     # a runtime may tell the signal as a shell does


def test_interrupt_of_a_lone_command(place: str, runner: Any) -> None:
    """A command without a handler, which is pid 1 inside, is ended as anywhere."""
    with at(place, runner, ["/bin/sleep", "50"]) as t:
        t.quiet("never", 1.0)
        t.type("\x03")
        assert t.exit_status() in (-2, 130)


def test_hang_up_ends_everything(place: str, runner: Any) -> None:
    with at(place, runner, BASH) as t:
        t.prompt()
        t.line("sleep 300 & sleep 400")
        t.quiet("never", 0.5)
        t.hang_up()
        assert t._gone(20), "the shell outlives its terminal"


def test_interrupt_in_thread_join(place: str, runner: Any) -> None:
    code = ("import threading, time; t = threading.Thread(target=time.sleep, args=(60,), daemon=True); t.start(); "
            "print('joi' + 'ning', flush=True); t.join()")
    with at(place, runner, ["/usr/bin/python3", "-c", code]) as t:
        t.expect("joining")
        t.quiet("never", 0.4)
        t.type("\x03")
        t.expect("KeyboardInterrupt")
        assert t.exit_status() in (-2, 130)


def test_python_pty_inside(place: str, runner: Any) -> None:
    """A terminal made inside: openpty, a shell with job control on it."""
    code = r"""
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["PS1"] = "> "
    os.execv("/bin/dash", ["dash", "-i"])
seen = b""
def until(what):
    global seen
    while what not in seen:
        if not select.select([fd], [], [], 20)[0]:
            print("no", what, "in", seen); sys.exit(1)
        seen += os.read(fd, 1000)
    seen = seen[seen.index(what) + len(what):]
until(b"> ")
os.write(fd, b"sleep 100\n"); time.sleep(.3); os.write(fd, b"\x1a"); until(b"Stopped"); until(b"> ")
os.write(fd, b"fg\n"); time.sleep(.3); os.write(fd, b"\x03"); until(b"> ")
os.write(fd, b"exit 6\n")
print("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    result = runner.run(place, ["/usr/bin/python3", "-c", code], 60)
    assert (result.status, result.output) == (0, b"status 6\n")
