"""What runs at both ends of the wire: `python3 /mnt/peers.py ROLE ARGUMENT...`, on the host and in a sandbox alike.

It imports the standard library only. Each role prints "listening" when it is ready, and its result as lines of text.
"""

from __future__ import annotations

import errno
import hashlib
import resource
import selectors
import socket
import struct
import sys
import time
from collections.abc import Iterator

CHUNK = 1 << 20


def family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def data(size: int) -> Iterator[bytes]:
    """The same bytes at both ends; no two blocks are alike."""
    import random

    block = random.Random(5).randbytes(CHUNK)
    for at in range(0, size, CHUNK):
        yield (at.to_bytes(8, "big") + block[8:])[: size - at]


def digest_of(size: int) -> str:
    total = hashlib.sha256()
    for block in data(size):
        total.update(block)
    return total.hexdigest()


def listener(address: str, port: int, backlog: int = 4096) -> socket.socket:
    sock = socket.socket(family(address), socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    sock.listen(backlog)
    print("listening", flush=True)
    return sock


def receive_all(sock: socket.socket) -> tuple[int, str]:
    total, size = hashlib.sha256(), 0
    buffer = bytearray(CHUNK)
    while count := sock.recv_into(buffer):
        total.update(memoryview(buffer)[:count])
        size += count
    return size, total.hexdigest()


def sink(address: str, port: str) -> None:
    """Take one connection, and all that comes."""
    sock, _ = listener(address, int(port)).accept()
    began_s = time.monotonic()
    size, digest = receive_all(sock)
    print(f"received {size} {digest}")
    print(f"took {time.monotonic() - began_s:.3f}")


def source(address: str, port: str, size: str) -> None:
    """Connect, send, and wait for the end of the other side. CUBIC on both systems: a machine may have another by
    default, which a bad wire tells apart."""
    began_s = time.monotonic()
    with socket.create_connection((address, int(port)), timeout=300) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
        for block in data(int(size)):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b"", "nothing was to come back"
    print(f"sent {size}")
    print(f"took {time.monotonic() - began_s:.3f}")


def blurt(address: str, port: str, size: str) -> None:
    """Connect, send, and be gone before anything of it can have been acknowledged."""
    sock = socket.create_connection((address, int(port)), timeout=30)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, int(size))
    sock.sendall(b"".join(data(int(size))))


def serve(address: str, port: str, count: str) -> None:
    """Answer `count` connections, any number at once: each says how many bytes it wants, gets them and the end."""
    _more_files()
    chooser = selectors.DefaultSelector()
    listening = listener(address, int(port))
    listening.setblocking(False)
    chooser.register(listening, selectors.EVENT_READ)
    block = next(data(CHUNK))
    left = int(count)
    pending: dict[socket.socket, int] = {}
    while left:
        for key, mask in chooser.select(60):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is listening:
                try:
                    while True:
                        fresh, _ = listening.accept()
                        fresh.setblocking(False)
                        chooser.register(fresh, selectors.EVENT_READ)
                except BlockingIOError:
                    continue
            if mask & selectors.EVENT_READ:
                request = sock.recv(100)
                if sock not in pending and request:
                    pending[sock] = int(request)
                    chooser.modify(sock, selectors.EVENT_WRITE)
            elif mask & selectors.EVENT_WRITE:
                wanted = pending[sock]
                if wanted:
                    pending[sock] = wanted - sock.send(block[:wanted])
                if not pending[sock]:
                    chooser.unregister(sock)
                    del pending[sock]
                    sock.close()
                    left -= 1
    print(f"served {count}")


def short(address: str, port: str, count: str, size: str) -> None:
    """`count` connections one after the other, each for `size` bytes."""
    expected = next(data(CHUNK))[: int(size)]
    began_s = time.monotonic()
    for _ in range(int(count)):
        with socket.create_connection((address, int(port)), timeout=30) as sock:
            sock.sendall(size.encode())
            got = b""
            while part := sock.recv(65536):
                got += part
            assert got == expected, f"{len(got)} bytes came"
    print(f"done {count} in {time.monotonic() - began_s:.3f}")


def together(address: str, port: str, count: str, size: str) -> None:
    """`count` connections, all open before any of them says what it wants."""
    _more_files()
    expected = hashlib.sha256(next(data(CHUNK))[: int(size)]).digest()
    chooser = selectors.DefaultSelector()
    sums = {}
    for _ in range(int(count)):
        sock = socket.socket(family(address), socket.SOCK_STREAM)
        sock.setblocking(False)
        status = sock.connect_ex((address, int(port)))
        assert status in (0, errno.EINPROGRESS), errno.errorcode[status]
        sums[sock] = hashlib.sha256()
        chooser.register(sock, selectors.EVENT_WRITE)
    up: set[object] = set()
    end_s = time.monotonic() + 60
    while len(up) < len(sums):
        assert time.monotonic() < end_s, f"{len(up)} of {count} are connected"
        for key, _ in chooser.select(1):
            status = key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # type: ignore[union-attr]
            assert status == 0, errno.errorcode[status]
            up.add(key.fileobj)
            chooser.modify(key.fileobj, selectors.EVENT_READ)
    for sock in sums:
        sock.sendall(size.encode())
    left = len(sums)
    while left:
        ready = chooser.select(30)
        assert ready, f"{left} of {count} wait for their data"
        for key, _ in ready:
            sock = key.fileobj  # type: ignore[assignment]
            part = sock.recv(65536)
            if part:
                sums[sock].update(part)
            else:
                assert sums[sock].digest() == expected
                chooser.unregister(sock)
                sock.close()
                left -= 1
    print(f"done {count}")


