"""runc-exec(8): every option, exit codes, death in every order; the test process stands in for conmon."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import runtime
from tests.oci.container import CHANNEL, Container, config, descendants, processes
from tests.oci.test_death import family, gone, levels, split

pytestmark = pytest.mark.timeout(180)
Make = Callable[..., Container]
Done = subprocess.CompletedProcess[str]
MAIN = "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture
def c(make: Make) -> Container:
    """A running container whose pid 1 waits for SIGTERM."""
    container = make(MAIN)
    container.up()
    container.until("up")
    return container


def run(c: Container, *words: str, stdin: bytes = b"", timeout_s: float = 30, **options: Any) -> Done:
    done = subprocess.run([*runtime(), f"--root={c.state_root}", "exec", *words], input=stdin, capture_output=True,
                          timeout=timeout_s, check=False, **options)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def sh(c: Container, script: str, *options: str, **more: Any) -> Done:
    return run(c, *options, c.name, "sh", "-c", script, **more)


def detached(c: Container, script: str, *options: str) -> int:
    """The pid-file's process, which is our child as it is conmon's."""
    pid_file = c.bundle / f"exec-{time.monotonic_ns()}"
    output = c.bundle / "exec-output"
    with output.open("ab") as out:
        done = subprocess.run([*runtime(), f"--root={c.state_root}", "exec", "--detach", "--pid-file", str(pid_file),
                               *options, c.name, "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=out,
                              stderr=out, timeout=30, check=False)
    assert done.returncode == 0, output.read_text()
    return int(pid_file.read_text())


def status_of(pid: int, patience_s: float = 20) -> int:
    """As conmon tells it."""
    end = time.monotonic() + patience_s
    while True:
        got, status = os.waitpid(pid, os.WNOHANG)
        if got:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code
        assert time.monotonic() < end, f"{pid} does not end"
        time.sleep(0.005)


def until(what: Callable[[], bool], patience_s: float = 20) -> None:
    end = time.monotonic() + patience_s
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


# what it is -----------------------------------------------------------------------------------------------------------
def test_streams(c: Container) -> None:
    done = sh(c, "cat; echo err >&2", stdin=b"through stdin\n" * 20000)
    assert (done.returncode, done.stdout, done.stderr) == (0, "through stdin\n" * 20000, "err\n")


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 255])
def test_exit_code(c: Container, code: int) -> None:
    assert sh(c, f"exit {code}").returncode == code


@pytest.mark.parametrize("signo", [1, 9, 11, 15])
def test_death_by_signal(c: Container, signo: int) -> None:
    assert sh(c, f"kill -{signo} $$").returncode == 128 + signo
    assert c.status() == "running"


def test_family(c: Container) -> None:
    """No parent inside, a session of its own; what it leaves behind goes to pid 1."""
    done = sh(c, "echo $PPID; awk '{print $1, $5, $6}' /proc/$$/stat; echo $$; hostname; echo /proc/[0-9]*")
    parent, numbers, pid, name, seen = done.stdout.splitlines()
    assert parent == "0" and numbers.split() == [pid] * 3
    assert name == "inside" and {"/proc/1", f"/proc/{pid}"} <= set(seen.split())
    sh(c, "(sleep 30 >/dev/null 2>&1 & echo $! >/tmp/orphan)")
    assert sh(c, "awk '{print $4}' /proc/$(cat /tmp/orphan)/stat").stdout == "1\n"
    assert sh(c, "kill $(cat /tmp/orphan); sleep 0.3; test -e /proc/$(cat /tmp/orphan)").returncode == 1


def test_it_shares_files_and_signals(c: Container) -> None:
    assert sh(c, "echo text >/tmp/shared").returncode == 0
    assert sh(c, "cat /tmp/shared").stdout == "text\n"
    assert sh(c, "kill -TERM 1").returncode == 0
    assert c.wait() == 5


def test_kill_of_all_spares_pid_1(c: Container) -> None:
    pid = detached(c, "sleep 100")
    assert sh(c, "kill -9 -1; echo still").stdout == "still\n", "kill(-1) does not reach the caller"
    assert status_of(pid) == 137
    assert c.status() == "running"
    assert sh(c, "echo again").stdout == "again\n"


def test_not_started(make: Make) -> None:
    """A created container takes it, as with runc."""
    c = make("echo main")
    assert c.create().returncode == 0
    assert sh(c, "echo $$; exit 3").returncode == 3
    assert c.status() == "created" and c.text() == ""
    c.start()
    assert c.wait() == 0 and c.text() == "main\n"


# what cannot run ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("program", "words"), [
    ("/no/such", "no such file or directory"), ("no-such", "executable file .*not found in"),
    ("/etc/passwd", "permission denied"), ("/etc", "permission denied"),
])  # fmt: skip
def test_programs_that_cannot_run(c: Container, program: str, words: str) -> None:
    done = run(c, c.name, program)
    assert done.returncode == 255 and done.stdout == ""
    assert re.search(words, done.stderr.lower()) and done.stderr.count("\n") == 1
    log = c.bundle / "log"
    done = subprocess.run([*runtime(), f"--root={c.state_root}", f"--log={log}", "--log-format=json", "exec", c.name,
                           program], capture_output=True, text=True, timeout=30, check=False)
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and re.search(words, entry["msg"].lower())


def test_wrong_uses(c: Container) -> None:
    for words in (["no-such-container", "true"], [c.name], [], ["--user", "nobody", c.name, "true"],
                  ["--cwd", "relative", c.name, "true"],
                  ["--process", "/no/such", c.name], ["--no-such-option", c.name, "true"],
                  ["--tty", c.name, "true"], ["--tty", "--detach", c.name, "true"],
                  ["--console-socket", "/no", c.name, "true"], ["--cgroup", "no/such", c.name, "true"],
                  ["--cgroup", "../up", c.name, "true"], ["--preserve-fds", "9", c.name, "true"],
                  ["--cwd", "/no/such", c.name, "true"]):
        done = run(c, *words)
        assert done.returncode == 255 and done.stderr.count("\n") == 1 and not done.stdout, words
        assert "Traceback" not in done.stderr
    assert run(c, c.name, "true").returncode == 0


def test_no_room_for_a_process(make: Make) -> None:
    def limit(settings: dict[str, Any]) -> None:
        settings["linux"]["resources"] = {"pids": {"limit": 6}}

    c = make("(for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done); echo up; while :; do :; done", limit)
    c.up()
    c.until("up")
    if "can't fork" not in c.text():
        pytest.skip("this host has no pids controller")
    done = run(c, c.name, "true")
    assert done.returncode == 255 and "Resource temporarily unavailable" in done.stderr
    assert c.status() == "running"


def test_stopped(make: Make) -> None:
    c = make("exit 0")
    c.up()
    assert c.wait() == 0
    done = run(c, c.name, "true")
    assert done.returncode == 255 and "stopped" in done.stderr


def test_failures_leave_nothing(c: Container) -> None:
    sentry = split(c)[0]
    assert sh(c, "true").returncode == 0
    before, members = len(os.listdir(f"/proc/{sentry}/fd")), len(family(c))
    for _ in range(5):
        run(c, c.name, "no-such-program")
        run(c, "--cwd", "/no/such", c.name, "true")
    for _ in range(10):
        assert sh(c, "true").returncode == 0
    # a descriptor or two of pid 1's sleep come and go, a leak stays
    until(lambda: len(os.listdir(f"/proc/{sentry}/fd")) <= before)
    until(lambda: len(family(c)) <= members + 1)  # the sleep of pid 1 comes and goes


# options --------------------------------------------------------------------------------------------------------------
def test_user_directory_environment(c: Container) -> None:
    done = sh(c, "id -u; id -g; id -G; pwd; echo $A-$B; echo $PATH", "--user", "1000:1001", "-g", "7", "-g", "8,9",
              "--cwd", "/tmp", "--env", "A=1", "-e", "B=x y", "-e", "A=2")
    assert done.stdout.splitlines() == ["1000", "1001", "1001 7 8 9", "/tmp", "2-x y", "/bin"]
    assert sh(c, "id -u; id -g", "-u", "1000").stdout.split() == ["1000", "0"]


@pytest.mark.parametrize(("options", "home"), [
    ((), "/"), (("-u", "1000"), "/home"), (("-u", "7"), "/"), (("-e", "HOME=/x"), "/x"), (("-e", "HOME="), "/"),
])  # fmt: skip
def test_home_comes_from_passwd(make: Make, options: tuple[str, ...], home: str) -> None:
    """As with runc, for pid 1 too."""
    c = make("echo main $HOME; while :; do sleep 0.05; done", env=["PATH=/bin"])
    c.up()
    c.until("main /\n")
    assert sh(c, "echo $HOME", *options).stdout == f"{home}\n"


def test_capabilities_and_no_new_privs(c: Container) -> None:
    script = "grep -E 'Cap(Eff|Bnd)|NoNewPrivs' /proc/self/status"
    plain = dict(line.split() for line in sh(c, script).stdout.splitlines())
    more = dict(line.split() for line in sh(c, script, "--cap", "CAP_NET_ADMIN", "-c", "sys_time",
                                            "--no-new-privs").stdout.splitlines())
    added = 1 << 12 | 1 << 25
    for name in ("CapEff:", "CapBnd:"):
        assert int(more[name], 16) == int(plain[name], 16) | added != int(plain[name], 16)
    assert (plain["NoNewPrivs:"], more["NoNewPrivs:"]) == ("0", "1")


def test_process_file(c: Container, tmp_path: Path) -> None:
    path = tmp_path / "process.json"
    process = config(["/bin/sh", "-c", "id -u; pwd; echo $X; ulimit -n; umask; grep NoNew /proc/self/status"],
                     user={"uid": 1000, "gid": 1000, "umask": 0o77}, cwd="/tmp", env=["X=y", "PATH=/bin"],
                     noNewPrivileges=True, rlimits=[{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 99}])["process"]
    path.write_text(json.dumps(process))
    done = run(c, "--process", str(path), c.name)
    assert done.stdout.split() == ["1000", "/tmp", "y", "77", "0077", "NoNewPrivs:", "1"], done.stderr
    path.write_text(json.dumps({**process, "args": ["/bin/sh", "-c", "true", "x" * 140000]}))
    done = run(c, "--process", str(path), c.name)
    assert done.returncode == 255 and "Argument list too long" in done.stderr
    path.write_text(json.dumps({**process, "env": ["X=" + "x" * 100000] * 15, "args": ["/bin/sh", "-c", "exit 8"]}))
    assert run(c, "--process", str(path), c.name).returncode == 8
    for bad in ("{", "[]", "{}", json.dumps({**process, "cwd": "x"}), json.dumps({**process, "args": []})):
        path.write_text(bad)
        assert run(c, "-p", str(path), c.name).returncode == 255, bad


def test_ignored_options(c: Container) -> None:
    """Labels of the host's security modules say nothing to a guest."""
    assert sh(c, "exit 3", "--process-label", "a:b", "--apparmor", "unconfined", "--no-subreaper").returncode == 3


