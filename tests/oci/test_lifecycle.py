"""runtime-spec, "Lifecycle" and "Operations": create, start, state, kill, delete, run, list."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import runtime
from tests.oci.container import Container

pytestmark = pytest.mark.timeout(120)
Make = Callable[..., Container]


def test_states_in_order(make: Make) -> None:
    c = make("echo started; sleep 0.3; exit 7")
    assert c.create().returncode == 0
    state = c.state()
    assert state["status"] == "created"
    assert state["id"] == c.name
    assert state["bundle"] == str(c.bundle)
    assert re.fullmatch(r"1\.\d+\.\d+.*", state["ociVersion"])
    assert state["pid"] == c.pid()
    os.kill(c.pid(), 0)
    assert c.text() == "", "create writes into the container's output"
    time.sleep(0.3)
    assert c.text() == "", "the program runs before start"
    c.start()
    c.until("started")
    assert c.status() == "running"
    assert c.wait() == 7
    state = c.state()
    assert (state["status"], state["pid"]) == ("stopped", 0)
    assert c.call("delete", c.name).returncode == 0
    gone = c.call("state", c.name)
    assert gone.returncode == 1 and gone.stdout == "" and gone.stderr


@pytest.mark.parametrize("code", [0, 1, 42, 126, 127, 255])
def test_exit_code(make: Make, code: int) -> None:
    c = make(f"exit {code}")
    c.up()
    assert c.wait() == code


@pytest.mark.parametrize(("signal", "status"),
                         [("TERM", 143), ("15", 143), ("SIGKILL", 137), ("9", 137), ("SEGV", 139)])
def test_kill(make: Make, signal: str, status: int) -> None:
    """pid 1 dies of SIGKILL; of others only where it has a handler, as in every pid namespace."""
    number = {"TERM": 15, "15": 15, "SEGV": 11}.get(signal)
    trap = f"trap 'exit {status}' {number}; " if number else ""
    c = make(f"{trap}echo up; while :; do sleep 0.05; done")
    c.up()
    c.until("up")
    done = c.call("kill", c.name, signal)
    assert done.returncode == 0, done.stderr
    assert c.wait() == status
    assert c.call("kill", c.name, signal).returncode != 0, "a stopped container cannot be signalled"


def test_kill_without_handler_is_ignored_by_pid_1(make: Make) -> None:
    c = make("echo up; while :; do sleep 0.05; done")
    c.up()
    c.until("up")
    assert c.call("kill", c.name, "15").returncode == 0
    time.sleep(0.5)
    assert c.status() == "running"


def test_kill_before_start(make: Make) -> None:
    c = make("echo never")
    assert c.create().returncode == 0
    assert c.call("kill", c.name, "9").returncode == 0
    assert c.wait() == 137
    assert c.text() == ""


def test_bad_signal(make: Make) -> None:
    c = make("sleep 30")
    c.up()
    for bad in ("NOSUCH", "99", "-1"):
        assert c.call("kill", c.name, bad).returncode != 0
    assert c.status() == "running"


def test_delete_rules(make: Make) -> None:
    c = make("sleep 30")
    c.up()
    assert c.call("delete", c.name).returncode != 0
    assert c.status() == "running"
    assert c.call("delete", "--force", c.name).returncode == 0
    assert c.wait() == 137
    assert c.call("delete", "--force", c.name).returncode == 0, "idempotent"
    assert c.call("delete", c.name).returncode == 1
    assert not list(c.state_root.iterdir()), "state is left behind"


def test_delete_force_before_start(make: Make) -> None:
    c = make("echo never")
    assert c.create().returncode == 0
    assert c.call("delete", "--force", c.name).returncode == 0
    assert c.wait() == 137


def test_unknown_container(make: Make) -> None:
    c = make("true")
    for argv in (["state"], ["start"], ["kill"], ["delete"]):
        done = c.call(*argv, "no-such-container", *(["9"] if argv == ["kill"] else []))
        assert done.returncode != 0 and done.stderr.strip() and not done.stdout
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == 1, "one line"
    for bad in ("../escape", "a/b", "", "."):
        assert c.call("state", bad).returncode != 0


def test_twice(make: Make) -> None:
    c = make("echo one; sleep 30")
    c.up()
    assert c.create().returncode != 0
    assert c.status() == "running"
    assert c.call("start", c.name).returncode != 0


def test_list(make: Make) -> None:
    c = make("sleep 30")
    c.up()
    assert c.name in c.call("list").stdout
    listed = json.loads(c.call("list", "--format", "json").stdout)
    mine = [entry for entry in listed if entry["id"] == c.name]
    assert len(mine) == 1 and mine[0]["status"] == "running" and mine[0]["pid"] == c.pid()
    assert c.call("list", "--quiet").stdout.split() == [c.name]


def test_run(make: Make) -> None:
    c = make("cat; echo err >&2; exit 9")
    done = subprocess.run([*runtime(), f"--root={c.state_root}", "run", "--bundle", str(c.bundle), c.name],
                          input=b"through stdin\n", capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (9, b"through stdin\n", b"err\n")
    assert c.call("state", c.name).returncode != 0, "run deletes what it made"


def test_run_killed(make: Make) -> None:
    c = make(["/bin/sh", "-c", "kill -9 $$; /bin/sh -c 'kill -9 $PPID'; exit 3"])
    done = subprocess.run([*runtime(), f"--root={c.state_root}", "run", "--bundle", str(c.bundle), c.name],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 3, "pid 1 cannot be killed from inside"


@pytest.mark.parametrize(("program", "words"), [
    ("/no/such/program", "no such file or directory|executable file not found in"),
    ("no-such-program", "executable file .*not found in|no such file or directory"),
    ("/etc/passwd", "permission denied"),
    ("/etc", "permission denied|is a directory"),
])
def test_program_that_cannot_run(make: Make, program: str, words: str, tmp_path: Path) -> None:
    """create fails, with one line of text and one of JSON that podman understands."""
    c, log = make([program]), tmp_path / "log"
    done = c.create(flags=["--log-format=json", "--log", str(log)])
    assert done.returncode != 0
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and entry["time"]
    assert re.search(words, entry["msg"], re.IGNORECASE), entry["msg"]
    assert "Traceback" not in c.text()
    assert c.call("delete", "--force", c.name).returncode == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"ociVersion": 5}', '{"ociVersion": "1.0.2"}',
                                  '{"process": {}}'])
def test_broken_config(make: Make, text: str) -> None:
    c = make("true")
    (c.bundle / "config.json").write_text(text)
    assert c.create().returncode != 0
    assert "Traceback" not in c.text() and c.text().strip()


def test_missing_bundle(make: Make) -> None:
    c = make("true")
    (c.bundle / "config.json").unlink()
    assert c.create().returncode != 0
    assert "Traceback" not in c.text()


def test_two_at_once(make: Make) -> None:
    a, b = (make(f"echo {name} $$; hostname; sleep 0.5; ls /tmp; exit {code}") for name, code in (("a", 3), ("b", 4)))
    a.up()
    b.up()
    a.until("a 1")
    b.until("b 1")
    (a.bundle / "rootfs" / "tmp" / "only-in-a").touch()
    assert (a.wait(), b.wait()) == (3, 4)
    assert "only-in-a" not in b.text()


def test_pid_file_and_session(make: Make) -> None:
    c = make("sleep 30")
    c.up()
    assert c.pid_file.read_text().isdigit(), "decimal, nothing else"
    assert os.getsid(c.pid()) == c.pid(), "a session of its own"
    assert os.getpgid(c.pid()) == c.pid()


def test_create_leaves_no_process_behind_when_it_fails(make: Make) -> None:
    c = make("true", change=lambda settings: settings["root"].update(path="/no/such/root"))
    assert c.create().returncode != 0
    assert c.call("state", c.name).returncode != 0
    end = time.monotonic() + 5
    with pytest.raises(ChildProcessError):          # all that became a child of ours has ended
        while time.monotonic() < end:
            os.waitpid(-1, os.WNOHANG)
            time.sleep(0.01)
