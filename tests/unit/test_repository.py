"""The repository's own promises: the launcher, the set-up's steps, the files that everyone relies on."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(PROJECT / "tools"))

import run_tests  # noqa: E402

from benchmarks.table import Bound, Table  # noqa: E402
from provision import busybox, launcher, packages, register, stamp, venv  # noqa: E402

STATED = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def test_launcher_names_an_absolute_interpreter_that_exists() -> None:
    first = launcher.text().splitlines()[0]
    path, _, flags = first.removeprefix("#!").partition(" ")
    assert os.path.isabs(path) and os.access(path, os.X_OK)
    assert flags == "-IS"
    assert len(first) < 127      # older kernels cut the line there


def test_launcher_works_with_an_empty_environment() -> None:
    entry = PROJECT / ".venv/bin/runsc-py"
    done = subprocess.run([entry, "--version"], env={}, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "runsc-py" in done.stdout


def test_launcher_is_replaced_by_rename_and_only_when_it_differs(tmp_path: Path) -> None:
    target = tmp_path / "runsc-py"
    target.write_text("old")
    assert launcher.write(target)
    assert target.read_text() == launcher.text()
    assert target.stat().st_mode & 0o777 == 0o755
    assert not launcher.write(target)
    assert os.listdir(tmp_path) == ["runsc-py"]


def test_launcher_starts_without_scanning_site_packages() -> None:
    code = "import sys; print('site' in sys.modules, sys.flags.isolated)"
    done = subprocess.run([venv.interpreter(), "-IS", "-c", code], env={}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "1"]


def test_a_removed_environment_is_filled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """.venv may go without .build: what pip has put into it is then gone, too."""
    commands: list[str] = []

    def run(command: list[str], **_: object) -> None:
        commands.append(command[command.index("-m") + 1])
        (tmp_path / ".venv/bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / ".venv/bin/python").touch()
        venv.site_packages().mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(venv, "run", run)
    monkeypatch.setattr(venv, "say", lambda text: None)
    monkeypatch.setattr(stamp, "STAMPS", tmp_path / ".build")
    site_packages = venv.site_packages().relative_to(venv.VENV)
    monkeypatch.setattr(venv, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(venv, "site_packages", lambda: tmp_path / ".venv" / site_packages)
    venv.ensure("test")
    assert commands == ["venv", "pip"]
    venv.ensure("run")
    assert commands == ["venv", "pip"]
    shutil.rmtree(tmp_path / ".venv")
    venv.ensure("run")
    assert commands == ["venv", "pip"] * 2


def test_a_second_set_up_does_nothing_and_is_quick() -> None:
    done = subprocess.run([PROJECT / "tools/setup", "test"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    done = subprocess.run([PROJECT / "tools/setup", "test"], capture_output=True, text=True, timeout=5)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1


def test_every_package_has_a_goal_and_a_reason() -> None:
    for name, (goals, why) in packages.NEEDED.items():
        assert goals and set(goals) <= set(packages.GOALS), name
        assert len(why) > 10, name
    assert "podman" in packages.wanted("run")
    assert "podman" not in packages.wanted("check")
    assert set(packages.wanted("run")) < set(packages.wanted("test"))


def test_an_unknown_package_is_missing() -> None:
    assert packages.missing(["dpkg", "no-such-package-anywhere"]) == ["no-such-package-anywhere"]


def test_digest_depends_on_each_part_and_on_where_parts_end(tmp_path: Path) -> None:
    file = tmp_path / "source"
    file.write_text("one")
    first = stamp.digest(["a", "bc", file])
    assert first == stamp.digest(["a", "bc", file])
    assert first != stamp.digest(["ab", "c", file])
    file.write_text("two")
    assert first != stamp.digest(["a", "bc", file])


def test_drop_in_is_toml_and_keeps_what_podman_knows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    main_file = tmp_path / "containers.conf"
    monkeypatch.setattr(register, "MAIN_FILE", main_file)
    engine = tomllib.loads(register.drop_in())["engine"]
    assert engine["runtimes"]["runsc-py"] == ["/usr/local/bin/runsc-py"]
    assert {"crun", "runc", "runsc-py"} <= set(engine["runtime_supports_json"])
    assert engine["runtime_supports_nocgroup"][-1] == "runsc-py"
    main_file.write_text('[engine]\nruntime_supports_json = ["youki"]\n')
    assert tomllib.loads(register.drop_in())["engine"]["runtime_supports_json"] == ["youki", "runsc-py"]


def test_busybox_image_has_a_shell_and_mount_points(tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    busybox.write_tar(busybox.binary(), archive)
    with tarfile.open(archive) as tar:
        assert tar.getmember("bin/sh").linkname == "busybox"
        assert tar.getmember("tmp").mode == 0o1777
        assert {"proc", "sys", "dev", "etc/passwd"} <= set(tar.getnames())
        shell = tar.extractfile("bin/busybox")
        assert isinstance(shell, io.BufferedIOBase) and shell.read(4) == b"\x7fELF"


def test_run_without_any_passing_test_fails(tmp_path: Path) -> None:
    """The runner must not call a suite good in which nothing ran: neither an empty one nor one of skips alone."""
    (tmp_path / "test_skipped.py").write_text("import pytest\n\ndef test_it():\n    pytest.skip('never')\n")
    (tmp_path / "empty").mkdir()
    for where in (tmp_path / "test_skipped.py", tmp_path / "empty", tmp_path / "absent"):
        assert _runner(tmp_path, where) != 0
    (tmp_path / "test_good.py").write_text("def test_it():\n    pass\n")
    assert _runner(tmp_path, tmp_path / "test_good.py") == 0
    (tmp_path / "test_bad.py").write_text("def test_it():\n    assert False\n")
    assert _runner(tmp_path, tmp_path / "test_good.py", tmp_path / "test_bad.py") != 0


def test_an_ended_runner_takes_its_tests_along(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(
        "import os, pathlib, time\n\ndef test_it():\n"
        f"    pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n    time.sleep(60)\n"
    )
    runner = subprocess.Popen(_runner_command(tmp_path, tmp_path / "test_long.py"), stdout=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 30
    while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(30) != 0
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()


def _runner(tmp_path: Path, *where: Path) -> int:
    """What tools/run_tests.py answers for these paths, with a report of its own."""
    return subprocess.run(_runner_command(tmp_path, *where), capture_output=True).returncode


def _runner_command(tmp_path: Path, *where: Path) -> list[str]:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import run_tests;"
        "run_tests.REPORT = pathlib.Path(sys.argv[2]);"
        "sys.exit(run_tests.main(sys.argv[3:] + ['-pno:cacheprovider']))"
    )
    return [sys.executable, "-c", code, str(PROJECT / "tools"), str(tmp_path / "report.xml"), *map(str, where)]


def test_every_directory_of_tests_is_run() -> None:
    found = {p.name for p in run_tests.parts()}
    assert found == {p.name for p in (PROJECT / "tests").iterdir() if p.is_dir() and any(p.rglob("test_*.py"))}


def test_ptrace_is_only_an_extra() -> None:
    project = STATED["project"]
    assert not any("ptrace" in name for name in project["dependencies"])
    assert any("python-ptrace" in name for name in project["optional-dependencies"]["ptrace"])
    assert project["license"] == {"text": "MIT"}
    assert "GPL-2.0-only" in (PROJECT / "README.md").read_text()


def test_ci_entry_runs_the_tests() -> None:
    entry = PROJECT / ".ci" / "run"
    assert os.access(entry, os.X_OK)
    assert entry.read_text().startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", entry]).returncode == 0
    assert "make test" in entry.read_text()


def test_built_files_are_not_tracked() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=True)
    tracked = listed.stdout.split()
    bad = [name for name in tracked if name.endswith((".so", ".o", ".pyc", "_engine.c")) or name.startswith(".venv/")]
    assert not bad
    assert not {"sentry/engine/loader", "sentry/engine/spawner", "sentry/engine/stub"} & set(tracked)


def test_version_is_stated_once() -> None:
    import runsc_py

    assert STATED["project"]["version"] == runsc_py.VERSION
    assert f"## [{runsc_py.VERSION}]" in (PROJECT / "CHANGELOG.md").read_text()


def test_the_command_line_starts_without_heavy_modules() -> None:
    """A command is started three times per `podman run`; each of these modules costs as much as a tenth of a start."""
    heavy = {"asyncio", "argparse", "dataclasses", "logging", "pyroute2", "socket", "subprocess", "typing"}
    code = (
        f"import sys; sys.path += [{str(PROJECT)!r}]; from runsc_py.cli.main import main; main(['--version']);"
        "print(*sys.modules)"
    )
    done = subprocess.run([venv.interpreter(), "-IS", "-c", code], env={}, capture_output=True, text=True, check=True)
    assert not heavy & set(done.stdout.split())


def test_a_table_gives_medians_ratios_and_reasons() -> None:
    table = Table("call", "ns", ["host", "peer"])
    table.row("getpid", Bound(60, "20"))
    table.row("stat")
    table.cells["getpid", "host"].samples += [9.0, 1.0, 2.0]
    table.cells["getpid", "peer"].samples += [30.0]
    table.cells["stat", "peer"].reason = "no end after 3 s"
    head, _, first, second, reason = table.text().splitlines()
    assert head.split() == ["call", "host", "ns", "peer", "ns", "peer/host", "peer/target", "target"]
    assert first.split() == ["getpid", "2.0", "30.0", "15.00", "0.50", "<=", "60,", "later", "20"]
    assert second.split() == ["stat", "-", "-", "-", "-"]
    assert reason == "  - peer, stat: no end after 3 s"
