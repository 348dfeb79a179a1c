"""What the table of calls claims (docs/syscalls.md) against the guest tests that prove it (their manifest.toml)."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from syscalls import table

GUEST = Path(__file__).resolve().parents[2] / "guest"
MANIFEST = GUEST / "manifest.toml"
MADE_BY = {  # the C library's function where its name is another
    "eventfd2": "eventfd",
    "exit_group": "_exit",
    "faccessat2": "faccessat",
    "fadvise64": "posix_fadvise",
    "newfstatat": "fstatat",
    "pread64": "pread",
    "pwrite64": "pwrite",
    "rt_sigreturn": "sigaction",
    "rt_sigtimedwait": "sigtimedwait",
}


def _proved() -> dict[str, list[str]]:
    """Call -> the guest programs that say they test it."""
    programs = tomllib.loads(MANIFEST.read_text())
    proved: dict[str, list[str]] = {}
    for program, entry in programs.items():
        for call in entry.get("calls", ()):
            proved.setdefault(call, []).append(program)
    return proved


def test_full_support_is_proved() -> None:
    proved = _proved()
    unproved = [row.name for row in table.rows() if row.support == "full" and row.name not in proved]
    assert not unproved, f"full, but no guest program has them in its calls: {' '.join(unproved)}"


def test_programs_name_calls_that_exist() -> None:
    known = {row.name for row in table.rows()}
    unknown = {call: programs for call, programs in _proved().items() if call not in known}
    assert not unknown


def test_programs_use_what_they_name() -> None:
    """In the text of one of its programs a call stands by its name, or as the C library's function that makes it."""
    programs = tomllib.loads(MANIFEST.read_text())
    texts = {name: (GUEST / entry.get("source", f"{name}.c")).read_text() for name, entry in programs.items()}
    check = (GUEST / "check.h").read_text()
    missing = []
    for call, users in _proved().items():
        words = re.compile(rf"\b(SYS_)?({call}|{MADE_BY.get(call, call)})\b")
        if not any(words.search(texts[user]) or words.search(check) for user in users):
            missing.append(f"{call}: {' '.join(users)}")
    assert not missing


def test_partial_support_says_what_is_left_out() -> None:
    silent = [row.name for row in table.rows() if row.support == "partial" and not row.note]
    assert not silent
