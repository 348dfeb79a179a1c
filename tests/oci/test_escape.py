"""Nothing of the host can be reached or hurt from inside a container that has every capability (capabilities(7))."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.oci.container import Container
from tests.oci.hostile_host import Log, Surroundings, accepted
from tests.oci.programs import HERE, Programs

Make = Callable[..., Container]
Attack = Callable[..., str]
PROGRAMS = ("view", "paths", "mounts", "reach", "devices", "calls", "races", "exhaust", "exhaust_tasks", "random")
ALL_CAPS = ["CAP_" + name for name in """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
    LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
    AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
    CHECKPOINT_RESTORE""".split()]


def declared(program: str) -> set[str]:
    """Names of the cases in a program's source."""
    text = (HERE / f"{program}.c").read_text()
    return set(re.findall(r"^CASE\((\w+)\)", text, re.M)) | set(re.findall(r"^\s*REFUSED\((\w+),", text, re.M))


@pytest.fixture
def attack(make: Make, programs: Programs) -> Iterator[Attack]:
    surroundings: list[Surroundings] = []

    def run(program: str, *more: str, patience_s: float = 200) -> str:
        """Run every case of `program`; the output."""
        caps = dict.fromkeys(("bounding", "effective", "permitted", "inheritable", "ambient"), ALL_CAPS)
        c = make([f"/bin/{program}"], capabilities=caps)
        programs.put(program, c)
        around = Surroundings(c)
        surroundings.append(around)
        known = c.bundle / "known"
        known.write_text("\n".join((*around.arguments(), *more)))
        log = Log(c)
        with known.open("rb") as stdin:
            done = c.create(stdin=stdin, flags=log.flags)
        assert done.returncode == 0, c.text()
        c.start()
        status = c.wait(patience_s)
        text = c.text()
        assert log.bugs() == [], f"{log.bugs()[:3]}\n{text}"
        around.check_untouched()
        assert not any(accepted(listener) for listener in around.listeners), "a socket of the host was reached"
        assert f"{around.word}-" not in text
        assert status == 0, text
        return text

    yield run
    for around in surroundings:
        around.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("program", PROGRAMS)
def test_contained(program: str, attack: Attack, full: bool) -> None:
    text = attack(program, *(["full=1"] if full else []), patience_s=290 if not full else 3000)
    verdicts = dict(re.findall(r"case (\w+) (contained|BREACH|HANG)", text))
    assert set(verdicts) == declared(program), "some cases were not run"
    assert set(verdicts.values()) == {"contained"}, text


def test_there_are_many_cases() -> None:
    assert sum(len(declared(program)) for program in PROGRAMS) >= 120


@pytest.mark.timeout(300)
def test_every_call_number(make: Make, programs: Programs) -> None:
    """tests/guest/hostile.c as pid 1's child in an OCI container with all capabilities: the Sentry stays well."""
    caps = dict.fromkeys(("bounding", "effective", "permitted"), ALL_CAPS)
    c = make(["/bin/hostile"], capabilities=caps, env=["PATH=/bin", "GUEST_IN=sandbox", "GUEST_CASE_TIMEOUT=240"],
             cwd="/tmp")
    programs.put("hostile", c, Path(__file__).resolve().parents[1] / "guest" / "hostile.c")
    log = Log(c)
    assert c.create(flags=log.flags).returncode == 0, c.text()
    c.start()
    assert c.wait(280) == 0, c.text()[-3000:]
    assert " 0 failed" in c.text()
    assert log.bugs() == [], log.bugs()[:3]
