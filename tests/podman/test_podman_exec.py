"""podman-exec(1) on our runtime: further processes in a running container, with and without a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jobs.terminal import Terminal
from tests.oci.container import processes
from tests.podman.conftest import IMAGE, Podman
from tests.podman.test_podman import until

pytestmark = pytest.mark.timeout(240)
MAIN = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def running(podman: Podman, name: str) -> Iterator[str]:
    """A container whose pid 1 only waits; it must still run when the test is over."""
    podman.ok("run", "-d", "--network=none", "--name", name, "-e", "OF=container", IMAGE, "sh", "-c", MAIN)
    until("up", podman, "logs", name)
    yield name
    assert podman.ok("inspect", "-f", "{{.State.Status}}", name) == "running"


def test_output_and_input(podman: Podman, running: str) -> None:
    done = podman("exec", running, "echo", "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")
    done = podman("exec", "-i", running, "sh", "-c", "cat; echo err >&2", input=b"from outside\n" * 5000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "from outside\n" * 5000, "err\n")


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 137, 255])
def test_exit_codes(podman: Podman, running: str, code: int) -> None:
    assert podman("exec", running, "sh", "-c", f"exit {code}").returncode == code


def test_killed_from_inside(podman: Podman, running: str) -> None:
    assert podman("exec", running, "sh", "-c", "kill -9 $$").returncode == 137
    assert podman("exec", running, "sh", "-c", "kill -15 $$").returncode == 143


@pytest.mark.parametrize(("argv", "code"), [(["/no/such/program"], 127), (["no-such-program"], 127),
                                            (["/etc/passwd"], 126), (["/etc"], 126)])
def test_program_that_cannot_run(podman: Podman, running: str, argv: list[str], code: int) -> None:
    done = podman("exec", running, *argv)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_who_it_is(podman: Podman, running: str) -> None:
    """A process of the same container, with a parent outside and a session of its own."""
    text = podman.ok("exec", running, "sh", "-c", "echo $PPID; hostname; readlink /proc/self/ns/pid; "
                     "readlink /proc/1/ns/pid; test -e /proc/1/status && echo seen; ls / | grep -c bin; "
                     "cut -d' ' -f1,6 /proc/$$/stat || awk '{print $1, $6}' /proc/$$/stat").split("\n")
    assert text[0] == "0"
    assert text[2] == text[3] and text[4] == "seen"
    pid, session = podman.ok("exec", running, "sh", "-c", "awk '{print $1, $6}' /proc/$$/stat").split()
    assert pid == session != "1"
    rows = podman.ok("exec", running, "ps").splitlines()
    assert rows[1].split()[0] == "1"


def test_options(podman: Podman, running: str) -> None:
    text = podman.ok("exec", "--user", "1000:1000", "--env", "A=b", "-e", "C=d e", "--workdir", "/tmp", running,
                     "sh", "-c", "id -u; id -g; echo $A $C $OF; pwd; grep CapEff /proc/self/status").split("\n")
    assert text[:4] == ["1000", "1000", "b d e container", "/tmp"]
    assert int(text[4].split()[1], 16) == 0
    privileged = podman.ok("exec", "--privileged", running, "sh", "-c", "grep CapEff /proc/self/status").split()[1]
    plain = podman.ok("exec", running, "sh", "-c", "grep CapEff /proc/self/status").split()[1]
    assert int(privileged, 16) & ~int(plain, 16) and not int(plain, 16) & ~int(privileged, 16)
    assert podman("exec", "--workdir", "/no/such", running, "pwd").returncode in (126, 127)


def test_detached(podman: Podman, running: str) -> None:
    began = time.monotonic()
    session = podman.ok("exec", "-d", running, "sh", "-c", "sleep 0.5; echo done >/tmp/detached; sleep 60")
    assert session and time.monotonic() - began < 20
    end = time.monotonic() + 20
    while podman("exec", running, "cat", "/tmp/detached").stdout != "done\n":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert session in podman.ok("inspect", "-f", "{{.ExecIDs}}", running)


def test_terminal(podman: Podman, running: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """exec -it beside run -it: size, its changes, interrupts, job control, exit code."""
    for key, value in podman.env.items():
        monkeypatch.setenv(key, value)
    main = podman.argv("run", "--rm", "-it", "--network=none", "--name", f"{running}-it", "-e", "PS1=$ ", IMAGE, "sh")
    with Terminal(main, rows=30, columns=90) as outer:
        outer.prompt()
        outer.run("tty", "/dev/(pts/0|console)")
        with Terminal(podman.argv("exec", "-it", "-e", "PS1=$ ", f"{running}-it", "sh"), rows=33, columns=101) as t:
            t.prompt()
            t.run("test -t 0 && echo tty", "^tty")
            t.run("tty", "/dev/pts/[1-9]")
            t.run("stty size", "33 101")
            t.resize(20, 70)
            t.quiet("never", 0.7)
            t.run("stty size", "20 70")
            t.start("sleep 100")
            t.quiet("never", 0.3)
            t.type("\x03")
            t.prompt()
            t.run("echo status $?", "status 130")
            t.start("sleep 100")
            t.quiet("never", 0.3)
            t.type("\x1a")
            t.expect("Stopped")
            t.prompt()
            t.start("fg")
            t.quiet("never", 0.3)
            t.type("\x03")
            t.prompt()
            outer.run("stty size", "30 90")
            t.line("exit 9")
            assert t.exit_status() == 9
        outer.run("ls /dev/pts", "0")
        outer.line("exit 4")
        assert outer.exit_status() == 4


def test_two_at_once(podman: Podman, running: str) -> None:
    script = "echo $$ >/tmp/$0; while ! test -e /tmp/$1; do sleep 0.02; done; cat /tmp/$1; exit $2"
    pair = [subprocess.Popen(podman.argv("exec", running, "sh", "-c", script, *words), stdout=subprocess.PIPE,
                             env=podman.env) for words in (("a", "b", "3"), ("b", "a", "4"))]
    texts = [one.communicate(timeout=60)[0].decode() for one in pair]
    assert [one.returncode for one in pair] == [3, 4]
    assert texts[0] != texts[1] and all(text.strip().isdecimal() for text in texts)


def test_many_in_a_row_leave_nothing(podman: Podman, running: str) -> None:
    record = Path("/run/runsc-py", running_id(podman, running), "state.json")
    sentry = int(json.loads(record.read_text())["sentryPid"])
    podman.ok("exec", running, "true")
    before = len(os.listdir(f"/proc/{sentry}/fd"))
    for number in range(20):
        done = podman("exec", running, "sh", "-c", f"echo {number}; exit {number}")
        assert (done.returncode, done.stdout) == (number, f"{number}\n"), done.stderr
    end = time.monotonic() + 10  # what lives just now has descriptors too
    while (now := len(os.listdir(f"/proc/{sentry}/fd"))) > before:
        assert time.monotonic() < end, (before, now)
        time.sleep(0.01)
    inside = podman.ok("exec", running, "sh", "-c", "echo /proc/[0-9]*").split()
    assert len(inside) <= 3, inside  # pid 1, its sleep, the shell itself
    time.sleep(0.3)
    stubs = [line for line in processes().values() if line.startswith("runsc-py-stub") and
             running_id(podman, running) in line]
    assert len(stubs) == 1, stubs


def running_id(podman: Podman, name: str) -> str:
    return podman.ok("inspect", "-f", "{{.Id}}", name)


def test_end_of_the_container_ends_it(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c", MAIN)
    until("up", podman, "logs", name)
    one = subprocess.Popen(podman.argv("exec", name, "sh", "-c", "echo in; sleep 100"), stdout=subprocess.PIPE,
                           env=podman.env)
    assert one.stdout is not None and one.stdout.readline() == b"in\n"
    podman.ok("stop", "-t", "10", name)
    assert one.wait(timeout=30) == 137
    one.stdout.close()
    podman.ok("rm", name)


def test_not_running(podman: Podman, name: str) -> None:
    podman.ok("create", "--network=none", "--name", name, IMAGE, "true")
    assert podman("exec", name, "true").returncode == 255


def test_healthcheck(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, "--health-cmd", "test -e /tmp/well",
              "--health-interval", "disable", IMAGE, "sh", "-c", MAIN)
    until("up", podman, "logs", name)
    assert podman("healthcheck", "run", name).returncode == 1
    podman.ok("exec", name, "touch", "/tmp/well")
    assert podman("healthcheck", "run", name).returncode == 0