def _more_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))


def echo_udp(address: str, port: str) -> None:
    """Send every datagram back, until one that says "end"."""
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.bind((address, int(port)))
    print("listening", flush=True)
    sock.settimeout(60)
    count = 0
    while True:
        datagram, peer = sock.recvfrom(65536)
        if datagram == b"end":
            break
        sock.sendto(datagram, peer)
        count += 1
    print(f"echoed {count}")


def ask_udp(address: str, port: str, *sizes: str) -> None:
    """Datagrams of these sizes there and back; then the end, and a refused one."""
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.settimeout(10)
    sock.connect((address, int(port)))
    block = next(data(CHUNK))
    for size in map(int, sizes):
        sock.send(block[:size])
        assert sock.recv(65536) == block[:size], size
    sock.send(b"end")
    end_s = time.monotonic() + 10
    while True:  # until the peer has closed its socket
        assert time.monotonic() < end_s, "nobody refuses"
        try:
            sock.send(b"more")
            time.sleep(0.05)
        except ConnectionRefusedError:
            break
    print(f"asked {len(sizes)}, then refused")


def hear(group: str, port: str, local: str) -> None:
    """Join a multicast group (or, without one, take broadcasts), and print the first datagram and its sender."""
    sock = socket.socket(family(group), socket.SOCK_DGRAM)
    sock.bind(("", int(port)))
    if family(group) == socket.AF_INET6:
        index = socket.if_nametoindex(local)
        request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    elif group != "255.255.255.255":
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(local))
    print("listening", flush=True)
    sock.settimeout(20)
    datagram, peer = sock.recvfrom(2000)
    print(f"heard {datagram.decode()} from {peer[0].partition('%')[0]}")


def tell(group: str, port: str, local: str, words: str) -> None:
    """Send to a group or to everybody, four times over a second: a frame may get lost."""
    sock = socket.socket(family(group), socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if family(group) == socket.AF_INET6:
        index = socket.if_nametoindex(local)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
    for _ in range(4):
        sock.sendto(words.encode(), (group, int(port)))
        time.sleep(0.2)
    print("told")


def refused(address: str, *ports: str) -> None:
    """Nobody listens on these."""
    for port in ports:
        try:
            socket.create_connection((address, int(port)), timeout=10)
        except OSError as error:
            print(errno.errorcode.get(error.errno or 0, error))


def half(address: str, port: str) -> None:
    """Send, close that direction, and only then be answered."""
    with socket.create_connection((address, int(port)), timeout=30) as sock:
        sock.sendall(b"a" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        print("answer", receive_all(sock))


def answer_half(address: str, port: str) -> None:
    sock, _ = listener(address, int(port)).accept()
    size, _ = receive_all(sock)
    time.sleep(0.2)
    sock.sendall(b"b" * size * 2)
    sock.close()
    print(f"answered {size}")


def reset(address: str, port: str) -> None:
    """Close with data unread, or with SO_LINGER 0: the peer sees a reset."""
    listening = listener(address, int(port))
    sock, _ = listening.accept()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.recv(1)
    sock.close()
    sock, _ = listening.accept()
    sock.recv(1)
    sock.close()
    print("closed")


def see_reset(address: str, port: str) -> None:
    for _ in range(2):
        with socket.create_connection((address, int(port)), timeout=30) as sock:
            sock.sendall(b"x" * 1000)
            try:
                print(len(sock.recv(10)))
            except OSError as error:
                print(errno.errorcode.get(error.errno or 0, error))


def small_mtu(address: str, port: str, size: str) -> None:
    """A datagram without DF through a path that takes less, then the path's MTU as the socket knows it."""
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    sock.settimeout(1)
    sock.connect((address, int(port)))
    for _ in range(10):
        try:
            sock.send(b"x" * int(size))
            print(f"came back {len(sock.recv(65536))}")
            break
        except OSError as error:
            if error.errno != errno.EMSGSIZE and not isinstance(error, TimeoutError):
                raise
    level, name = (41, 24) if family(address) == socket.AF_INET6 else (0, 14)  # IPV6_MTU, IP_MTU
    print(f"mtu {sock.getsockopt(level, name)}")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
