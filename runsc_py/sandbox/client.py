"""The CLI's side of the control socket (unix(7)): one JSON line there, one JSON line back."""

from __future__ import annotations

import os

from runsc_py import json_text

LIMIT = 1 << 20


class Link:
    """A connection. Raises OSError when nobody listens, TimeoutError when an answer does not come in time."""

    def __init__(self, path: str, timeout_s: float | None) -> None:
        import _socket

        directory, _, name = path.rpartition("/")
        self._socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(f"/proc/self/fd/{at}/{name}")  # sun_path holds 107 bytes, our path may be longer
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(at)

    def ask(self, request: dict[str, object], fds: list[int] | None = None) -> dict[str, object]:
        """`fds` go along; they stay the caller's."""
        text = json_text.dumps(request).encode() + b"\n"
        if fds:
            import _socket

            rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, b"".join(fd.to_bytes(4, "little") for fd in fds))
            text = text[self._socket.sendmsg([text], [rights]) :]
        self._socket.sendall(text)
        answer = b""
        while not answer.endswith(b"\n"):
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionResetError(104, "the sandbox ended before it answered")
            answer += piece
            if len(answer) > LIMIT:
                raise ConnectionResetError(104, "answer too long")
        found = json_text.loads(answer)
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        self._socket.close()


def ask(
    path: str, request: dict[str, object], timeout_s: float | None, fds: list[int] | None = None
) -> dict[str, object]:
    """One request, one answer."""
    link = Link(path, timeout_s)
    try:
        return link.ask(request, fds)
    finally:
        link.close()
