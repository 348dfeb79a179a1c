"""elf(5), execve(2): odd program files give the running kernel's errno or its signal."""

import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentry.abi.errno import ENOEXEC, Errno
from sentry.loader import elf
from sentry.loader.auxv import Ids
from sentry.loader.plan import build_plan

CODE = bytes.fromhex("b83c000000bf2a0000000f05")        # exit(42)
BASE = 0x401000
Row = tuple[int, int, int, int, int, int, int, int]     # type flags offset vaddr paddr filesz memsz align
TEXT: Row = (1, 5, 4096, BASE, 0, len(CODE), len(CODE), 4096)
NOTHING: Row = (0, 0, 0, 0, 0, 0, 0, 0)


def program(
    *rows: Row, type: int = 2, machine: int = 62, phentsize: int = 56, phnum: int | None = None, phoff: int = 64,
    elf_class: int = 2, entry: int = BASE, interp: bytes = b"", magic: bytes = b"\x7fELF",
) -> bytes:
    if interp:
        rows = ((3, 4, 64 + 56 * (len(rows) + 1), 0, 0, len(interp), len(interp), 1), *rows)
    count = len(rows) if phnum is None else phnum
    head = magic + bytes((elf_class, 1, 1)) + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", type, machine, 1, entry, phoff, 0, 0, 64, phentsize, count, 0, 0, 0)
    head += b"".join(struct.pack("<IIQQQQQQ", *row) for row in rows) + interp
    return head.ljust(4096, b"\0") + CODE if len(head) <= 4096 else head


def text(**changes: int) -> Row:
    names = ("type", "flags", "offset", "vaddr", "paddr", "filesz", "memsz", "align")
    values = dict(zip(names, TEXT, strict=True)) | changes
    return tuple(values.values())  # type: ignore[return-value]


CASES: dict[str, bytes] = {
    "plain": program(TEXT), "movable": program(TEXT, type=3), "magic": program(TEXT, magic=b"\x7fELE"),
    "class 1": program(TEXT, elf_class=1), "i386": program(TEXT, machine=3), "relocatable": program(TEXT, type=1),
    "core": program(TEXT, type=4), "entry size": program(TEXT, phentsize=57), "no headers": program(TEXT, phnum=0),
    "headers behind the end": program(TEXT, phoff=1 << 20), "headers far away": program(TEXT, phoff=(1 << 64) - 1),
    "headers negative": program(TEXT, phoff=1 << 63), "short header": program(TEXT)[:50], "magic only": b"\x7fELF",
    "empty": b"", "72 headers": program(TEXT, *[NOTHING] * 70), "no load": program(NOTHING),
    "file larger than memory": program(text(memsz=11)), "misaligned": program(text(offset=4097)),
    "offset below": program(text(offset=0x10, vaddr=BASE + 0x20)), "low": program(text(vaddr=0x1000), entry=0x1000),
    "zero": program(text(vaddr=0), entry=0),
    "high": program(text(vaddr=0x7FFFFFFFF000)), "highest": program(text(vaddr=0xFFFFFFFFFFFFF000)),
    "memory wraps": program(text(memsz=(1 << 64) - 1)), "memory large": program(text(memsz=0x7FFFFFFFF000)),
    "align 3": program(text(align=3)), "align 3, movable": program(text(align=3), type=3),
    "align 2 MiB, movable": program(text(align=1 << 21), type=3), "align 0": program(text(align=0), type=3),
    "order": program(TEXT, text(vaddr=0x400000)), "order, movable": program(TEXT, text(vaddr=0x400000), type=3),
    "hole": program(TEXT, text(vaddr=0x801000), type=3), "overlap": program(TEXT, TEXT),
    "overlap, movable": program(TEXT, TEXT, type=3),
    "empty segment first": program(text(vaddr=0x400000, filesz=0, memsz=0), TEXT),
    "empty segment first, movable": program(text(vaddr=0x400000, filesz=0, memsz=0), TEXT, type=3),
    "only bss first": program(text(vaddr=0x400000, filesz=0, memsz=100), TEXT, type=3),
    "bss behind the file": program(text(flags=7, offset=8192, memsz=8192)),
    "bss of read-only text": program(text(memsz=8192)), "bss of writable text": program(text(flags=7, memsz=8192)),
    "not executable": program(text(flags=4)), "write only": program(text(flags=2)), "no access": program(text(flags=0)),
    "entry outside": program(TEXT, entry=BASE + 0x10000), "entry at 0": program(TEXT, entry=0),
    "no such interpreter": program(TEXT, interp=b"/nonexistent\0"),
    "open interpreter": program(TEXT, interp=b"/lib64/ld"),
    "one byte": program(TEXT, interp=b"\0"), "bytes behind the name": program(TEXT, interp=b"/nonexistent\0xxx\0"),
    "name too long": program(text(offset=0x3000), (3, 4, 64, 0, 0, 4097, 4097, 1)).ljust(0x3000, b"\0") + CODE,
    "name behind the end": program(TEXT, (3, 4, 1 << 20, 0, 0, 20, 20, 1)),
    "name far away": program(TEXT, (3, 4, (1 << 64) - 1, 0, 0, 20, 20, 1)),
    "second interpreter": program(TEXT, (3, 4, 1 << 20, 0, 0, 20, 20, 1), interp=b"/nonexistent\0"),
}
INTERPRETERS = {
    "plain": program(text(vaddr=0x601000), entry=0x601000), "movable": program(TEXT, type=3), "magic": b"x" * 4096,
    "short": program(TEXT)[:50], "i386": program(TEXT, machine=3), "entry size": program(TEXT, phentsize=3),
    "relocatable": program(TEXT, type=1), "no headers": program(TEXT, phnum=0), "no load": program(NOTHING, type=3),
    "its own interpreter": program(TEXT, type=3, interp=b"/nonexistent\0"),
}


