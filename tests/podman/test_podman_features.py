"""podman-run(1): what its options ask of the runtime."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.podman.conftest import IMAGE, Podman
from tests.podman.test_podman import until

pytestmark = pytest.mark.timeout(180)
EFFECTIVE = "awk '/CapEff/ { print $2 }' /proc/self/status"


def test_a_volume_is_shared_while_the_container_runs(podman: Podman, name: str, tmp_path: Path) -> None:
    """Files, directories, renames and removals of one side are seen by the other, also by an open file."""
    (tmp_path / "log").write_text("first\n")
    podman.ok("run", "-d", "--network=none", "-v", f"{tmp_path}:/v", "--name", name, IMAGE, "sh", "-c",
              "cd /v; tail -f log & echo of the guest >g; mkdir -p d/e; echo up >>log; "
              "while ! test -e host; do sleep 0.05; done; cat host; mv host moved; "
              "while test -e log2; do sleep 0.05; done; echo saw the removal; sleep 60")
    until("up", podman, "logs", name)
    assert (tmp_path / "g").read_text() == "of the guest\n" and (tmp_path / "d/e").is_dir()
    with (tmp_path / "log").open("a") as log:
        log.write("from the host\n")
    until("from the host", podman, "logs", name)
    (tmp_path / "log2").touch()
    (tmp_path / "new").write_text("a file of the host\n")
    (tmp_path / "new").rename(tmp_path / "host")
    until("a file of the host", podman, "logs", name)
    end = time.monotonic() + 10
    while not (tmp_path / "moved").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    (tmp_path / "log2").unlink()
    until("saw the removal", podman, "logs", name)
    (tmp_path / "d/e").rmdir()
    assert podman.ok("exec", name, "ls", "/v/d") == ""


def test_two_containers_share_a_volume(podman: Podman, name: str) -> None:
    volume = f"{name}-volume"
    try:
        podman.ok("volume", "create", volume)
        podman.ok("run", "-d", "--network=none", "-v", f"{volume}:/v", "--name", name, IMAGE, "sh", "-c",
                  "while ! test -s /v/ask; do sleep 0.05; done; cat /v/ask; echo answer >/v/answer; sleep 60")
        done = podman.run("-v", f"{volume}:/v", IMAGE, "sh", "-c",
                          "echo question >/v/ask; while ! test -s /v/answer; do sleep 0.05; done; cat /v/answer")
        assert done.stdout == "answer\n"
        assert podman.ok("logs", name) == "question"
        assert podman.run("-v", f"{volume}:/v:ro", IMAGE, "sh", "-c", "cat /v/ask; touch /v/x; echo $?").stdout == \
            "question\n1\n"
    finally:
        podman("rm", "-f", "-t", "0", name)
        podman.ok("volume", "rm", volume)


def test_a_named_volume_begins_with_the_image_and_stays(podman: Podman, name: str) -> None:
    volume = f"{name}-volume"
    try:
        first = podman.run("-v", f"{volume}:/etc", IMAGE, "sh", "-c", "cat /etc/passwd | wc -l; echo kept >/etc/mine")
        assert int(first.stdout) >= 2, "podman copies what the image has at that place"
        assert podman.run("-v", f"{volume}:/etc", IMAGE, "cat", "/etc/mine").stdout == "kept\n"
        place = Path(json.loads(podman.ok("volume", "inspect", volume))[0]["Mountpoint"])
        assert (place / "mine").read_text() == "kept\n"
    finally:
        podman.ok("volume", "rm", volume)


def test_a_single_file_as_a_volume(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\n")
    done = podman.run("-v", f"{tmp_path}/f:/deep/er/file", IMAGE, "sh", "-c",
                      "cat /deep/er/file; echo two >>/deep/er/file; rm /deep/er/file 2>&1; ls /deep/er")
    assert done.stdout.startswith("one\n") and "busy" in done.stdout and done.stdout.endswith("file\n")
    assert (tmp_path / "f").read_text() == "one\ntwo\n"


def test_owners_of_a_volume(podman: Podman, tmp_path: Path) -> None:
    """A container's user owns what it makes, on the host too; and may only what the owner of a file lets it."""
    tmp_path.chmod(0o777)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "secret").chmod(0o600)
    done = podman.run("--user", "1234:4321", "-v", f"{tmp_path}:/v", IMAGE, "sh", "-c",
                      "umask 27; echo mine >/v/mine; cat /v/secret; echo $?")
    assert done.stdout == "1\n" and "Permission denied" in done.stderr
    stat = (tmp_path / "mine").stat()
    assert (stat.st_uid, stat.st_gid, stat.st_mode & 0o777) == (1234, 4321, 0o640)


