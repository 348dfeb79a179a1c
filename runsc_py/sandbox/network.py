"""The network at `start`: what the container engine has set up in the container's network namespace moves inside.

Addresses, routes and neighbours of each interface are read and taken away there, so that the host's own stack no longer
answers; the Sentry's stack gets them, and a packet socket (packet(7)) on the interface as its wire. What was taken
stands in ROOT/ID/network: `delete` puts it back where the namespace outlives the container, as on `podman restart`.
A namespace that is also the host's, or ours, is never touched.

Containers of a pod have one namespace and a sandbox each. The first to start takes the addresses; the others find in
its note what they were, and are on the same wire: each answers for the ports that it listens on, none says that a port
is closed. Their loopbacks are their own.
"""

from __future__ import annotations

import os

from runsc_py import json_text
from runsc_py.errors import failure_of
from runsc_py.host.flags import CLONE_NEWNET
from runsc_py.host.network import open_namespace
from runsc_py.host.rtnetlink import NLM_F_CREATE, NLM_F_REPLACE, Rtnetlink

from .client import ask
from .directory import Directory, listed
from .interfaces import Found, Json, disable_ipv6

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from runsc_py.host.protocol import Host

    from .container import Container

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
ETH_P_ALL = 3
PATIENCE_S = 10.0
SEND_BUFFER, RECEIVE_BUFFER = 4 << 20, 8 << 20  # of the host's memory; a segment of 64 KiB takes twice that


def is_private(pid: int) -> bool:
    """Whether that namespace is the container's: neither ours nor the machine's."""
    own = _identity("/proc/self/ns/net")
    theirs = _identity(f"/proc/{pid}/ns/net")
    return theirs != [] and theirs not in (own, _identity("/proc/1/ns/net"))


def attach(host: Host, container: Container) -> None:
    """Move the interfaces of the container's namespace to its Sentry; a second time does nothing."""
    pid, _ = container.stub
    note = f"{container.directory.path}/network"
    if os.path.exists(note):
        return
    namespace = f"/proc/{pid}/ns/net"
    what = f"start {container.directory.id}: network"
    fds: list[int] = []
    try:
        others = sharing(container.directory, _identity(namespace))
        with Inside(host, open_namespace(namespace)):
            netlink = Rtnetlink()
            try:
                found = Found(netlink)
                fds += map(open_wire, found.indexes)
                if found.is_emptied and others:
                    taken: Json = {**others[0][1]}
                else:
                    taken = {"namespace": _identity(namespace), "taken": found.taken(), "ipv6": found.with_ipv6}
                    taken["network"] = found.description()
                _write_note(note, taken)
                found.take_away(netlink)
            finally:
                netlink.close()
        network = _on_wires(taken["network"], found.indexes)
        container.ask({"op": "network", "network": {**network, "shared": bool(others)}}, fds=fds)
        for directory, _ in others:
            try:
                ask(f"{directory.path}/control", {"op": "share"}, PATIENCE_S)
            except OSError:
                pass  # it has ended
    except OSError as err:
        raise failure_of(err, what)
    finally:
        for fd in fds:
            os.close(fd)


def sharing(own: Directory, namespace: list[int]) -> list[tuple[Directory, Json]]:
    """Containers that have the same namespace and are not deleted, with their notes."""
    root, found = os.path.dirname(own.path), []
    for name in listed(root):
        if name != own.id:
            directory = Directory(root, name)
            note = _read_note(directory)
            if note.get("namespace") == namespace:
                found.append((directory, note))
    return found


def _on_wires(network: object, indexes: list[int]) -> Json:
    """Interfaces with the place of their descriptors; one that is gone since is left out."""
    if not isinstance(network, dict):
        raise OSError(22, "Invalid argument", "network")
    places = {index: place for place, index in enumerate(indexes)}
    wanted = [{**entry, "wire": places[entry["index"]]} for entry in network["interfaces"] if entry["index"] in places]
    kept = {1, *(entry["index"] for entry in wanted)}

    def left(name: str) -> list[Json]:
        return [entry for entry in network[name] if entry["interface"] in kept]

    return {"interfaces": wanted, "addresses": left("addresses"), "routes": network["routes"],
            "neighbors": left("neighbors")}  # fmt: skip


def give_back(directory: Directory, path: str) -> None:
    """At `delete`: into the namespace at `path`, if it still is the one that they were taken from. Best effort."""
    from runsc_py.host.linux import LinuxHost

    try:
        note = _read_note(directory)
        namespace = _identity(path)
        if not namespace or namespace != note.get("namespace") or sharing(directory, namespace):
            return
        with Inside(LinuxHost(), open_namespace(path)):
            for name in _listed(note["ipv6"]):
                disable_ipv6(str(name), False)
            netlink = Rtnetlink()
            try:
                for request in _listed(note["taken"]):
                    kind, body = _listed(request)
                    try:
                        netlink.ask(int(str(kind)), bytes.fromhex(str(body)), NLM_F_CREATE | NLM_F_REPLACE)
                    except OSError:
                        pass  # it is there again (fe80::), or its interface is gone
            finally:
                netlink.close()
    except (OSError, ValueError, KeyError, TypeError):
        pass


class Inside:
    """In a network namespace for a while; takes the descriptor."""

    def __init__(self, host: Host, fd: int) -> None:
        self.host = host
        self.fd = fd
        self.own = open_namespace("/proc/self/ns/net")

    def __enter__(self) -> None:
        self.host.setns(self.fd, CLONE_NEWNET)

    def __exit__(self, *_: object) -> None:
        self.host.setns(self.own, CLONE_NEWNET)
        os.close(self.own)
        os.close(self.fd)


def open_wire(index: int) -> int:
    """A packet socket that takes and gives whole frames of one interface, each behind a struct virtio_net_hdr: so
    segments of up to 64 KiB and unfinished checksums pass. It hears nothing before it is bound."""
    import _socket

    wire = _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_NONBLOCK | _socket.SOCK_CLOEXEC, 0)
    wire.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    try:
        wire.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    except OSError:
        pass  # before Linux 4.20: what others send on the interface is heard, too
    for forced, plain, size in ((SO_SNDBUFFORCE, _socket.SO_SNDBUF, SEND_BUFFER),
                                (SO_RCVBUFFORCE, _socket.SO_RCVBUF, RECEIVE_BUFFER)):  # fmt: skip
        try:
            wire.setsockopt(_socket.SOL_SOCKET, forced, size)
        except OSError:
            wire.setsockopt(_socket.SOL_SOCKET, plain, size)  # as much as net.core allows
    name = _socket.if_indextoname(index)
    wire.bind((name, ETH_P_ALL))
    return wire.detach()


def _write_note(path: str, note: Json) -> None:
    """Before anything changes."""
    with open(f"{path}.new", "w", encoding="ascii") as file:
        file.write(json_text.dumps(note))
    os.rename(f"{path}.new", path)


def _read_note(directory: Directory) -> Json:
    try:
        with open(f"{directory.path}/network", "rb") as file:
            note = json_text.loads(file.read())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _identity(path: str) -> list[int]:
    try:
        status = os.stat(path)
    except OSError:
        return []
    return [status.st_dev, status.st_ino]
