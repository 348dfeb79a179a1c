"""State directories: made once, locked, removed; records survive a killed writer."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from runsc_py.cli.delete import delete
from runsc_py.errors import Failure
from runsc_py.sandbox import process
from runsc_py.sandbox.container import Container
from runsc_py.sandbox.directory import Directory, listed


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    first = Directory.create(str(tmp_path / "root"), "c1")
    assert os.stat(first.path).st_mode & 0o777 == 0o700
    with pytest.raises(Failure, match="exists"):
        Directory.create(str(tmp_path / "root"), "c1")
    first.write({"id": "c1"})
    assert first.read() == {"id": "c1"}
    first.remove()
    assert listed(str(tmp_path / "root")) == []
    Directory.create(str(tmp_path / "root"), "c1").remove()


def test_a_waiter_learns_of_the_removal(tmp_path: Path) -> None:
    holder = Directory.create(str(tmp_path), "c")
    got: list[bool] = []
    waiter = threading.Thread(target=lambda: got.append(Directory(str(tmp_path), "c").lock(5.0)))
    waiter.start()
    time.sleep(0.05)
    holder.remove()
    waiter.join()
    assert got == [False]


def test_a_lock_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    Directory.create(str(tmp_path), "c")
    with pytest.raises(Failure, match="busy"):
        Directory(str(tmp_path), "c").lock(0.02)


def test_damaged_record(tmp_path: Path) -> None:
    directory = Directory.create(str(tmp_path), "c")
    directory.unlock()
    (tmp_path / "c" / "state.json").write_text('{"id": "c"')
    with pytest.raises(Failure, match="damaged"):
        Container.open(str(tmp_path), "c")
    delete(str(tmp_path), "c", force=True)
    assert not (tmp_path / "c").exists()


def test_a_create_that_died_early_is_cleaned_up(tmp_path: Path) -> None:
    made = tmp_path / "cgroup"
    made.mkdir()
    directory = Directory.create(str(tmp_path / "root"), "c")
    directory.write({"id": "c", "creatorPid": 2**22 + 1, "creatorStart": 1, "cgroups": [str(made)]})
    directory.unlock()
    assert Container.open(str(tmp_path / "root"), "c").status() == "stopped"
    delete(str(tmp_path / "root"), "c", force=False)
    assert not made.exists() and listed(str(tmp_path / "root")) == []


def test_a_living_creator_means_creating(tmp_path: Path) -> None:
    directory = Directory.create(str(tmp_path), "c")
    directory.write({"id": "c", "creatorPid": os.getpid(), "creatorStart": process.start_time(os.getpid())})
    container = Container.open(str(tmp_path), "c")
    assert container.state()["status"] == "creating"


def test_a_number_used_again_is_not_killed() -> None:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        started = process.start_time(child)
        assert process.is_alive(child, started) and not process.is_alive(child, started + 1)
        assert process.open_pidfd(child, started + 1) == -1
        assert process.kill_and_wait([(child, started + 1), (0, 0), (-1, 5)], 1.0)
        assert process.is_alive(child, started), "another start time, another process"
        assert process.kill_and_wait([(child, started)], 5.0)
        assert not process.is_alive(child, started), "a zombie is dead"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_exit_status(tmp_path: Path) -> None:
    directory = Directory.create(str(tmp_path), "c")
    assert directory.exit_status() is None
    (tmp_path / "c" / "exit").write_text("256\n")
    assert directory.exit_status() == (256, "")
    (tmp_path / "c" / "exit").write_text("9\nodd: thing")
    assert directory.exit_status() == (9, "odd: thing")
    (tmp_path / "c" / "exit").write_text("what")
    assert directory.exit_status() is None
