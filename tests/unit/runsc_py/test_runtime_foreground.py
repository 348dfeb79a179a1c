"""`run` and `do`, and what a container is given: a console, hooks, descriptors."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import Any

from tests.unit.runsc_py.runtime import NEEDS, PATH, Runtime, nothing_left, processes, reap

pytestmark = NEEDS


def test_run(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "echo hi; exit 42")
    done = runtime("run", "--bundle", str(runtime.base / "bundle"), "c")
    assert (done.returncode, done.stdout, done.stderr) == (42, "hi\n", "")
    nothing_left(runtime)


def test_run_passes_signals_on(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done")
    with subprocess.Popen(
        runtime.command("run", "--bundle", str(runtime.base / "bundle"), "c"), stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        running.send_signal(signal.SIGINT)
        assert running.wait(20) == 9


def test_do(runtime: Runtime) -> None:
    root = str(runtime.base / "bundle" / "rootfs")
    done = runtime(
        "do", "--root", root, "--env", "A=b", "--", "sh", "-c", "echo $A $1; exit 4", "-", "x", env={"PATH": PATH}
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, "b x\n", "")
    assert runtime("do", "--root", root, "nothere").returncode == 127
    assert runtime("do", "--root", root, "/etc").returncode == 126
    assert runtime("do", "--root", root, "--cwd", "/tmp", "pwd").stdout == "/tmp\n"
    nothing_left(runtime)


def test_do_ends_with_its_command_line(runtime: Runtime) -> None:
    root = str(runtime.base / "bundle" / "rootfs")
    with subprocess.Popen(
        runtime.command("do", "--root", root, "sh", "-c", "echo ready; sleep 100"),
        stdout=subprocess.PIPE,
        env={"PATH": PATH},
    ) as running:
        assert running.stdout is not None and running.stdout.readline() == b"ready\n"
        running.kill()
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        reap()
    assert processes() == set()
    assert runtime("do", "--root", root, "true").returncode == 0
    nothing_left(runtime)


def test_console_socket(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "read x; echo got $x; [ -t 0 ] && [ -t 1 ]; exit $?", process={"terminal": True})
    listener = socket.socket(socket.AF_UNIX)
    path = str(runtime.base / "console")
    listener.bind(path)
    listener.listen()
    pid = runtime.create("c", "--console-socket", path)
    link, _ = listener.accept()
    _, rights, _, _ = link.recvmsg(64, socket.CMSG_SPACE(4))
    master = struct.unpack("i", rights[0][2])[0]
    runtime("start", "c")
    os.write(master, b"line\r")
    text = b""
    try:
        while piece := os.read(master, 4096):
            text += piece
    except OSError:
        pass  # EIO: the other side is gone
    os.close(master)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert text == b"line\r\ngot line\r\n"


def test_hooks_run_with_the_state(runtime: Runtime) -> None:
    def hook(name: str, status: int = 0) -> dict[str, Any]:
        script = f"cat > {runtime.base}/{name}; echo >> {runtime.base}/order {name}; exit {status}"
        return {"path": "/bin/sh", "args": ["sh", "-c", script]}

    points = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    runtime.bundle("sleep", "100", hooks={point: [hook(point)] for point in points})
    pid = runtime.create()
    runtime("start", "c")
    runtime("kill", "c", "9")
    os.waitpid(pid, 0)
    runtime("delete", "c")
    assert (runtime.base / "order").read_text().split() == list(points)
    states = [json.loads((runtime.base / point).read_text()) for point in points]
    assert [state["status"] for state in states] == ["creating", "creating", "creating", "running", "stopped"]
    assert [state["pid"] for state in states] == [pid, pid, pid, pid, 0]


def test_a_hook_that_fails_undoes_create(runtime: Runtime) -> None:
    for failing, words in (({"path": "/bin/false"}, "exit status 1"), ({"path": "/no/hook"}, "No such file")):
        runtime.bundle("sleep", "100", hooks={"createRuntime": [failing]})
        done = runtime("create", "--bundle", str(runtime.base / "bundle"), "c")
        assert done.returncode == 1 and words in done.stderr
        nothing_left(runtime)


def test_preserved_descriptors(runtime: Runtime) -> None:
    runtime.bundle("sh", "-c", "cat <&3; echo out >&4; ls /proc/self/fd >&4")
    with open(runtime.base / "in", "w+") as given, open(runtime.base / "got", "w") as got:
        given.write("in\n")
        given.flush()
        os.lseek(given.fileno(), 0, os.SEEK_SET)
        high = [os.dup2(os.dup(file.fileno()), number) for number, file in ((103, given), (104, got))]
        move = "import os, sys; os.dup2(103, 3); os.dup2(104, 4); os.execv(sys.argv[1], sys.argv[1:])"
        command = runtime.command("run", "--bundle", str(runtime.base / "bundle"), "--preserve-fds", "2", "c")
        done = subprocess.run(
            [sys.executable, "-c", move, *command],
            pass_fds=high,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "")
    assert (runtime.base / "got").read_text().startswith("out\n")
    runtime.bundle("true")
    done2 = runtime("run", "--bundle", str(runtime.base / "bundle"), "--preserve-fds", "2", "c")
    assert done2.returncode == 1 and "descriptor 3 is not open" in done2.stderr
