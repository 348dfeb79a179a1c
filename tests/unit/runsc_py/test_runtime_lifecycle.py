"""Containers from create to delete, with real processes: what engines ask, and deaths in every order."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.unit.runsc_py.runtime import CGROUP, NEEDS, Runtime, nothing_left, processes, reap

pytestmark = NEEDS


def test_life(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "echo out; echo err >&2; exit 7")
    done = runtime("create", "--bundle", str(runtime.base / "bundle"), "--pid-file", str(runtime.base / "pid"), "c")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pid = int((runtime.base / "pid").read_text())
    state = runtime.state()
    assert (state["id"], state["pid"], state["status"]) == ("c", pid, "created")
    assert state["bundle"] == str(runtime.base / "bundle")
    assert os.getsid(pid) == pid, "a session of its own: engines kill the process group"
    assert "exists" in runtime("create", "--bundle", str(runtime.base / "bundle"), "c").stderr
    assert runtime("start", "c").returncode == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7, "the pid is our own child"
    runtime.until("stopped")
    assert runtime.state()["pid"] == 0
    assert json.loads(runtime("wait", "c").stdout) == {"id": "c", "exitStatus": 7}
    assert runtime("kill", "c", "9").returncode == 1
    assert "stopped" in runtime("start", "c").stderr
    assert runtime("delete", "c").returncode == 0
    assert runtime("delete", "c").returncode == 1
    assert runtime("delete", "--force", "c").returncode == 0
    nothing_left(runtime)


def test_output_goes_where_create_had_it(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "cat; echo err >&2")
    reader, writer = os.pipe()
    command = runtime.command("create", "--bundle", str(runtime.base / "bundle"), "c")
    with open(runtime.base / "bundle" / "config.json") as given:
        subprocess.run(command, stdin=given, stdout=writer, stderr=writer, check=True, timeout=60)
    os.close(writer)
    runtime("start", "c")
    text = b""
    while piece := os.read(reader, 65536):
        text += piece
    os.close(reader)
    assert text == (runtime.base / "bundle" / "config.json").read_bytes() + b"err\n"


def test_pid_1_is_immune_from_inside(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", 'for s in 9 15 11 6; do busybox sh -c "kill -$s $PPID"; kill -$s 1; done; exit 3')
    pid = runtime.create()
    runtime("start", "c")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def test_kill(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.1; done")
    reader, writer = os.pipe()
    create = ("create", "--bundle", str(runtime.base / "bundle"), "--pid-file", str(runtime.base / "pid"), "c")
    subprocess.run(
        runtime.command(*create), stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, check=True, timeout=60
    )
    os.close(writer)
    pid = int((runtime.base / "pid").read_text())
    runtime("start", "c")
    assert os.read(reader, 64) == b"ready\n"
    assert runtime("kill", "c", "USR1", env={"XDG_RUNTIME_DIR": ""}).returncode == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert os.read(reader, 64) == b"got\n"
    os.close(reader)


def test_signals_to_the_stub_reach_the_program(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "trap 'exit 6' TERM; echo > /tmp/ready; while :; do sleep 0.1; done")
    pid = runtime.create()
    runtime("start", "c")
    ready = runtime.base / "bundle" / "rootfs" / "tmp" / "ready"
    for _ in range(500):
        if ready.exists():
            break
        time.sleep(0.02)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 6


@pytest.mark.parametrize("started", [False, True])
def test_kill_9(runtime: Runtime, started: bool) -> None:
    runtime.bundle("sleep", "100")
    pid = runtime.create()
    if started:
        runtime("start", "c")
    assert runtime("kill", "c", "9").returncode == 0
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert runtime("delete", "c").returncode == 0
    nothing_left(runtime)


@pytest.mark.parametrize("victim", ["sentryPid", "pid"])
def test_sentry_or_stub_is_killed(runtime: Runtime, victim: str) -> None:
    runtime.bundle("sleep", "100")
    pid = runtime.create()
    runtime("start", "c")
    begin = time.monotonic()
    os.kill(runtime.record()[victim], signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    while processes() and time.monotonic() < begin + 5:
        reap()
    assert time.monotonic() - begin < 1.0
    assert runtime.state()["status"] == "stopped"
    assert json.loads(runtime("wait", "c").stdout)["exitStatus"] == 137
    assert runtime("delete", "c").returncode == 0
    nothing_left(runtime)


def test_the_stub_looks_like_the_container(runtime: Runtime) -> None:
    runtime.bundle("sleep", "100")
    volume = runtime.base / "volume"
    volume.mkdir()
    (volume / "file").write_text("x")
    config = json.loads((runtime.base / "bundle" / "config.json").read_text())
    config["mounts"].append({"destination": "/data", "type": "bind", "source": str(volume), "options": ["rbind", "ro"]})
    (runtime.base / "bundle" / "config.json").write_text(json.dumps(config))
    pid = runtime.create()
    runtime("start", "c")
    root = Path(f"/proc/{pid}/root")
    assert (root / "data" / "file").read_text() == "x"
    with pytest.raises(OSError):
        (root / "data" / "new").write_text("x")
    with pytest.raises(OSError):
        (root / "dev" / "new").write_text("x")
    (root / "tmp" / "new").write_text("y")
    assert (runtime.base / "bundle" / "rootfs" / "tmp" / "new").read_text() == "y"
    tasks = {name for name in os.listdir(root / "proc") if name.isdigit()}
    assert tasks == {"1"}, "the /proc is that of the guests"
    assert CGROUP in Path(f"/proc/{pid}/cgroup").read_text()
    status = Path(f"/proc/{pid}/status").read_text()
    assert "CapPrm:\t0000000000000000" in status and "CapBnd:\t0000000000000000" in status
    sentry = runtime.record()["sentryPid"]
    assert os.readlink(f"/proc/{pid}/ns/net") == os.readlink(f"/proc/{sentry}/ns/net")
    assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


def test_what_the_sentry_has_left(runtime: Runtime) -> None:
    runtime.bundle("sleep", "100")
    leaked = os.open("/etc/passwd", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    done = runtime("create", "--bundle", str(runtime.base / "bundle"), "c", close_fds=False)
    os.close(leaked)
    assert done.returncode == 0
    sentry = runtime.record()["sentryPid"]
    links = {os.readlink(f"/proc/{sentry}/fd/{fd}") for fd in os.listdir(f"/proc/{sentry}/fd")}
    assert not [link for link in links if "passwd" in link]
    assert os.listdir(f"/proc/{sentry}/root") == ["proc"]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{sentry}/status").read_text().splitlines() if ":\t" in line
    )
    assert int(status["CapEff"], 16) & ~0x8808003B == 0 and status["NoNewPrivs"] == "1"
    assert status["NSpid"].split()[-1] == "1"
    with pytest.raises(OSError):
        Path(f"/proc/{sentry}/root/x").write_text("x")


@pytest.mark.parametrize(
    ("args", "words"),
    [(["nothere"], "executable file `nothere` not found in $PATH: No such file or directory"),
     (["/no/such"], "executable file `/no/such` not found in $PATH: No such file or directory"),
     (["/etc"], "permission denied")],
)  # fmt: skip
def test_programs_that_cannot_run(runtime: Runtime, args: list[str], words: str) -> None:
    runtime.bundle(*args)
    log = runtime.base / "log"
    done = runtime("--log", str(log), "--log-format=json", "create", "--bundle", str(runtime.base / "bundle"), "c")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1) and words in done.stderr
    assert words in json.loads(log.read_text())["msg"]
    nothing_left(runtime)


def test_bad_bundles(runtime: Runtime) -> None:
    for changes, words in (
        ({"root": {"path": "nowhere"}}, "No such file or directory"),
        ({"mounts": [{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}]}, "/no/such"),
        ({"process": {"cwd": "/nowhere"}}, "No such file or directory"),
        ({"process": {"terminal": True}}, "console-socket"),
        ({"linux": {"namespaces": [{"type": "network", "path": "/no/net"}]}}, "/no/net"),
    ):
        runtime.bundle("true", **changes)
        done = runtime("create", "--bundle", str(runtime.base / "bundle"), "c")
        assert done.returncode == 1 and words in done.stderr and done.stderr.count("\n") == 1
    nothing_left(runtime)


@pytest.mark.slow
def test_kill_9_at_random_moments(runtime: Runtime) -> None:
    """create/start/kill/delete with one of CLI, Sentry and stub killed on the way: delete --force leaves nothing."""
    choose = random.Random(1)
    runtime.bundle("sh", "-c", "while :; do sleep 0.01; done")
    bundle = str(runtime.base / "bundle")
    for _ in range(12):
        victim = choose.choice(("cli", "sentryPid", "pid"))
        with subprocess.Popen(
            runtime.command("create", "--bundle", bundle, "c"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as cli:  # fmt: skip
            time.sleep(choose.uniform(0.01, 0.15))
            if victim == "cli":
                cli.kill()
            else:
                try:
                    os.kill(runtime.record()[victim], signal.SIGKILL)
                except (OSError, KeyError, ValueError):
                    pass
            cli.wait()
        runtime("start", "c")
        runtime("kill", "c", "9")
        done = runtime("delete", "--force", "c")
        assert (done.returncode, done.stderr) == (0, "")
        nothing_left(runtime)
