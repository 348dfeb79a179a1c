"""podman-run(1) and its kin on our runtime: what a person does in the first hour."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.jobs.terminal import Terminal
from tests.podman.conftest import IMAGE, Podman

pytestmark = pytest.mark.timeout(180)


def until(what: str, podman: Podman, *args: str, patience_s: float = 20) -> str:
    end = time.monotonic() + patience_s
    while what not in (text := podman(*args).stdout):
        assert time.monotonic() < end, f"no {what!r} in {text!r}"
        time.sleep(0.05)
    return text


def test_hello(podman: Podman) -> None:
    done = podman.run(IMAGE, "echo", "hi")
    assert (done.returncode, done.stdout, done.stderr) == (0, "hi\n", "")


def test_stdin_stdout_stderr(podman: Podman) -> None:
    done = podman.run("-i", IMAGE, "sh", "-c", "cat; echo err >&2", input=b"from outside\n" * 1000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "from outside\n" * 1000, "err\n")


def test_much_output(podman: Podman) -> None:
    done = podman.run(IMAGE, "seq", "200000")
    assert done.returncode == 0
    assert done.stdout.split() == [str(i) for i in range(1, 200001)]


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 137, 143, 255])
def test_exit_codes(podman: Podman, code: int) -> None:
    assert podman.run(IMAGE, "sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize(("argv", "code"), [(["/no/such/program"], 127), (["no-such-program"], 127),
                                            (["/etc/passwd"], 126), (["/etc"], 126)])
def test_program_that_cannot_run(podman: Podman, argv: list[str], code: int) -> None:
    done = podman.run(IMAGE, *argv)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_detached_and_logs(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c", "echo one; echo two >&2; sleep 60")
    until("one", podman, "logs", name)
    assert "two" in podman("logs", name).stderr
    assert podman.ok("ps", "--format", "{{.Names}}", "--filter", "status=running") == name
    assert podman.ok("inspect", "-f", "{{.State.Status}}", name) == "running"


def test_stop_with_handler(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE,
              "sh", "-c", "trap 'echo stopping; exit 3' TERM; echo up; while :; do sleep 0.05; done")
    until("up", podman, "logs", name)
    began = time.monotonic()
    podman.ok("stop", "-t", "20", name)
    assert time.monotonic() - began < 15
    assert podman.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "3"
    assert "stopping" in podman.ok("logs", name)
    assert podman.ok("wait", name) == "3"


def test_stop_by_force(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sleep", "100")
    podman.ok("stop", "-t", "1", name)
    assert podman.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", name) == "exited 137"


def test_start_again(podman: Podman, name: str) -> None:
    podman.ok("create", "--network=none", "--name", name, IMAGE, "sh", "-c", "echo again; date >>/count; wc -l </count")
    assert podman.ok("start", "-a", name).split() == ["again", "1"]
    assert podman.ok("start", "-a", name).split() == ["again", "2"]


@pytest.mark.parametrize(("signal", "code"), [("KILL", "137"), ("TERM", "143"), ("USR1", "10")])
def test_kill(podman: Podman, name: str, signal: str, code: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c",
              "trap 'exit 143' TERM; trap 'exit 10' USR1; echo up; while :; do sleep 0.05; done")
    until("up", podman, "logs", name)
    podman.ok("kill", "-s", signal, name)
    assert podman.ok("wait", name) == code


def test_remove_by_force(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c", "sleep 100 & sleep 100")
    podman.ok("rm", "-f", "-t", "0", name)
    assert podman("container", "exists", name).returncode == 1


def test_two_at_once(podman: Podman, name: str) -> None:
    other = f"{name}-b"
    try:
        for one, code in ((name, 4), (other, 5)):
            podman.ok("run", "-d", "--network=none", "--name", one, IMAGE,
                      "sh", "-c", f"hostname; sleep 0.5; exit {code}")
        assert (podman.ok("wait", name), podman.ok("wait", other)) == ("4", "5")
        assert podman.ok("logs", name) != podman.ok("logs", other)
    finally:
        podman("rm", "-f", "-t", "0", other)


def test_terminal(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in podman.env.items():
        monkeypatch.setenv(key, value)
    argv = podman.argv("run", "--rm", "-it", "--network=none", "-e", "PS1=$ ", IMAGE, "sh")
    with Terminal(argv, rows=33, columns=101) as t:
        t.prompt()
        t.run("test -t 0 && echo tty", "^tty")
        t.run("stty size", "33 101")
        t.resize(20, 70)
        t.quiet("never", 0.5)
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
        t.line("exit 9")
        assert t.exit_status() == 9


def test_attach_detach_logs_of_a_terminal(podman: Podman, name: str) -> None:
    podman.ok("run", "-dt", "--network=none", "--name", name, IMAGE, "sh", "-c", "tty; stty size; sleep 60")
    assert "/dev/" in until("/dev/", podman, "logs", name)


def test_copy(podman: Podman, name: str, tmp_path: Path) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c",
              "echo inside >/tmp/out; mkdir /tmp/d; echo x >/tmp/d/f; echo up; "
              "while ! test -e /tmp/in; do sleep 0.05; done; cat /tmp/in; sleep 60")
    until("up", podman, "logs", name)
    (tmp_path / "in").write_text("from outside\n")
    podman.ok("cp", str(tmp_path / "in"), f"{name}:/tmp/in")
    until("from outside", podman, "logs", name)
    podman.ok("cp", f"{name}:/tmp/out", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "inside\n"
    podman.ok("cp", f"{name}:/tmp/d", str(tmp_path / "d"))
    assert (tmp_path / "d" / "f").read_text() == "x\n"
    probe = f"runsc-py-copy-probe-{os.getpid()}"
    podman.ok("cp", str(tmp_path / "in"), f"{name}:/{probe}")
    assert not Path("/", probe).exists(), "the copy went to the host"


def test_top_and_stats(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--name", name, IMAGE, "sh", "-c", "sleep 61 & sleep 62; :")
    time.sleep(0.5)
    rows = podman.ok("top", name, "pid", "comm").splitlines()
    comms = [row.split()[1] for row in rows[1:]]
    assert sorted(comms) == ["sh", "sleep", "sleep"], rows
    assert rows[1].split()[0] == "1"
    stats = podman.ok("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}} {{.PIDs}}", name)
    assert stats.startswith(name) and not stats.endswith(" 0")


def test_write_through_commit_and_diff(podman: Podman, name: str) -> None:
    podman.ok("run", "--network=none", "--name", name, IMAGE, "sh", "-c", "echo kept >/kept; rm /etc/group")
    diff = podman.ok("diff", name).splitlines()
    assert "A /kept" in diff and "D /etc/group" in diff
    image = f"localhost/{name}:latest"
    podman.ok("commit", "-q", name, image)
    try:
        assert podman.run(image, "cat", "/kept").stdout == "kept\n"
    finally:
        podman("rmi", "-f", image)


def test_volumes_and_read_only(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("of the host\n")
    done = podman.run("-v", f"{tmp_path}:/v", "--tmpfs", "/t", "--read-only", IMAGE,
                      "sh", "-c", "cat /v/f; echo new >/v/g; echo x >/t/x && cat /t/x; touch /no; echo $?")
    assert done.stdout.split("\n") == ["of the host", "x", "1", ""]
    assert (tmp_path / "g").read_text() == "new\n"
    done = podman.run("-v", f"{tmp_path}:/v:ro", IMAGE, "sh", "-c", "echo x >/v/h; echo $?")
    assert done.stdout == "1\n" and not (tmp_path / "h").exists()


def test_user_environment_directory(podman: Podman) -> None:
    done = podman.run("--user", "1000:1000", "-e", "A=b", "-w", "/tmp", "--hostname", "given", IMAGE,
                      "sh", "-c", "id -u; id -g; echo $A; pwd; hostname; touch /etc/x 2>/dev/null; echo $?; "
                      "cat /etc/hostname")
    assert done.stdout.split() == ["1000", "1000", "b", "/tmp", "given", "1", "given"]


def test_init_and_pid_1(podman: Podman) -> None:
    assert podman.run(IMAGE, "sh", "-c", "echo $$; ls /proc | grep -c '^[0-9]*$'").stdout.split()[0] == "1"


def test_error_of_create_leaves_nothing(podman: Podman, name: str) -> None:
    done = podman("run", "--network=none", "--name", name, IMAGE, "/no/such")
    assert done.returncode == 127
    podman.ok("rm", name)
    assert podman("container", "exists", name).returncode == 1


def test_log_lines_stay_whole(podman: Podman, name: str) -> None:
    podman.ok("run", "--network=none", "--name", name, IMAGE, "sh", "-c", "for i in $(seq 300); do echo line $i; done")
    assert podman.ok("logs", name).splitlines() == [f"line {i}" for i in range(1, 301)]


def test_nothing_remains(podman: Podman, name: str) -> None:
    """After run --rm: no process, mount, cgroup or state of the container."""
    before = set(Path("/run/runsc-py").iterdir()) if Path("/run/runsc-py").exists() else set()
    done = podman.run("--name", name, IMAGE, "sh", "-c", "cat /proc/self/cgroup >/dev/null; sleep 0.2")
    assert done.returncode == 0, done.stderr
    after = set(Path("/run/runsc-py").iterdir()) if Path("/run/runsc-py").exists() else set()
    assert not {p for p in after - before if not p.name.startswith("do-")}
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert f"--name {name}" not in listing.replace("ps -eo", "")
