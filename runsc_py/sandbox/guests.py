"""A container's processes as the host numbers them (proc(5), pid_namespaces(7)); what they are, the Sentry knows."""

from __future__ import annotations

import os

from runsc_py.errors import Failure

from .container import Container


def guests(container: Container) -> dict[int, int]:
    """Host number: effective user, as the container has it (on the host all guests are one user). Whoever comes or goes
    meanwhile may be missing."""
    inside = _known(container)
    found = {pid: inside.get(_number_inside(pid)) for pid in descendants(container.sentry[0])}
    return {pid: uid for pid, uid in sorted(found.items()) if uid is not None}


def _known(container: Container) -> dict[int, int]:
    """The same by the numbers of the Sentry's namespace, a page at a time."""
    inside: dict[int, int] = {}
    while True:
        try:
            page = container.ask({"op": "processes", "after": max(inside, default=0)}).get("processes")
        except OSError:
            raise Failure(f"container {container.directory.id}", "the sandbox does not answer")
        if not isinstance(page, list) or not page:
            return inside
        inside.update((pid, uid) for pid, uid in page)


def descendants(top: int) -> list[int]:
    """All processes below `top`."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            fields = _after_name(f"/proc/{name}/stat")
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    todo = [top]
    while todo:
        below = children.pop(todo.pop(), [])
        found += below
        todo += below
    return found


def _after_name(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            text = file.read(4096)
    except OSError:
        return []
    return text[text.rfind(b")") + 2 :].split()


def _number_inside(pid: int) -> int:
    """In the Sentry's namespace, the last but one: guests have one more of their own."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            text = file.read(8192)
    except OSError:
        return 0
    at = text.find(b"\nNSpid:")
    numbers = text[at + 7 : text.index(b"\n", at + 1)].split() if at >= 0 else []
    return int(numbers[-2]) if len(numbers) >= 2 else 0
