"""The container's network namespace, and what becomes of it: interfaces move inside at `start`, back at `delete`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import runtime
from tests.net.namespaces import DEVICE, FAR, FAR6, NEAR, NEAR6, Wire, ip
from tests.oci.container import CAPS, Container
from tests.oci.test_death import split

pytestmark = pytest.mark.timeout(120)
Make = Callable[..., Container]
Change = Callable[[dict[str, Any]], None]
OF_THE_HOST = [path for path in ("/usr", "/lib", "/lib64") if Path(path).exists()]
UP = "echo up; exec sleep 100"


@pytest.fixture
def wire() -> Iterator[Wire]:
    if shutil.which("ip") is None:
        pytest.skip("not installed: iproute2")
    made = Wire()
    yield made
    made.close()


def in_namespace(path: str | None, caps: list[str] | None = None, python: bool = False) -> Change:
    """`path` for the network namespace; `python` shows the host's programs, read-only."""

    def change(settings: dict[str, Any]) -> None:
        for namespace in settings["linux"]["namespaces"]:
            if namespace["type"] == "network" and path is not None:
                namespace["path"] = path
        if caps is not None:
            settings["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)
        if python:
            settings["mounts"] += [{"destination": at, "type": "bind", "source": at, "options": ["rbind", "ro"]}
                                   for at in OF_THE_HOST]  # fmt: skip

    return change


def near(wire: Wire) -> str:
    return f"/run/netns/{wire.near}"


def pings(namespace: str, to: str) -> bool:
    """One answer is enough."""
    command = ["ip", "netns", "exec", namespace, "busybox", "ping", "-c", "2", "-W", "1", to]
    return " bytes from " in subprocess.run(command, capture_output=True, text=True, check=False).stdout


def addresses(namespace: str) -> set[str]:
    """Of the interface, on the host; without the link-local one, which comes and goes by itself."""
    lines = ip("-n", namespace, "-o", "addr", "show", DEVICE).splitlines()
    return {line.split()[3] for line in lines if "fe80" not in line}


def routes(namespace: str) -> list[str]:
    text = ip("-n", namespace, "route") + ip("-n", namespace, "-6", "route")
    return sorted(line.strip() for line in text.splitlines() if "fe80" not in line)


def test_moved_in_and_back(make: Make, wire: Wire) -> None:
    """While the container runs the host has no address there: what answers is the sandbox. It was read at `start`."""
    c = make(UP, in_namespace(near(wire)))
    assert c.create().returncode == 0, c.text()
    ip("-n", wire.near, "addr", "add", "10.77.0.3/24", "dev", DEVICE)
    ip("-n", wire.near, "route", "add", "10.79.0.0/16", "via", FAR, "metric", "5")
    before = addresses(wire.near), routes(wire.near)
    assert len(before[0]) == 3
    c.start()
    c.until("up")
    assert addresses(wire.near) == set() and routes(wire.near) == []
    for address in (NEAR, "10.77.0.3", NEAR6):
        assert pings(wire.far, address)
    assert not pings(wire.far, "10.77.0.4")
    os.kill(c.pid(), signal.SIGKILL)
    c.wait()
    assert addresses(wire.near) == set() and not pings(wire.far, NEAR)
    assert c.call("delete", c.name).returncode == 0
    assert (addresses(wire.near), routes(wire.near)) == before
    assert pings(wire.far, NEAR)


def test_back_after_a_sandbox_that_was_killed(make: Make, wire: Wire) -> None:
    before = addresses(wire.near), routes(wire.near)
    c = make(UP, in_namespace(near(wire)))
    c.up()
    c.until("up")
    os.kill(split(c)[0], signal.SIGKILL)
    c.wait()
    assert c.call("delete", "--force", c.name).returncode == 0
    assert (addresses(wire.near), routes(wire.near)) == before


def test_one_after_the_other(make: Make, wire: Wire) -> None:
    for _ in range(3):
        c = make(UP, in_namespace(near(wire)))
        c.up()
        c.until("up")
        assert pings(wire.far, NEAR)
        assert c.call("delete", "--force", c.name).returncode == 0
        c.wait()


def test_none(make: Make, wire: Wire) -> None:
    """--network=none: the namespace stays as it is."""
    before = addresses(wire.near)
    c = make(UP, in_namespace(near(wire)))
    assert c.create(flags=["--network=none"]).returncode == 0, c.text()
    c.start()
    c.until("up")
    assert addresses(wire.near) == before


def test_host_is_refused(make: Make, wire: Wire) -> None:
    c = make(UP, in_namespace(near(wire)))
    done = c.create(flags=["--network=host"])
    assert done.returncode == 1 and c.text().count("\n") == 1 and "--network=host" in c.text()


def test_our_own_namespace_is_not_touched(make: Make, wire: Wire) -> None:
    """A container that shares the namespace of the runtime, as with `podman run --network=host`, has the loopback."""
    before = addresses(wire.near)
    c = make(UP, in_namespace("/proc/self/ns/net"))
    enter = ["ip", "netns", "exec", wire.near, *runtime(), f"--root={c.state_root}"]
    create = [*enter, "create", "--bundle", str(c.bundle), "--pid-file", str(c.pid_file), c.name]
    with c.output.open("ab") as out:
        assert subprocess.run(create, stdin=subprocess.DEVNULL, stdout=out, check=False).returncode == 0
    assert subprocess.run([*enter, "start", c.name], check=False).returncode == 0
    c.until("up")
    assert addresses(wire.near) == before and pings(wire.far, NEAR)


def test_what_goes_by_is_written_down(make: Make, wire: Wire) -> None:
    """--pcap-log: pcap-savefile(5), whole records."""
    c = make(UP, in_namespace(near(wire)))
    log = c.bundle / "log.pcap"
    assert c.create(flags=[f"--pcap-log={log}"]).returncode == 0, c.text()
    c.start()
    c.until("up")
    assert pings(wire.far, NEAR)
    text = log.read_bytes()
    assert text[:4] == b"\x4d\x3c\xb2\xa1"
    kinds, at = set(), 24
    while at < len(text):
        size = int.from_bytes(text[at + 8 : at + 12], "little")
        frame = text[at + 16 : at + 16 + size]
        assert len(frame) == size
        if frame[12:14] == b"\x08\0" and frame[23] == 1:
            kinds.add(frame[34])  # echo request and reply
        at += 16 + size
    assert {0, 8} <= kinds


def test_idle_costs_nothing(make: Make, wire: Wire) -> None:
    c = make(UP, in_namespace(near(wire)))
    c.up()
    c.until("up")
    assert pings(wire.far, NEAR)
    sentry = split(c)[0]

    def ticks() -> int:
        fields = Path(f"/proc/{sentry}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    time.sleep(3)  # the first reports of multicast groups
    before = ticks()
    time.sleep(3)
    assert ticks() - before <= 3


FORGE = """
import errno, socket, struct, sys
def attempt(what, call):
    try:
        call()
    except OSError as err:
        print(what, errno.errorcode[err.errno])
    else:
        print(what, "done")
far, far6, forged, forged6 = sys.argv[1:]
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW))
attempt("raw6", lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_UDP))
attempt("packet", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x300))
attempt("cooked", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0x300))
attempt("tun", lambda: __import__("fcntl").ioctl(open("/dev/net/tun", "r+b", 0), 0x400454CA,
                                                 struct.pack("16sH22x", b"tap9", 0x1002)))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
t = socket.socket()
attempt("bind", lambda: u.bind((forged, 5000)))
attempt("bind6", lambda: u6.bind((forged6, 5000)))
attempt("bind tcp", lambda: t.bind((forged, 5000)))
attempt("transparent", lambda: u.setsockopt(socket.IPPROTO_IP, 19, 1))
pktinfo = struct.pack("i4s4s", 0, socket.inet_aton(forged), bytes(4))
attempt("pktinfo", lambda: u.sendmsg([b"x"], [(socket.IPPROTO_IP, 8, pktinfo)], 0, (far, 5000)))
pktinfo6 = socket.inet_pton(socket.AF_INET6, forged6) + bytes(4)
attempt("pktinfo6", lambda: u6.sendmsg([b"x"], [(socket.IPPROTO_IPV6, 50, pktinfo6)], 0, (far6, 5000)))
def freebind():
    f = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    f.setsockopt(socket.IPPROTO_IP, 15, 1)
    f.bind((forged, 5001))
    f.sendto(b"x", (far, 5000))
attempt("freebind", freebind)
def freebind_tcp():
    f = socket.socket()
    f.setsockopt(socket.IPPROTO_IP, 15, 1)
    f.bind((forged, 5001))
    f.settimeout(1)
    f.connect((far, 5000))
attempt("freebind tcp", freebind_tcp)
attempt("honest", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"honest", (far, 5000)))
print("over")
"""


def sources_of(listener: socket.socket) -> tuple[set[bytes], bool]:
    """IP source addresses of what has arrived, and whether the honest datagram was among it."""
    found: set[bytes] = set()
    honest = False
    while True:
        try:
            frame, address = listener.recvfrom(65536)
        except BlockingIOError:
            return found, honest
        if address[2] == socket.PACKET_OUTGOING:
            continue
        if frame[12:14] == b"\x08\0":
            found.add(frame[26:30])
        elif frame[12:14] == b"\x86\xdd":
            found.add(frame[22:38])
        honest = honest or b"honest" in frame


def listen_in(namespace: str) -> socket.socket:
    """A packet socket that hears all that comes to a namespace's interface."""
    from runsc_py.host.linux import LinuxHost
    from runsc_py.host.network import open_namespace
    from runsc_py.sandbox.network import Inside

    with Inside(LinuxHost(), open_namespace(f"/run/netns/{namespace}")):
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3))