def test_preserved_descriptors(c: Container) -> None:
    reading, writing = os.pipe()
    at_3 = ["bash", "-c", f'exec 3>&{writing} "$@"', "sh", *runtime(), f"--root={c.state_root}", "exec"]
    script = "echo there >&3 || exit 4; (echo x >&4) 2>/dev/null || exit 5"

    def code(*words: str, **env: str) -> int:
        return subprocess.run([*at_3, *words, c.name, "sh", "-c", script], pass_fds=(writing,), capture_output=True,
                              timeout=30, check=False, env={**os.environ, **env}).returncode

    try:
        assert code("--preserve-fds", "1") == 5, "only 3 is there"
        assert os.read(reading, 100) == b"there\n"
        assert code(LISTEN_FDS="1") == 5
        assert os.read(reading, 100) == b"there\n"
        assert code() == 4, "without the option it is not passed on"
    finally:
        os.close(reading)
        os.close(writing)


def test_cgroup(c: Container) -> None:
    """--cgroup: stub and process are in a cgroup below the container's, which must be there."""
    tops = {line.rpartition(":")[2] for line in Path(f"/proc/{c.pid()}/cgroup").read_text().splitlines()
            if c.name in line}
    assert len(tops) == 1
    made = [Path(root) for root in json.loads((c.state_root / c.name / "state.json").read_text())["cgroups"]]
    for directory in made:
        (directory / "sub").mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):
            if (directory / name).exists():
                (directory / "sub" / name).write_text((directory / name).read_text())
    try:
        pid = detached(c, "sleep 30", "--cgroup", "/sub")
        members = {directory: (directory / "sub" / "cgroup.procs").read_text().split() for directory in made}
        for directory, inside in members.items():
            assert str(pid) in inside and len(inside) == 2, directory
            assert any(len(levels(int(number))) > 2 for number in inside)
        os.kill(pid, signal.SIGKILL)
        assert status_of(pid) == 137
    finally:
        until(lambda: not any((d / "sub" / "cgroup.procs").read_text() for d in made))
        for directory in made:
            (directory / "sub").rmdir()


