"""Hooks (OCI runtime-spec config.md, "POSIX-platform Hooks"): host programs with the state on stdin."""

from __future__ import annotations

import os
import signal
import time

from .reader import BadConfig, Reader

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class Hook:
    def __init__(self, path: str, args: list[str], env: list[str], timeout_s: int) -> None:
        self.path = path
        self.args = args
        self.env = env
        self.timeout_s = timeout_s

    def to_json(self) -> dict[str, object]:
        timeout = {"timeout": self.timeout_s} if self.timeout_s else {}
        return {"path": self.path, "args": self.args, "env": self.env, **timeout}


class HookFailed(Exception):
    """A hook ended with another status than 0, or in no time."""


def read_hooks(node: Reader) -> dict[str, list[Hook]]:
    hooks: dict[str, list[Hook]] = {}
    for point in POINTS:
        for entry in node.objects(point):
            path = entry.text("path")
            if not path.startswith("/"):
                raise BadConfig(f"{entry.path}.path: {path!r} is not absolute")
            timeout_s = entry.number("timeout", 0)
            if entry.has("timeout") and timeout_s == 0:
                raise BadConfig(f"{entry.path}.timeout: must be above zero")
            hooks.setdefault(point, []).append(Hook(path, entry.texts("args") or [path], entry.texts("env"), timeout_s))
    return hooks


def to_json(hooks: dict[str, list[Hook]], points: tuple[str, ...]) -> dict[str, list[dict[str, object]]]:
    """The part that a later command needs, as it is kept in the state file."""
    return {point: [hook.to_json() for hook in hooks[point]] for point in points if point in hooks}


def run_hooks(hooks: list[Hook], state: bytes) -> None:
    for hook in hooks:
        _run(hook, state)


def _run(hook: Hook, state: bytes) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # a state longer than the pipe is cut rather than waited for
    os.set_inheritable(reader, True)
    null = os.open("/dev/null", os.O_RDWR)
    env = dict(item.partition("=")[::2] for item in hook.env)
    actions = [(os.POSIX_SPAWN_DUP2, reader, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
    try:
        try:
            pid = os.posix_spawn(hook.path, hook.args, env, file_actions=actions, setsigdef=[signal.SIGPIPE])
        except OSError as err:
            raise HookFailed(f"hook {hook.path}: {err.strerror}")
        try:
            os.write(writer, state)  # well below the size of a pipe
        except OSError:
            pass  # a hook need not read it
    finally:
        os.close(reader)
        os.close(writer)
        os.close(null)
    ended(hook, pid)


def ended(hook: Hook, pid: int) -> None:
    """Wait for the hook's process, a child of ours."""
    status = _wait(pid, hook.timeout_s)
    if status is None:
        raise HookFailed(f"hook {hook.path}: timed out after {hook.timeout_s} s")
    if status:
        raise HookFailed(f"hook {hook.path}: exit status {os.waitstatus_to_exitcode(status)}")


def _wait(pid: int, timeout_s: int) -> int | None:
    if not timeout_s:
        return os.waitpid(pid, 0)[1]
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
