"""Ordinary programs between a sandbox and the host's stack, as clients and as servers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from tests.net.conftest import Net
from tests.net.namespaces import FAR, FAR6, NEAR
from tests.net.sides import Side

DIRECTIONS = pytest.mark.parametrize("out", [True, False], ids=["out", "in"])
HTTP = "python3 -m http.server --bind %s --directory /mnt/files 8000 & sleep 1; echo running; wait"
SSHD_OPTIONS = [
    "-D", "-e", "-f", "/dev/null", "-p", "2222", "-h", "/mnt/host_key", "-o", "StrictModes=no",
    "-o", "AuthorizedKeysFile=/mnt/user_key.pub", "-o", "PidFile=none", "-o", "UsePAM=no",
    "-o", "PermitRootLogin=yes", "-o", "Subsystem=sftp internal-sftp",
]  # fmt: skip
SSH_OPTIONS = ["-i", "/mnt/user_key", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/tmp/known",
               "-o", "BatchMode=yes"]  # fmt: skip


def sides(net: Net, out: bool) -> tuple[Side, Side, str]:
    """Client, server, and the server's address."""
    return (net.near, net.far, FAR) if out else (net.far, net.near, NEAR)


def some_file(side: Side, size: int) -> str:
    """A file for a web server to give; its sum."""
    (side.work / "files").mkdir(exist_ok=True)
    content = random.Random(9).randbytes(size)
    (side.work / "files" / "data").write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@DIRECTIONS
def test_http(net: Net, out: bool, full: bool) -> None:
    net.need("curl", "python3")
    client, server, address = sides(net, out)
    digest = some_file(server, 100_000_000 if full else 5_000_000)
    server.begin("sh", "-c", HTTP % address).until("running\n")
    done = client.run(
        "sh", "-c", f"curl -s -S http://{address}:8000/data | sha256sum; curl -s http://{address}:8000/none"
    )
    assert digest in done.output and "404" in done.output, done.output


@DIRECTIONS
def test_netcat(net: Net, out: bool) -> None:
    net.need("nc")
    client, server, address = sides(net, out)
    listening = server.begin(
        "sh", "-c", f"(sleep 1; echo running >&2) & nc -l -N {address} 7000 </etc/passwd | sha256sum"
    )
    listening.until("running\n")
    done = client.run("sh", "-c", f"nc -N {address} 7000 </etc/passwd | sha256sum")
    digest = hashlib.sha256((net.root / "etc/passwd").read_bytes()).hexdigest()
    assert digest in done.output and digest in listening.wait(10).output


@DIRECTIONS
@pytest.mark.parametrize(
    "options", [(), ("-R",), ("-P", "4"), ("-u", "-b", "20M")], ids=["tcp", "reverse", "four", "udp"]
)
def test_iperf3(net: Net, out: bool, options: tuple[str, ...], full: bool) -> None:
    net.need("iperf3")
    client, server, address = sides(net, out)
    server.begin("iperf3", "-s", "-1", "-B", address, "--forceflush").until("listening")
    done = client.run("iperf3", "-c", address, "-J", "-t", "5" if full else "1", *options)
    assert done.status == 0, done.output
    told = json.loads(done.output)["end"]
    if "-u" in options:
        assert told["sum"]["bytes"] > 1_500_000 and told["sum"]["lost_percent"] < 20, told["sum"]
    else:
        assert told["sum_received"]["bytes"] > 1_000_000, told["sum_received"]
        print(f"{told['sum_received']['bits_per_second'] / 1e9:.2f} Gbit/s")


