"""Command lines as podman, buildah, runc's and runsc's users write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runsc_py.cli.kill import signal_number
from runsc_py.cli.main import main, report
from runsc_py.cli.options import SWITCH, VALUE, parse
from runsc_py.cli.settings import Settings
from runsc_py.errors import Failure, failure_of

KNOWN = {"bundle": VALUE, "force": SWITCH}


def settings(*arguments: str) -> Settings:
    found = Settings()
    found.take(list(arguments))
    return found


def test_both_forms_and_any_order() -> None:
    found = parse(["--bundle", "a", "id", "--force", "--bundle=b", "-b", "c"], KNOWN, {"b": "bundle"}, "x")
    assert (found.text("bundle"), found.texts("bundle"), found.on("force"), found.rest) == (
        "c",
        ["a", "b", "c"],
        True,
        ["id"],
    )


def test_two_dashes_end_the_options() -> None:
    assert parse(["--force", "--", "--bundle", "x"], KNOWN, {}, "x").rest == ["--bundle", "x"]


def test_options_of_the_command_are_its_own() -> None:
    found = parse(["--force", "ls", "-l", "--", "x"], KNOWN, {}, "do", stop_at_first=True)
    assert (found.on("force"), found.rest) == (True, ["ls", "-l", "--", "x"])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(["--no"], "unknown option --no"), (["--bundle"], "flag needs an argument"), (["--force=maybe"], "neither")],
)
def test_refusals(arguments: list[str], why: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(arguments, KNOWN, {}, "x")
    assert why in str(caught.value)


def test_podmans_global_options() -> None:
    found = settings("--log-format=json", "--log", "/x/oci-log", "create", "--bundle", "B", "--pid-file", "P", "ID")
    assert (found.log, found.log_format, found.rest[0]) == ("/x/oci-log", "json", "create")
    assert not settings("--cgroup-manager", "disabled", "create", "ID").use_cgroups
    assert settings("--systemd-cgroup", "create", "ID").use_cgroups
    assert settings("--debug", "--root=/x", "start", "ID").root == "/x"


def test_runscs_options() -> None:
    found = settings(
        "--platform=systrap", "--network=none", "--overlay2=root:memory", "-strace", "--directfs=false", "run", "x"
    )
    assert (found.platform, found.network, found.overlay, found.strace, found.rest) == (
        "notify",
        "none",
        True,
        True,
        ["run", "x"],
    )
    assert not settings("--overlay2=none", "run").overlay
    for refused in (
        "--nvproxy=true",
        "--host-uds=all",
        "--platform=vm",
        "--network=wifi",
        "--network=host",
        "--log-format=xml",
        "--what",
    ):
        with pytest.raises(Failure):
            settings(refused, "run", "x")
    assert settings("--host-uds=none", "run").rest == ["run"]


def test_the_log_gets_one_json_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "oci-log"
    failure = Failure("create", 'executable file `x` not found in $PATH: No such file or directory\n"', "hint")
    report(settings("--log", str(log), "--log-format=json", "create"), failure)
    entry = json.loads(log.read_text())
    assert entry["level"] == "error" and entry["time"].endswith("Z") and "\n" not in entry["msg"]
    assert capsys.readouterr().err == f"runsc-py: {entry['msg']}\n"
    report(settings("--log", str(tmp_path / "text"), "create"), failure)
    assert (tmp_path / "text").read_text().startswith('time="')


def test_a_failure_keeps_strerrors_words() -> None:
    assert str(failure_of(PermissionError(13, "x", b"/f"), "open", "look")) == "open: /f: Permission denied; look"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("64", 64),
        ("KILL", 9),
        ("SIGTERM", 15),
        ("sigusr1", 10),
        ("RTMIN", 34),
        ("SIGRTMIN+1", 35),
        ("RTMAX-2", 62),
    ],
)
def test_signals(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["0", "65", "-1", "NOPE", "RTMIN-1", "RTMIN+99", "", "9x"])
def test_no_signals(text: str) -> None:
    with pytest.raises(Failure):
        signal_number(text)


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert "runsc-py version" in capsys.readouterr().out
    assert main(["help"]) == 0 and main(["create", "--help"]) == 0
    assert "--console-socket" in capsys.readouterr().out


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_commands_on_unknown_containers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path)]
    for command in ("state", "start", "kill", "delete", "wait"):
        assert main([*root, command, "nobody"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 5
    assert main([*root, "delete", "--force", "nobody"]) == 0
    assert main([*root, "list", "-q"]) == 0
    assert capsys.readouterr().out == ""
    for bad in ("..", "a/b", "", "x" * 300):
        assert main([*root, "state", bad]) == 1