def test_read_only(podman: Podman) -> None:
    script = "for p in / /etc /usr /bin; do touch $p/x 2>/dev/null && echo $p; done; " \
             "for p in /tmp /run /var/tmp /dev/shm; do touch $p/x || echo no $p; done; echo done"
    assert podman.run("--read-only", IMAGE, "sh", "-c", script).stdout == "done\n"
    done = podman.run("--read-only", "--read-only-tmpfs=false", IMAGE, "sh", "-c", "touch /tmp/x; echo $?")
    assert done.stdout == "1\n" and "Read-only file system" in done.stderr


def test_tmpfs(podman: Podman, name: str) -> None:
    done = podman.run("--tmpfs", "/t:rw,size=64k,mode=1770,noexec", "--tmpfs", "/etc", IMAGE, "sh", "-c",
                      "stat -c '%a' /t; dd if=/dev/zero of=/t/f bs=1k count=100 2>&1 | grep -c 'No space'; "
                      "stat -c %s /t/f; cd /t; echo 'echo hi' >s; chmod +x s; ./s; echo $?; "
                      "ls /etc/passwd; df -k /t | tail -1")
    lines = done.stdout.splitlines()
    assert lines[:4] == ["1770", "1", "65536", "126"], done.stdout + done.stderr
    assert "/etc/passwd" in lines and " 64 " in lines[-1]
    podman.ok("run", "--network=none", "--name", name, "--tmpfs", "/t", IMAGE, "touch", "/t/x")
    assert not [line for line in podman.ok("diff", name).splitlines() if line.endswith("/t/x")]


@pytest.mark.parametrize(("user", "expected"), [
    ("user", "1000 1000 1000"), ("1000", "1000 1000 1000"), ("user:0", "1000 0 0"), ("77:88", "77 88 88"),
    ("root", "0 0 0"), ("1000:1000", "1000 1000 1000")])
def test_user(podman: Podman, user: str, expected: str) -> None:
    assert podman.run("--user", user, IMAGE, "sh", "-c", "echo $(id -u) $(id -g) $(id -G)").stdout.strip() == expected


def test_user_and_groups(podman: Podman) -> None:
    done = podman.run("--user", "1000", "--group-add", "50", "--group-add", "60", IMAGE, "id", "-G")
    assert done.stdout.split() == ["1000", "50", "60"]
    assert podman.run("--user", "no-such-user", IMAGE, "true").returncode != 0
    assert podman.run("--user", "1000", IMAGE, "sh", "-c", EFFECTIVE).stdout == "0000000000000000\n"


@pytest.mark.parametrize(("options", "works"), [
    ((), True), (("--cap-drop=CHOWN",), False), (("--cap-drop=ALL",), False),
    (("--cap-drop=ALL", "--cap-add=CHOWN"), True), (("--security-opt=no-new-privileges",), True)])
def test_capabilities(podman: Podman, options: tuple[str, ...], works: bool) -> None:
    done = podman.run(*options, IMAGE, "sh", "-c", "touch /tmp/f && chown 5 /tmp/f; echo $?; " + EFFECTIVE)
    code, effective = done.stdout.split()
    assert (code == "0") == works and bool(int(effective, 16) & 1) == works


def test_added_capabilities(podman: Podman) -> None:
    """The container has the bit; what it would reach of the host stays out of reach."""
    usual = int(podman.run(IMAGE, "sh", "-c", EFFECTIVE).stdout, 16)
    more = int(podman.run("--cap-add=SYS_ADMIN,NET_ADMIN", IMAGE, "sh", "-c", EFFECTIVE).stdout, 16)
    assert more == usual | 1 << 21 | 1 << 12
    done = podman.run("--cap-add=SYS_ADMIN", "--hostname", "h", IMAGE, "sh", "-c",
                      "hostname other && hostname; mount -t tmpfs none /tmp && touch /tmp/x && ls /tmp")
    assert done.stdout.split() == ["other", "x"], done.stderr
    assert podman.run("--privileged", IMAGE, "sh", "-c", EFFECTIVE).stdout.strip() != f"{usual:016x}"


