"""podman-run(1) --network, podman-network(1): bridges, published ports, names, slirp4netns(1), builds with a network.

What answers is the sandbox's own stack: the host's addresses in the container's namespace are gone while it runs.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.podman.conftest import IMAGE, Podman
from tests.podman.test_podman_build import build

pytestmark = pytest.mark.timeout(240)
OF_THE_HOST = [f"-v={path}:{path}:ro" for path in ("/usr", "/lib", "/lib64") if Path(path).exists()]
HTTPD = "mkdir -p /www && hostname >/www/index.html && exec busybox httpd -f -v -p 80 -h /www"
PINGS = "--cap-add=NET_RAW"  # for busybox, of which some know no other socket than a raw one


@pytest.fixture(scope="module", autouse=True)
def _needs(podman: Podman) -> None:
    if not any(Path(where, "netavark").exists() for where in ("/usr/lib/podman", "/usr/libexec/podman")):
        pytest.skip("not installed: netavark")
    if not shutil.which("iptables") and not shutil.which("nft"):
        pytest.skip("not installed: iptables")


@pytest.fixture
def net(podman: Podman) -> Iterator[str]:
    """A network of its own, with names."""
    own = f"n{os.getpid()}"
    podman.ok("network", "create", own)
    yield own
    podman("network", "rm", "--force", "--time=0", own)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def address(podman: Podman, name: str) -> str:
    found = json.loads(podman.ok("inspect", name))[0]["NetworkSettings"]
    return str(found["IPAddress"] or next(iter(found["Networks"].values()))["IPAddress"])


def fetch(url: str, patience_s: float = 20) -> str:
    end = time.monotonic() + patience_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def test_the_interface(podman: Podman) -> None:
    """What the engine has set up is what the container sees: address, default route, a resolver's file."""
    done = podman("run", "--rm", IMAGE, "busybox", "ip", "-4", "addr", "show", "eth0")
    assert " inet 10." in f" {done.stdout}", done
    done = podman("run", "--rm", IMAGE, "busybox", "ip", "route")
    assert done.stdout.startswith("default via 10."), done
    done = podman("run", "--rm", PINGS, IMAGE, "busybox", "ping", "-c", "2", "-W", "5", gateway(podman))
    assert "2 packets received" in done.stdout, done


def gateway(podman: Podman) -> str:
    return str(json.loads(podman.ok("network", "inspect", "podman"))[0]["subnets"][0]["gateway"])


def test_published_port(podman: Podman, name: str) -> None:
    port = free_port()
    podman.ok("run", "-d", "--name", name, "--hostname", "serving", "-p", f"127.0.0.1:{port}:80", IMAGE,
              "sh", "-c", HTTPD)
    assert fetch(f"http://127.0.0.1:{port}/") == "serving\n"
    assert fetch(f"http://{address(podman, name)}/") == "serving\n"
    assert podman.ok("exec", name, "busybox", "wget", "-qO-", "http://127.0.0.1/") == "serving"
    assert podman.ok("exec", name, "busybox", "wget", "-qO-", f"http://{address(podman, name)}/") == "serving"


def test_python_serves_and_fetches(podman: Podman, name: str, tmp_path: Path) -> None:
    """Some megabytes in both directions."""
    (tmp_path / "data").write_bytes(data := os.urandom(8 << 20))
    podman.ok("run", "-d", "--name", name, "-v", f"{tmp_path}:/d:ro", *OF_THE_HOST, IMAGE,
              "/usr/bin/python3", "-m", "http.server", "-d", "/d", "80")
    fetch(f"http://{address(podman, name)}/")
    with urllib.request.urlopen(f"http://{address(podman, name)}/data", timeout=60) as answer:
        assert answer.read() == data
    program = ("import urllib.request, hashlib, sys; "
               "print(hashlib.sha256(urllib.request.urlopen(sys.argv[1]).read()).hexdigest())")
    done = podman("run", "--rm", *OF_THE_HOST, IMAGE, "/usr/bin/python3", "-c", program,
                  f"http://{address(podman, name)}/data")
    expected = subprocess.run(["sha256sum", str(tmp_path / "data")], capture_output=True, text=True, check=True).stdout
    assert done.stdout.strip() == expected.split()[0], done


def test_names_in_a_network(podman: Podman, name: str, net: str) -> None:
    """aardvark-dns answers the resolvers of busybox and of the GNU C library; the name leads to the other one."""
    podman.ok("run", "-d", "--name", name, "--hostname", "serving", "--network", net, "--network-alias", "web", IMAGE,
              "sh", "-c", HTTPD)
    there = address(podman, name)
    fetch(f"http://{there}/")
    done = podman("run", "--rm", "--network", net, IMAGE, "busybox", "nslookup", name)
    assert there in done.stdout, done
    done = podman("run", "--rm", "--network", net, *OF_THE_HOST, IMAGE, "/usr/bin/getent", "hosts", "web")
    assert done.stdout.split()[:1] == [there], done
    done = podman("run", "--rm", "--network", net, IMAGE, "busybox", "wget", "-qO-", f"http://{name}/")
    assert done.stdout == "serving\n", done