def test_paused(c: Container) -> None:
    assert c.call("pause", c.name).returncode == 0
    done = run(c, c.name, "true")
    assert done.returncode == 255 and "paused" in done.stderr
    waiting = subprocess.Popen([*runtime(), f"--root={c.state_root}", "exec", "--ignore-paused", c.name, "sh", "-c",
                                "exit 6"], stdin=subprocess.DEVNULL)
    time.sleep(0.7)
    assert waiting.poll() is None, "it runs in a paused container"
    assert c.call("resume", c.name).returncode == 0
    assert waiting.wait(timeout=20) == 6


# signals and death ----------------------------------------------------------------------------------------------------
def test_detached_status(c: Container) -> None:
    pid = detached(c, "sleep 0.2; exit 42")
    assert status_of(pid) == 42
    assert status_of(detached(c, "kill -9 $$")) == 137


def test_signals_of_the_stub_reach_the_process(c: Container) -> None:
    pid = detached(c, "trap 'echo usr >>/tmp/got' USR1; trap 'exit 9' TERM; echo up >/tmp/got; "
                   "while :; do sleep 0.02; done")
    until(lambda: sh(c, "cat /tmp/got").stdout == "up\n")
    os.kill(pid, signal.SIGUSR1)
    until(lambda: sh(c, "cat /tmp/got").stdout == "up\nusr\n")
    os.kill(pid, signal.SIGTERM)
    assert status_of(pid) == 9
    assert status_of_after(detached(c, "sleep 100"), signal.SIGTERM) == 143
    assert c.status() == "running"


