"""The Debian packages that each goal needs, and why; apt-get(8), dpkg-query(1)."""

import os
import shutil
import subprocess
import time

from .progress import StepFailed, run, say

GOALS = ("run", "check", "test", "bench")

# package -> (goals, why); a goal of `run` is part of every other goal but `check`
NEEDED: dict[str, tuple[tuple[str, ...], str]] = {
    "python3-venv": (("run", "check"), "the project's own Python environment"),
    "python3-dev": (("run", "check"), "Python.h, to build the engine"),
    "gcc": (("run", "check"), "builds the engine, the loader and the stub"),
    "libc6-dev": (("run", "check"), "libc headers and libc.a for the static binaries"),
    "libseccomp2": (("run", "check"), "compiles the guests' system call filter"),
    "ca-certificates": (("run", "check"), "pip fetches over https"),
    "busybox-static": (("run",), "the demonstration image is made from it"),
    "podman": (("run",), "starts containers on runsc-py"),
    "conmon": (("run",), "podman's monitor of a container"),
    "crun": (("run",), "podman insists on one ordinary runtime; also a peer in tests and benchmarks"),
    "netavark": (("run",), "podman's networks"),
    "iptables": (("run",), "netavark calls it; without it every bridged container fails"),
    "nftables": (("run",), "netavark of Debian 13 calls it in place of iptables"),
    "iproute2": (("test",), "network interfaces of test containers"),
    "iperf3": (("test",), "throughput between a sandbox and the host's stack"),
    "curl": (("test",), "a client of http servers in tests of the network"),
    "iputils-ping": (("test",), "ping in both directions"),
    "netcat-openbsd": (("test",), "plain connections in tests of the network"),
    "traceroute": (("test",), "what routers on the way answer"),
    "procps": (("test",), "ps and kill, for tests of processes and of podman top"),
    "strace": (("test",), "a second opinion on what programs call"),
    "debootstrap": (("test", "bench"), "a Debian root file system for jobs and tests"),
    "sqlite3": (("test",), "one of the programs that are run on the host and in a sandbox"),
    "golang-go": (("test",), "a program with goroutines"),
    "make": (("test",), "`make -j2` inside a sandbox"),
    "git": (("test",), "git inside a sandbox"),
    "aardvark-dns": (("test",), "names of containers in podman's own networks"),
    "catatonit": (("test",), "podman run --init and pods"),
    "slirp4netns": (("test",), "podman's user-mode network"),
    "runc": (("bench",), "a peer in the start-up table"),
    "runsc": (("bench",), "the peer of every table"),
}

LOCK_WAIT_S = 900
APT = ["apt-get", "-y", "-q", "--no-install-recommends", "-o", f"DPkg::Lock::Timeout={LOCK_WAIT_S}"]


def wanted(goal: str) -> list[str]:
    """The packages of a goal, in the table's order."""
    goals = {goal} if goal == "check" else {goal, "run"}
    return [name for name, (of_goals, _) in NEEDED.items() if goals & set(of_goals)]


def missing(names: list[str]) -> list[str]:
    """Those of `names` that dpkg does not have installed."""
    show = "${db:Status-Status} ${Package}\\n"
    query = subprocess.run(["dpkg-query", "-W", "-f", show, *names], capture_output=True, text=True, check=False)
    have = {line.split()[1] for line in query.stdout.splitlines() if line.startswith("installed ")}
    return [name for name in names if name not in have]


def ensure(goal: str) -> None:
    """Install what the goal misses; where that cannot be done, say what to do instead."""
    names = wanted(goal)
    if shutil.which("dpkg-query") is None:
        say(f"this is not Debian: make sure yourself that there is {', '.join(names)}")
        return
    absent = missing(names)
    if not absent:
        return
    say(f"{len(absent)} Debian packages are missing for `{goal}`:")
    for name in absent:
        print(f"     {name:<16} {NEEDED[name][1]}", flush=True)
    command = [*APT, "install", *absent]
    if os.geteuid() != 0:
        raise StepFailed(f"not root; run this first:\n     sudo apt-get install {' '.join(absent)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    if not _all_known(absent):
        _update(env)
    say(f"apt-get install {' '.join(absent)}")
    try:
        run(command, env=env, show=_is_telling)
    except StepFailed as first:
        say("the package lists may be old: apt-get update, then once more")
        _update(env)
        try:
            run(command, env=env, show=_is_telling)
        except StepFailed:
            raise first
    still = missing(absent)
    if still:
        raise StepFailed(f"apt-get ended well but these are not installed: {' '.join(still)}")


def _all_known(names: list[str]) -> bool:
    """Whether apt's lists have a version of each; a fresh container image has no lists at all."""
    policy = subprocess.run(["apt-cache", "policy", *names], capture_output=True, text=True, check=False).stdout
    return policy.count("Candidate:") - policy.count("Candidate: (none)") >= len(names)


def _update(env: dict[str, str]) -> None:
    """apt-get update; a third-party source that is down is no reason to stop, a lock is a reason to wait."""
    deadline_s = time.monotonic() + LOCK_WAIT_S
    say("apt-get update")
    while True:
        try:
            run(["apt-get", "-q", "update"], env=env)
            return
        except StepFailed as error:
            if "/lists/lock" in str(error) and time.monotonic() < deadline_s:
                say("another apt-get holds the lists; waiting")
                time.sleep(5)
                continue
            say(f"apt-get update had errors, going on with the lists there are\n{error}")
            return


def _is_telling(line: str) -> bool:
    """What is worth a line: sizes, waits for the lock, and those of our own packages that are done."""
    words = line.split()
    if words[:2] == ["Setting", "up"]:
        return words[2] in NEEDED
    return line.startswith(("Fetched ", "Need to get ", "Waiting for "))