@pytest.mark.parametrize("case", CASES)
def test_program(runner: Any, tmp_path: Path, case: str) -> None:
    compare(runner, written(tmp_path / "program", CASES[case]))


@pytest.mark.parametrize("case", INTERPRETERS)
@pytest.mark.parametrize("type", [2, 3])
def test_interpreter(runner: Any, tmp_path: Path, case: str, type: int) -> None:
    interp = written(tmp_path / "interp", INTERPRETERS[case])
    compare(runner, written(tmp_path / "program", program(text(vaddr=BASE), type=type, interp=interp.encode() + b"\0")))


def test_interpreter_on_top_of_the_program(runner: Any, tmp_path: Path) -> None:
    """Linux lets an interpreter with fixed addresses replace the program's pages; here nothing is replaced: SIGSEGV."""
    interp = written(tmp_path / "interp", program(TEXT))
    path = written(tmp_path / "program", program(TEXT, interp=interp.encode() + b"\0"))
    assert (runner.native(path).status, runner.loaded(path).status) == (42, -11)


def compare(runner: Any, path: str) -> None:
    try:
        expected = runner.native(path).status
    except OSError as error:
        expected = 100 + (error.errno or 0)
    assert runner.loaded(path).status == expected


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("count", "accepted"), [(1170, True), (1171, False)])
def test_number_of_headers(count: int, accepted: bool) -> None:
    content = program(text(offset=1 << 17), *[NOTHING] * (count - 1)).ljust(1 << 17, b"\0") + CODE
    if accepted:
        assert not elf.read_image(reader(content)).fault
    else:
        with pytest.raises(ENOEXEC):
            elf.read_image(reader(content))


def test_mutations_do_no_harm() -> None:
    """Whatever bytes: an errno or an image, from few and bounded reads, and a plan can be built from it."""
    seeded = random.Random(2)
    data, stack = text(flags=6, vaddr=0x402000, memsz=10000), (0x6474E551, 7, 0, 0, 0, 0, 0, 16)
    seed = program(TEXT, data, stack, type=3, interp=b"/i\0")
    edges = (0, 1, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 0x7FFFFFFFF000)
    kept = 0
    for _ in range(4000):
        content = bytearray(seed)
        for _ in range(seeded.randrange(1, 4)):
            at = seeded.randrange(16, 64 + 5 * 56)
            size = seeded.choice((1, 2, 4, 8))
            value = seeded.choice(edges) if seeded.random() < 0.7 else seeded.getrandbits(64)
            content[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        reads: list[int] = []
        for read in (elf.read_image, elf.read_interpreter):
            try:
                image = read(reader(bytes(content), reads))
            except Errno:
                continue
            kept += not image.fault
            for interp in (None, image):
                build_plan(
                    image, interp, execfn=b"/x", comm=b"x", ids=Ids(0, 0, 0, 0), program_fd=3, interp_fd=4,
                    aslr=lambda below: below - 1,
                )
        assert len(reads) < 30 and sum(reads) < 1 << 18
    assert kept > 1000


def reader(content: bytes, reads: list[int] | None = None) -> Callable[[int, int], bytes]:
    def pread(size: int, offset: int) -> bytes:
        assert 0 <= offset < 1 << 63 and size <= 65536
        if reads is not None:
            reads.append(size)
        return content[offset : offset + size]

    return pread


def test_own_parser_against_the_system(tmp_path: Path) -> None:
    """readelf(1) as the second opinion."""
    for path in ("/bin/ls", "/usr/bin/python3", "/lib64/ld-linux-x86-64.so.2"):
        if not os.path.exists(path):
            continue
        content = Path(path).read_bytes()
        image = elf.read_image(reader(content))
        shown = subprocess.run(["readelf", "-hlW", path], capture_output=True, text=True, check=True).stdout
        assert f"Entry point address:               {image.entry:#x}" in shown
        assert f"Number of program headers:         {image.phnum}" in shown
        assert (f"interpreter: {image.interp.decode()}]" in shown) if image.interp else "INTERP" not in shown
        loads = [line.split() for line in shown.splitlines() if line.strip().startswith("LOAD")]
        assert image.brk_end == max(int(row[2], 16) + int(row[5], 16) for row in loads)