def test_git_clone(net: Net, tmp_path: Path) -> None:
    """From a bare repository that a plain web server offers (the "dumb" protocol)."""
    net.need("git", "python3")
    files = net.far.work / "files"
    made = files / "made"
    made.mkdir(parents=True)
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}

    def git(*argv: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        done = subprocess.run(["git", *who, *argv], cwd=made, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    for number in range(30):
        (made / f"file{number}").write_bytes(random.Random(number).randbytes(20_000))
    git("add", ".")
    git("commit", "-q", "-m", "all of it")
    git("clone", "-q", "--bare", ".", str(files / "it.git"))
    subprocess.run(["git", "update-server-info"], cwd=files / "it.git", check=True)
    net.far.begin("sh", "-c", HTTP % FAR6).until("running\n")
    cloned = f"git clone -q http://[{FAR6}]:8000/it.git /tmp/it && cd /tmp/it"
    checked = "git fsck --no-progress --no-dangling && git rev-parse HEAD && git status --short"
    done = net.near.run("sh", "-c", f"{cloned} && {checked}")
    assert done.output == f"{git('rev-parse', 'HEAD')}\n", done.output


@DIRECTIONS
def test_redis(net: Net, out: bool, full: bool) -> None:
    net.need("redis-server", "redis-benchmark")
    client, server, address = sides(net, out)
    server.begin("redis-server", "--bind", address, "--protected-mode", "no", "--save", "", "--dir", "/tmp").until(
        "Ready to"
    )
    count = "20000" if full else "2000"
    done = client.run("redis-benchmark", "-h", address, "-q", "-n", count, "-c", "50", "-t", "ping,set,get,lrange_100",
                      timeout_s=200)  # fmt: skip
    assert done.status == 0 and done.output.count("requests per second") >= 5, done.output


@DIRECTIONS
def test_nginx_and_wrk(net: Net, out: bool) -> None:
    net.need("nginx", "wrk")
    client, server, address = sides(net, out)
    some_file(server, 20_000)
    (server.work / "nginx.conf").write_text(
        "daemon off; pid /tmp/nginx.pid; error_log stderr; user root;\n"
        "events { worker_connections 1000; }\n"
        "http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;\n"
        "uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; sendfile on; tcp_nopush on;\n"
        "server { listen 80; root /mnt/files; } }\n"
    )
    server.begin("sh", "-c", "nginx -c /mnt/nginx.conf & sleep 1; echo running; wait").until("running\n")
    done = client.run("wrk", "-t", "2", "-c", "50", "-d", "3", f"http://{address}:80/data")
    assert "Requests/sec" in done.output and "Socket errors" not in done.output, done.output
    assert "Non-2xx" not in done.output, done.output
    print(done.output)


@DIRECTIONS
def test_ssh(net: Net, out: bool, full: bool) -> None:
    net.need("sshd", "ssh", "scp", "ssh-keygen")
    client, server, address = sides(net, out)
    for side in (client, server):
        for key in ("host_key", "user_key"):
            if side is client:
                subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", side.work / key], check=True)
            else:
                for name in (key, f"{key}.pub"):
                    (side.work / name).write_bytes((client.work / name).read_bytes())
                    (side.work / name).chmod(0o600)
    digest = some_file(client, 30_000_000 if full else 2_000_000)
    start = "mkdir -p /run/sshd; /usr/sbin/sshd " + " ".join(f"'{option}'" for option in SSHD_OPTIONS)
    server.begin("sh", "-c", start).until("listening")
    ssh = " ".join(f"'{option}'" for option in SSH_OPTIONS)
    done = client.run(
        "sh", "-c", f"ssh {ssh} -p 2222 root@{address} 'echo over there; cat | sha256sum' </mnt/files/data"
    )
    assert "over there" in done.output and digest in done.output, done.output
    there = f"root@{address}:/tmp/copy"
    copies = f"scp {ssh} -q -P 2222 /mnt/files/data {there} && scp {ssh} -q -P 2222 {there} /tmp/back"
    done = client.run("sh", "-c", f"{copies} && sha256sum /tmp/back")
    assert digest in done.output, done.output


def test_apt(net: Net, full: bool) -> None:
    """Package lists and a package from a mirror in the other namespace."""
    if not full:
        pytest.skip("in the root that --full has")
    net.need("apt-get", "dpkg-deb")
    package = net.far.work / "files" / "it"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN" / "control").write_text(
        "Package: it\nVersion: 1\nArchitecture: all\nMaintainer: n <e@example.org>\nDescription: a test\n"
    )
    deb = package.with_suffix(".deb")
    subprocess.run(["dpkg-deb", "-b", package, deb], check=True, capture_output=True)
    content = deb.read_bytes()
    (package.parent / "Packages").write_text(
        f"Package: it\nVersion: 1\nArchitecture: all\nMaintainer: n <e@example.org>\nDescription: a test\n"
        f"Filename: ./it.deb\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    )
    net.far.begin("sh", "-c", HTTP % FAR).until("running\n")
    script = (
        "mkdir -p /tmp/s/partial /tmp/l/partial /tmp/c/archives/partial; cd /tmp; "
        f"echo 'deb [trusted=yes] http://{FAR}:8000 ./' >list; "
        "o='-o Dir::Etc::SourceList=/tmp/list -o Dir::Etc::SourceParts=/none -o Dir::State::Lists=/tmp/l "
        "-o Dir::Cache=/tmp/c -o APT::Sandbox::User=root'; "
        "apt-get $o update && apt-get $o download it && dpkg-deb -f it_1_all.deb Package"
    )
    done = net.near.run("sh", "-c", script)
    assert done.status == 0 and done.output.endswith("it\n"), done.output
