"""execve(2), "Interpreter scripts": the parser agrees with the running kernel."""

import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentry.abi.errno import ENOEXEC
from sentry.loader.script import HEAD_SIZE, Script, parse

SPECIAL = [
    b"#!", b"#!\n", b"#! \t\n", b"#!@", b"#!@\n", b"#! @ a\n", b"#!@ a b \t\n", b"#!@\ta", b"#!@ ", b"#!@ \n",
    b"#!@ a  ",
    b"#!\0@\n", b"#!@\0x y\n", b"#!@ a\0b\n", b"#!@ \0\n", b"#!@ a\0", b"#!@\r\n", b"# !@\n", b"#!@#\n", b"#!@ #!x\n",
    b"#!@" + b" " * 300, b"#!" + b" " * 300 + b"@\n", b"#!@ " + b"y" * 300, b"#!@ " + b"y" * 300 + b"\n",
    b"#!" + b"n" * 300,
    b"#!" + b" " * 252, b"#!" + b" " * 253, b"#!" + b" " * 254, b"#!" + b" " * 255, b"#!" + b" " * 253 + b"n\n",
]


@pytest.fixture(scope="module")
def interpreter(compiled: Callable[..., str]) -> Iterator[bytes]:
    folder = tempfile.mkdtemp(prefix="i", dir="/tmp")
    shutil.copy(compiled("args.c", "-static"), f"{folder}/i")
    yield f"{folder}/i".encode()
    shutil.rmtree(folder)


def heads(interpreter: bytes) -> Iterator[bytes]:
    yield from (head.replace(b"@", interpreter) for head in SPECIAL)
    for length in range(HEAD_SIZE - 4, HEAD_SIZE + 4):      # the line's end on both sides of the buffer's
        for end in (b"", b"\n", b" ", b" \n", b"\0", b"\t\ty\n"):
            for start in (b"#!" + interpreter + b" ", b"#!"):
                fill = length - len(start)
                yield start + b"a" * fill + end
                yield start + b" " * (fill - len(interpreter)) + interpreter + end
    seeded = random.Random(1)
    words = [b" ", b"\t", b"\0", b"\n", b"a", b" ", interpreter, b"x" * 100, b" " * 100]
    for _ in range(300):
        yield b"#!" + b"".join(seeded.choice(words) for _ in range(seeded.randrange(1, 8)))


def test_like_the_kernel(interpreter: bytes, tmp_path: Path) -> None:
    script = tmp_path / "script"
    name, outcomes = os.fsencode(script), set()
    for head in heads(interpreter):
        script.write_bytes(head)
        script.chmod(0o755)
        expected = native(name)
        try:
            found = parse(head)
        except ENOEXEC:
            assert expected == ENOEXEC.code, head
            outcomes.add("refused")
            continue
        if found.interp == interpreter:
            assert expected == [*found.prefix(name), b"one"], head
            outcomes.add("argument" if found.argument else "no argument")
        else:
            assert expected not in (0, ENOEXEC.code) and not isinstance(expected, list), (head, found)
            outcomes.add("other name")
    assert len(outcomes) == 4


def native(script: bytes) -> int | list[bytes]:
    try:
        out = subprocess.run([script, "one"], executable=script, capture_output=True, check=True).stdout
    except OSError as error:
        return error.errno or 0
    return out.split(b"\0")[:-1]


def test_nested() -> None:
    first = Script(b"/b", b"arg").prefix(b"/a")
    assert first == [b"/b", b"arg", b"/a"]
    assert Script(b"/c", None).prefix(b"/b", first) == [b"/c", b"/b", b"arg", b"/a"]