def test_none_is_the_loopback_alone(podman: Podman) -> None:
    done = podman("run", "--rm", "--network=none", PINGS, IMAGE, "sh", "-c",
                  "busybox ip -o link | wc -l; busybox ping -c1 -W2 127.0.0.1 | grep -c ttl; "
                  "busybox wget -qO- http://10.88.0.1/; echo $?")
    assert done.stdout.split() == ["1", "1", "1"] and "unreachable" in done.stderr, done


def test_restart(podman: Podman, name: str) -> None:
    """The namespace stays; its addresses are there again for the next start."""
    podman.ok("run", "-d", "--name", name, "--hostname", "serving", IMAGE, "sh", "-c", HTTPD)
    assert fetch(f"http://{address(podman, name)}/") == "serving\n"
    podman.ok("restart", "-t", "0", name)
    assert fetch(f"http://{address(podman, name)}/") == "serving\n"
    podman.ok("stop", "-t", "0", name)
    podman.ok("start", name)
    assert fetch(f"http://{address(podman, name)}/") == "serving\n"


def test_nothing_remains(podman: Podman, name: str) -> None:
    before = [namespaces(), links()]
    podman.ok("run", "-d", "--name", name, IMAGE, "sleep", "100")
    assert links() != before[1]
    podman.ok("rm", "-f", "-t", "0", name)
    end = time.monotonic() + 10
    while [namespaces(), links()] != before:
        assert time.monotonic() < end, (before, namespaces(), links())
        time.sleep(0.1)


def namespaces() -> set[str]:
    """Those that podman makes."""
    return {path.name for path in Path("/run/netns").glob("netns-*")}


def links() -> set[str]:
    """Network devices of the host but for bridges, which networks keep."""
    return {name for name in os.listdir("/sys/class/net") if not name.startswith(("podman", "cni"))}


def test_pod(podman: Podman, name: str) -> None:
    """Its containers share address and ports, each with a stack of its own: each answers for what it listens on, and
    gets the answers to what it has asked. The infra container, which takes the addresses first, keeps silent."""
    port, other = free_port(), free_port()
    podman.ok("pod", "create", "--name", name, "-p", f"127.0.0.1:{port}:80", "-p", f"127.0.0.1:{other}:81")
    try:
        podman.ok("run", "-d", "--pod", name, IMAGE, "sh", "-c", HTTPD.replace("hostname", "echo first"))
        podman.ok("run", "-d", "--pod", name, "--name", f"{name}-second", IMAGE, "sh", "-c",
                  HTTPD.replace("hostname", "echo second").replace("-p 80", "-p 81"))
        for patience_s in (20, 0, 0, 0, 0, 0):
            assert fetch(f"http://127.0.0.1:{port}/", patience_s) == "first\n"
            assert fetch(f"http://127.0.0.1:{other}/", patience_s) == "second\n"
        ping = ("busybox", "ping", "-c", "2", "-W", "5", gateway(podman))
        done = podman("run", "--rm", PINGS, "--pod", name, IMAGE, *ping)
        assert "2 packets received" in done.stdout or "2 duplicates" in done.stdout, done
        podman.ok("rm", "-f", "-t", "0", f"{name}-second")
        assert fetch(f"http://127.0.0.1:{port}/") == "first\n"
    finally:
        podman("pod", "rm", "--force", "--time=0", name)


def test_slirp4netns(podman: Podman, name: str) -> None:
    """Its ports by its own handler: podman's other one connects from a process in the namespace, whose host stack has
    no address any more."""
    if not shutil.which("slirp4netns"):
        pytest.skip("not installed: slirp4netns")
    port = free_port()
    podman.ok("run", "-d", "--name", name, "--hostname", "serving", "-p", f"127.0.0.1:{port}:80",
              "--network", "slirp4netns:port_handler=slirp4netns", IMAGE, "sh", "-c", HTTPD)
    assert fetch(f"http://127.0.0.1:{port}/") == "serving\n"
    assert "10.0.2." in podman.ok("exec", name, "busybox", "ip", "-4", "addr", "show", "tap0")


def test_build_with_a_network(podman: Podman, name: str, tmp_path: Path) -> None:
    """Such a namespace has no path, and is furnished only between create and start."""
    podman.ok("run", "-d", "--name", name, "--hostname", "serving", IMAGE, "sh", "-c", HTTPD)
    there = address(podman, name)
    fetch(f"http://{there}/")
    text = f"FROM {IMAGE}\nRUN busybox ip -4 addr show && busybox wget -qO /got http://{there}/ && cat /got\n"
    code, shown, errors = build(podman, tmp_path, text, "--no-cache", "--network=podman")
    assert code == 0 and "\nserving\n" in shown, (shown, errors)


def test_no_service_of_the_host(podman: Podman) -> None:
    """Neither its loopback nor its abstract unix names are the container's."""
    name = f"runsc-py-{os.getpid()}"
    program = ("import socket, sys\n"
               "for to in ('127.0.0.1', int(sys.argv[1])), '\\0' + sys.argv[2]:\n"
               "    kind = socket.AF_UNIX if isinstance(to, str) else socket.AF_INET\n"
               "    try: socket.socket(kind).connect(to); print('reached')\n"
               "    except OSError as err: print(err.strerror)\n")
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        unix.bind("\0" + name)
        unix.listen()
        done = podman("run", "--rm", *OF_THE_HOST, IMAGE, "/usr/bin/python3", "-c", program,
                      str(tcp.getsockname()[1]), name)
    assert done.stdout.splitlines() == ["Connection refused"] * 2, done
