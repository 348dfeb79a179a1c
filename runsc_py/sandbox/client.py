"""The CLI's side of the control socket (unix(7)): one JSON line there, one JSON line back."""

from __future__ import annotations

import os

from runsc_py import json_text

LIMIT = 1 << 20


def ask(path: str, request: dict[str, object], timeout_s: float | None) -> dict[str, object]:
    """Raises OSError when nobody listens, TimeoutError when the answer does not come in time."""
    import _socket

    directory, _, name = path.rpartition("/")
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    at = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        link.settimeout(timeout_s)
        link.connect(f"/proc/self/fd/{at}/{name}")  # sun_path holds 107 bytes, a state directory's path may be longer
        link.sendall(json_text.dumps(request).encode() + b"\n")
        text = b""
        while not text.endswith(b"\n"):
            piece = link.recv(65536)
            if not piece:
                raise ConnectionResetError(104, "the sandbox ended before it answered")
            text += piece
            if len(text) > LIMIT:
                raise ConnectionResetError(104, "answer too long")
    finally:
        os.close(at)
        link.close()
    answer = json_text.loads(text)
    return answer if isinstance(answer, dict) else {}
