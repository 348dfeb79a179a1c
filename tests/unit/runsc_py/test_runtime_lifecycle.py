"""Containers from create to delete, with real processes: what engines ask, and deaths in every order."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROJECT = Path(__file__).resolve().parents[3]
BUSYBOX = Path("/bin/busybox")
CGROUP = "/runsc-py-test/inner"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static"),
    pytest.mark.skipif(not (PROJECT / "sentry/engine/stub").exists(), reason="the engine is not built"),
]


class Done(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Runtime:
    """runsc-py with a state directory and a bundle of its own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = base / "state"
        self.launcher = base / "runsc-py"
        packages = next(p for p in sys.path if p.endswith("site-packages"))
        self.launcher.write_text(
            f"import sys\nsys.path[:0] = [{str(PROJECT)!r}, {packages!r}]\n"
            "from runsc_py.cli.main import main\nsys.exit(main())\n"
        )
        rootfs = base / "bundle" / "rootfs"
        for name in ("bin", "tmp", "proc", "dev", "sys", "etc"):
            (rootfs / name).mkdir(parents=True)
        (rootfs / "bin" / "busybox").write_bytes(BUSYBOX.read_bytes())
        (rootfs / "bin" / "busybox").chmod(0o755)
        for name in ("sh", "sleep", "cat", "true", "ls", "kill", "id", "pwd"):
            (rootfs / "bin" / name).symlink_to("busybox")

    def bundle(self, *args: str, **changes: Any) -> None:
        caps = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]
        config: dict[str, Any] = {
            "ociVersion": "1.0.2",
            "process": {
                "args": list(args),
                "env": ["PATH=/bin"],
                "cwd": "/",
                "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            },
            "root": {"path": "rootfs"},
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            ],
            "linux": {"cgroupsPath": CGROUP, "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "mount"}]},
        }
        for key, value in changes.pop("process", {}).items():
            config["process"][key] = value
        config.update(changes)
        (self.base / "bundle" / "config.json").write_text(json.dumps(config))

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-IS", str(self.launcher), "--root", str(self.root), *arguments]

    def __call__(self, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> Done:
        """Output goes to files: a container that was created keeps its stdout open."""
        options.setdefault("stdin", subprocess.DEVNULL)
        with open(self.base / "out", "w+") as out, open(self.base / "err", "w+") as err:
            code = subprocess.run(
                self.command(*arguments),
                env=env or {"PATH": PATH},
                stdout=out,
                stderr=err,
                timeout=60,
                check=False,
                **options,
            ).returncode
        return Done(code, (self.base / "out").read_text(), (self.base / "err").read_text())

    def create(self, name: str = "c", *more: str) -> int:
        done = self("create", "--bundle", str(self.base / "bundle"), "--pid-file", str(self.base / "pid"), *more, name)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return int((self.base / "pid").read_text())

    def state(self, name: str = "c") -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("state", name).stdout)
        return found

    def until(self, status: str, name: str = "c", patience_s: float = 10.0) -> None:
        deadline = time.monotonic() + patience_s
        while self.state(name)["status"] != status:
            assert time.monotonic() < deadline, f"not {status} in time"
            time.sleep(0.02)

    def record(self, name: str = "c") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / name / "state.json").read_text())
        return found


def reap() -> list[tuple[int, int]]:
    """Orphans come to us as to a container engine's monitor."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if not pid:
            return found
        found.append((pid, status))


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    import ctypes

    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    made = Runtime(tmp_path)
    made.bundle("sh", "-c", "exit 7")
    yield made
    for name in os.listdir(made.root) if made.root.exists() else []:
        made("delete", "--force", name)
    reap()
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def nothing_left(runtime: Runtime) -> None:
    """No process, mount, cgroup or state of the container is there any more."""
    reap()
    assert not runtime.root.exists() or os.listdir(runtime.root) == []
    groups = [str(p) for p in Path("/sys/fs/cgroup").glob("*/runsc-py-test")]
    assert groups == []
    assert str(runtime.base) not in Path("/proc/self/mountinfo").read_text()
    deadline = time.monotonic() + 5
    while processes() and time.monotonic() < deadline:
        reap()
        time.sleep(0.02)
    assert processes() == set()


def processes() -> set[str]:
    """Our descendants: orphans are handed to us, so that nothing of a sandbox can be anywhere else."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            pid = int(entry.name)
            names[pid] = text[text.index("(") + 1 : text.rindex(")")]
            parents[pid] = int(text[text.rindex(")") + 2 :].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {f"{pid} {names[pid]}" for pid in found - {os.getpid()}}


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