def status_of_after(pid: int, signo: int) -> int:
    os.kill(pid, signo)
    return status_of(pid)


def test_kill_of_the_stub_is_the_death_of_the_process(c: Container) -> None:
    pid = detached(c, "echo $$ >/tmp/pid; while :; do sleep 0.05; done")
    until(lambda: sh(c, "cat /tmp/pid").stdout.strip().isdecimal())
    assert status_of_after(pid, signal.SIGKILL) == 137
    until(lambda: sh(c, "test -e /proc/$(cat /tmp/pid)").returncode == 1)
    assert c.status() == "running"


def test_foreground_passes_signals_on(c: Container) -> None:
    one = subprocess.Popen([*runtime(), f"--root={c.state_root}", "exec", c.name, "sh", "-c",
                            "trap 'exit 33' INT; echo up; while :; do sleep 0.02; done"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert one.stdout is not None and one.stdout.readline() == b"up\n"
    one.send_signal(signal.SIGINT)
    assert one.wait(timeout=20) == 33
    one.stdout.close()


@pytest.mark.parametrize("how", ["kill", "delete", "sentry"])
def test_the_container_takes_it_along(c: Container, how: str) -> None:
    pids = [detached(c, "trap '' TERM INT HUP; while :; do sleep 0.05; done") for _ in range(3)]
    members = [pid for pid in family(c) if pid not in pids]
    if how == "kill":
        assert c.call("kill", c.name, "9").returncode == 0
    elif how == "delete":
        assert c.call("delete", "--force", c.name).returncode == 0
    else:
        os.kill(split(c)[0], signal.SIGKILL)
    assert [status_of(pid) for pid in pids] == [137] * 3
    assert c.wait() == 137
    gone(members, 5)
    assert c.call("delete", "--force", c.name).returncode == 0
    assert not list(c.state_root.iterdir())
    assert not any(c.name in line for line in processes().values())


def test_end_of_pid_1_with_others_alive(c: Container) -> None:
    pid = detached(c, "while :; do sleep 0.05; done")
    assert c.call("kill", c.name, "15").returncode == 0
    assert c.wait() == 5 and status_of(pid) == 137


def test_a_command_that_dies_early_leaves_nothing(c: Container) -> None:
    """SIGKILL of the command at many moments: either the process ran, or nothing is left of it."""
    argv = [*runtime(), f"--root={c.state_root}", "exec", "--detach", c.name, "sleep", "0.3"]
    for step in range(12):
        one = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.01 * step)
        one.kill()
        one.wait()

    def over() -> bool:
        reap()
        lines = [text for pid in family(c) if (text := command_line(pid))]
        return len(lines) <= 5 and not any(b"0.3" in text for text in lines)  # pid 1's own sleep comes and goes

    until(over)
    assert sh(c, "echo alive").stdout == "alive\n"


def command_line(pid: int) -> bytes:
    """b"" when it is gone, or as good as gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def reap() -> None:
    """Stubs whose command was killed have become our children."""
    for pid in descendants(os.getpid())[1:]:
        try:
            if Path(f"/proc/{pid}/comm").read_text() == "runsc-py-stub"[:15] + "\n":
                os.waitpid(pid, os.WNOHANG)
        except (OSError, ChildProcessError):
            continue


def test_without_a_spawner(c: Container) -> None:
    """It is part of the sandbox: were it killed, the container goes on and `exec` says so."""
    spawner = next(pid for pid in family(c) if Path(f"/proc/{pid}/comm").read_text() == "runsc-spawner\n")
    os.kill(spawner, signal.SIGKILL)
    time.sleep(0.2)
    done = run(c, c.name, "true")
    assert done.returncode == 255 and done.stderr.count("\n") == 1
    assert c.status() == "running"
    assert c.call("kill", c.name, "15").returncode == 0
    assert c.wait() == 5


def test_the_spawner_has_nothing(c: Container) -> None:
    spawner = next(pid for pid in family(c) if Path(f"/proc/{pid}/comm").read_text() == "runsc-spawner\n")
    status = dict(line.split(":", 1) for line in Path(f"/proc/{spawner}/status").read_text().splitlines())
    for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    assert status["Uid"].split() == ["65534"] * 4
    assert {int(fd) for fd in os.listdir(f"/proc/{spawner}/fd")} - CHANNEL == {63}
    assert os.listdir(f"/proc/{spawner}/root") == []
    assert int(status["VmRSS"].split()[0]) < 200, "kB"