def test_environment_and_directory(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "env").write_text("C=from file\n#D=no\n")
    done = podman.run("--env", "A=1 2", "-e", "B", "--env-file", str(tmp_path / "env"), "-w", "/home", IMAGE,
                      "sh", "-c", "echo \"$A|$B|$C|$D|$PATH|$container|$HOME\"; pwd")
    assert done.stdout == "1 2||from file||/bin|podman|/\n/home\n"
    assert podman.run("--unsetenv", "PATH", "--user", "user", IMAGE, "/bin/sh", "-c", "echo $HOME").stdout == "/home\n"
    assert podman.run("-w", "/etc/passwd", IMAGE, "true").returncode == 126


def test_init_reaps_and_passes_signals_on(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--init", "--name", name, IMAGE, "sh", "-c",
              "trap 'echo got it; exit 5' TERM; (sh -c 'sleep 0.1 & exec true'); echo up; while :; do sleep 0.05; done")
    until("up", podman, "logs", name)
    assert podman.ok("exec", name, "cat", "/proc/1/comm") in ("catatonit", "podman-init")
    end = time.monotonic() + 10
    while "Z" in podman("exec", name, "sh", "-c", "cat /proc/[0-9]*/stat").stdout.split():
        assert time.monotonic() < end, "zombies stay"
        time.sleep(0.1)
    podman.ok("stop", "-t", "10", name)
    assert podman.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "5"
    assert "got it" in podman.ok("logs", name)


def test_stats(podman: Podman, name: str) -> None:
    podman.ok("run", "-d", "--network=none", "--memory=100m", "--name", name, IMAGE, "sh", "-c",
              "sleep 100 & echo up; while :; do :; done")
    until("up", podman, "logs", name)
    shown = json.loads(podman.ok("stats", "--no-stream", "--format=json", name))[0]
    assert shown["name"] == name and int(shown["pids"]) >= 2
    assert shown["mem_usage"].endswith("104.9MB") and shown["mem_usage"][0] != "0"
    time.sleep(0.5)
    again = json.loads(podman.ok("stats", "--no-stream", "--format=json", name))[0]
    assert again["cpu_time"] != shown["cpu_time"]


def test_limits_are_seen_inside(podman: Podman) -> None:
    done = podman.run("--memory=64m", "--pids-limit=50", IMAGE, "sh", "-c",
                      "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; "
                      "awk '/MemTotal/ { print $2 }' /proc/meminfo")
    assert done.stdout.split() == [str(64 << 20), "50", "65536"], done.stdout


def test_hostname_hosts_and_dns_files(podman: Podman) -> None:
    done = podman.run("--hostname", "given", "--add-host", "other:10.1.2.3", IMAGE, "sh", "-c",
                      "echo $(cat /etc/hostname); grep -c 10.1.2.3 /etc/hosts; hostname; "
                      "test -e /run/.containerenv && echo yes")
    assert done.stdout.split() == ["given", "1", "given", "yes"]


def test_sysctl_ulimit_and_shm(podman: Podman) -> None:
    done = podman.run("--sysctl", "kernel.msgmax=4242", "--ulimit", "nofile=100:200", "--ulimit", "nproc=500:500",
                      "--shm-size=1m", IMAGE, "sh", "-c",
                      "cat /proc/sys/kernel/msgmax; ulimit -Sn; ulimit -Hn; "
                      "df -k /dev/shm | tail -1 | grep -c ' 1024 '")
    assert done.stdout.split() == ["4242", "100", "200", "1"], done.stdout + done.stderr


def test_devices_are_the_sandboxs_own(podman: Podman) -> None:
    done = podman.run("--device", "/dev/zero:/dev/mine", IMAGE, "sh", "-c",
                      "head -c 4 /dev/mine | wc -c; test -c /dev/null && echo null; test -e /dev/kvm || echo no kvm")
    assert done.stdout.split() == ["4", "null", "no", "kvm"], done.stdout + done.stderr


def test_pids_of_the_host_cannot_be_shared(podman: Podman) -> None:
    """--pid=host gives a namespace of its own all the same: guests see only themselves."""
    done = podman.run("--pid=host", IMAGE, "sh", "-c", "ls /proc | grep '^[0-9]'")
    assert done.returncode == 0 and 1 <= len(done.stdout.split()) <= 4, done.stderr
    assert str(os.getpid()) not in done.stdout.split()
