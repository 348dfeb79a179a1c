"""Two network namespaces with a wire between them (ip-netns(8), veth(4)): "near", where the program under test runs,
and "far", where its peer runs on the host's own stack. The wire is a veth pair, or a relay that spoils it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

DEVICE = "eth0"
NEAR, FAR = "10.77.0.2", "10.77.0.1"
NEAR6, FAR6 = "fd77::2", "fd77::1"
BEYOND, BEYOND6 = "10.78.0.2", "fd78::2"
COUNT = itertools.count()


def ip(*argv: str) -> str:
    """ip(8); what it says when it fails is the error."""
    done = subprocess.run(["ip", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(argv)}: {done.stderr}"
    return done.stdout


def set_sysctls(namespace: str, **values: str) -> None:
    """By names with dots for underscores' sake: net_ipv4_ip_forward is written net__ipv4__ip_forward."""
    script = "".join(f"echo {value} >/proc/sys/{name.replace('__', '/')};" for name, value in values.items())
    subprocess.run(["ip", "netns", "exec", namespace, "sh", "-c", script], check=True)


class Wire:
    """The namespaces and what connects them; `faults` are options of tests.net.relay. `close` removes all of it."""

    def __init__(self, *faults: str, mtu: int = 1500) -> None:
        stem = f"rpy{os.getpid()}-{next(COUNT)}"
        self.near, self.far, self.beyond = f"{stem}n", f"{stem}f", f"{stem}b"
        self.relay: subprocess.Popen[str] | None = None
        for namespace in (self.near, self.far):
            _namespace(namespace)
        if faults:
            self._through_relay(faults)
        else:
            ip("link", "add", DEVICE, "netns", self.near, "type", "veth", "peer", "name", DEVICE, "netns", self.far)
        for namespace, local, local6 in ((self.near, NEAR, NEAR6), (self.far, FAR, FAR6)):
            ip("-n", namespace, "link", "set", DEVICE, "mtu", str(mtu), "up")
            ip("-n", namespace, "addr", "add", f"{local}/24", "dev", DEVICE)
            ip("-n", namespace, "addr", "add", f"{local6}/64", "dev", DEVICE, "nodad")
        ip("-n", self.near, "route", "add", "default", "via", FAR)
        ip("-n", self.far, "route", "add", "broadcast", "255.255.255.255", "dev", DEVICE)
        ip("-n", self.near, "-6", "route", "add", "default", "via", FAR6)

    def _through_relay(self, faults: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", "tests.net.relay", self.near, self.far, f"--device={DEVICE}", *faults]
        self.relay = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
        assert self.relay.stdout is not None
        assert self.relay.stdout.readline() == "ready\n", "the relay did not start"

    def add_beyond(self, mtu: int = 1500) -> None:
        """A third namespace behind "far", which forwards: two hops from "near"."""
        _namespace(self.beyond)
        set_sysctls(self.far, net__ipv4__ip_forward="1", net__ipv6__conf__all__forwarding="1")
        ip("link", "add", "eth1", "netns", self.far, "type", "veth", "peer", "name", DEVICE, "netns", self.beyond)
        for namespace, device, last in ((self.far, "eth1", 1), (self.beyond, DEVICE, 2)):
            ip("-n", namespace, "link", "set", device, "mtu", str(mtu), "up")
            ip("-n", namespace, "addr", "add", f"10.78.0.{last}/24", "dev", device)
            ip("-n", namespace, "addr", "add", f"fd78::{last}/64", "dev", device, "nodad")
        ip("-n", self.beyond, "route", "add", "default", "via", "10.78.0.1")
        ip("-n", self.beyond, "-6", "route", "add", "default", "via", "fd78::1")

    def carried(self) -> str:
        """What the relay has done; it is at its end then."""
        assert self.relay is not None
        self.relay.terminate()
        said, _ = self.relay.communicate(timeout=10)
        return said.strip()

    def close(self) -> None:
        if self.relay is not None and self.relay.poll() is None:
            self.relay.kill()
            self.relay.communicate()
        for namespace in (self.near, self.far, self.beyond):
            if Path("/run/netns", namespace).exists():
                ip("netns", "del", namespace)


def _namespace(name: str) -> None:
    ip("netns", "add", name)
    set_sysctls(name, net__ipv6__conf__default__accept_dad="0", net__ipv6__conf__all__accept_dad="0")
    ip("-n", name, "link", "set", "lo", "up")