def test_no_source_can_be_forged(make: Make, wire: Wire) -> None:
    """Without CAP_NET_RAW and CAP_NET_ADMIN nothing leaves but with the container's own addresses; errors as Linux
    has them."""
    caps = [cap for cap in CAPS if cap not in ("CAP_NET_RAW", "CAP_NET_ADMIN")]
    script = ["/usr/bin/python3", "-c", FORGE, FAR, FAR6, "10.77.0.66", "fd77::66"]
    basis = in_namespace(near(wire), caps, python=True)

    def change(settings: dict[str, Any]) -> None:
        basis(settings)
        tun = {"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666}
        settings["linux"].setdefault("devices", []).append(tun)

    with listen_in(wire.far) as heard:
        c = make(script, change)
        c.up()
        assert c.wait() == 0, c.text()
        found, honest = sources_of(heard)
    # newer kernels say ENETUNREACH of a source that is not theirs, as they do where there is no route at all
    assert c.text().replace("ENETUNREACH", "EINVAL").splitlines() == [
        "raw EPERM", "raw6 EPERM", "packet EPERM", "cooked EPERM", "tun EPERM", "bind EADDRNOTAVAIL",
        "bind6 EADDRNOTAVAIL", "bind tcp EADDRNOTAVAIL", "transparent EPERM", "pktinfo EINVAL", "pktinfo6 EINVAL",
        "freebind EINVAL", "freebind tcp EINVAL", "honest done", "over"]  # fmt: skip
    own = {bytes(4), bytes(16), socket.inet_aton(NEAR), socket.inet_pton(socket.AF_INET6, NEAR6)}
    assert honest and all(source in own or source[:2] == b"\xfe\x80" for source in found), found


def test_several_interfaces(make: Make, wire: Wire) -> None:
    """All that are up; one that is down stays outside."""
    ip("-n", wire.near, "link", "add", "second", "type", "veth", "peer", "name", "third")
    ip("-n", wire.near, "link", "set", "second", "up")
    ip("-n", wire.near, "addr", "add", "10.80.0.1/24", "dev", "second")
    c = make("cat /proc/net/dev; echo up; exec sleep 100", in_namespace(near(wire)))
    c.up()
    c.until("up")
    shown = [line.partition(":")[0].strip() for line in c.text().splitlines()[2:] if ":" in line]
    assert shown == ["lo", "second", DEVICE] or shown == ["lo", DEVICE, "second"]
