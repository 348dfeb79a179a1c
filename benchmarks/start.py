"""Start-up, commands and memory: `run` of true, state, podman run, and what an idle sandbox holds."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import build, bundle, processes
from .columns import Column, Crun, Host, Ours, Runc, Runsc, Runtime, Unmeasured
from .table import Bound, Table

Note = Callable[[str], None]
IDLE_S = 3.0
PODMAN_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")   # crun and runc fail without


def timed_ms(argv: Sequence[str], timeout_s: float = 60) -> float:
    began_s = time.perf_counter()
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout_s,
                              check=False)
    except subprocess.TimeoutExpired:
        raise Unmeasured(f"no end after {timeout_s:.0f} s")
    took_ms = (time.perf_counter() - began_s) * 1000
    if done.returncode != 0:
        raise Unmeasured(f"status {done.returncode}: {(done.stderr.strip().splitlines() or ['no message'])[-1][-160:]}")
    return took_ms


def start_table(scratch: Path, rounds: int, note: Note) -> Table:
    """`run` of a static true to its end, and a command to a running sandbox."""
    root = build.empty_root(scratch / "empty-root")
    columns: list[Column] = [kind(scratch) for kind in (Host, Crun, Runc, Runsc, Ours)]
    table = Table("start", "ms", [c.name for c in columns])
    table.row("run true", Bound(150, "60"))
    table.row("state", Bound(25))
    for turn in range(rounds * 4):
        note(f"start, round {turn + 1} of {rounds * 4}")
        for column in columns:
            cell = table.cells["run true", column.name]
            if cell.reason:
                continue
            try:
                began_s = time.perf_counter()
                if isinstance(column, Host):
                    subprocess.run([root / "bench" / "true"], check=True)
                else:
                    column.run(root, ["/bench/true"])
                cell.samples.append((time.perf_counter() - began_s) * 1000)
            except Unmeasured as error:
                cell.reason = str(error)
    for column in columns:
        if isinstance(column, Runtime):
            note(f"state of a running sandbox: {column.name}")
            cell = table.cells["state", column.name]
            try:
                with Idle(column, root) as idle:
                    cell.samples += [timed_ms([*column.prefix(), "state", idle.name]) for _ in range(rounds * 4)]
            except Unmeasured as error:
                cell.reason = str(error)
        else:
            table.cells["state", column.name].reason = "the host has no such command"
    return table


def podman_table(image: str, rounds: int, note: Note) -> Table:
    ways = {
        "crun": ["--runtime", "crun"],
        "runc": ["--runtime", "runc"],
        "runsc": ["--runtime", "runsc", *(f"--runtime-flag={flag[2:]}" for flag in Runsc.flags)],
        "ours": ["--runtime", Ours.program],
    }
    table = Table("podman run --rm", "ms", list(ways))
    table.row("true", Bound(1.25, of_first=True))
    for turn in range(rounds * 2):
        note(f"podman, round {turn + 1} of {rounds * 2}")
        for name, flags in ways.items():
            cell = table.cells["true", name]
            if cell.reason:
                continue
            try:
                command = ["podman", *flags, "run", "--rm", "--network=none", *PODMAN_LIMITS, image, "true"]
                cell.samples.append(timed_ms(command))
            except Unmeasured as error:
                cell.reason = str(error)
    return table


def idle_table(scratch: Path, note: Note) -> Table:
    """Memory of everything that a sandbox with one sleeping program consists of, the program included."""
    root = build.empty_root(scratch / "empty-root")
    columns: list[Runtime] = [kind(scratch) for kind in (Runc, Runsc, Ours)]
    table = Table("idle sandbox", "", [c.name for c in columns])
    bounds = {"memory (PSS), MB": Bound(35, "22"), "processes": Bound(None), "CPU, %": Bound(None)}
    for name, bound in bounds.items():
        table.row(name, bound)
    for column in columns:
        note(f"idle sandbox: {column.name}")
        try:
            before = set(processes.descendants())
            with Idle(column, root):
                time.sleep(1)
                pids = [pid for pid in processes.descendants() if pid not in before]
                used_s = processes.cpu_s(pids)
                time.sleep(IDLE_S)
                figures = [processes.pss_kb(pids) / 1024, len(pids), (processes.cpu_s(pids) - used_s) / IDLE_S * 100]
            for name, figure in zip(bounds, figures, strict=True):
                table.cells[name, column.name].samples.append(figure)
        except Unmeasured as error:
            for name in bounds:
                table.cells[name, column.name].reason = str(error)
    return table


class Idle:
    """A sandbox that was created and started, and sleeps; no command waits beside it."""

    def __init__(self, column: Runtime, root: Path) -> None:
        reason = column.unavailable()
        if reason is not None:
            raise Unmeasured(reason)
        self.column = column
        self.name = f"idle-{column.name}-{os.getpid()}-{next(column.serial)}"
        self.where = bundle.write(column.scratch / self.name, root, ["/bench/sleeper"])

    def __enter__(self) -> Idle:
        reader, writer = os.pipe()
        try:
            self._command("create", "--bundle", str(self.where), self.name, stdout=writer)
            self._command("start", self.name)
            ready, _, _ = select.select([reader], [], [], 20)
            if not ready or os.read(reader, 3) != b"up\n":
                raise Unmeasured("the program did not say that it runs")
        except Unmeasured:
            self._end()
            raise
        finally:
            os.close(writer)
            os.close(reader)
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def _command(self, *args: str, stdout: int = subprocess.DEVNULL) -> None:
        # errors go to a file: a sandbox inherits them, and a pipe would keep us waiting for its end
        errors_path = self.where / "errors"
        with open(errors_path, "w+") as errors:
            try:
                status = subprocess.run([*self.column.prefix(), *args], stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=errors, timeout=30, check=False).returncode
            except subprocess.TimeoutExpired:
                raise Unmeasured(f"{args[0]} did not end")
        if status != 0:
            last = (errors_path.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise Unmeasured(f"{args[0]}, status {status}: {last[-120:]}")

    def _end(self) -> None:
        for args in (["kill", self.name, "KILL"], ["delete", "--force", self.name]):
            try:
                self._command(*args)
            except Unmeasured:
                pass
            time.sleep(0.2)
        processes.reap()
