"""elf(5), as execve(2) reads it: the headers of a 64-bit x86 program or interpreter.

`read_image` is pure: bytes in through `pread`, an `Image` out that may be kept as long as the file does not change.
What Linux refuses with an error is raised; what Linux finds only when the old program is already gone, and answers by
SIGSEGV, is an Image with `fault` set.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from sentry.abi.const.memory import PROT_EXEC, PROT_READ, PROT_WRITE
from sentry.abi.errno import EINVAL, EIO, ELIBBAD, ENOEXEC
from sentry.loader.steps import PAGE, Load, fixed_steps, movable_steps, span

TASK_SIZE = 0x7FFFFFFFF000
PATH_MAX = 4096
MAX_HEADERS_SIZE = 65536
ET_EXEC, ET_DYN = 2, 3
EM_X86_64 = 62
PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551
PF_X, PF_W, PF_R = 1, 2, 4

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIQQQQQQ")

Pread = Callable[[int, int], bytes]         # (size, offset); shorter at the end of the file


class Image(NamedTuple):
    """What execve(2) needs of a program file; addresses are the file's own, without the base."""

    movable: bool               # ET_DYN
    fault: bool                 # loading it ends in SIGSEGV
    entry: int
    phdr_vaddr: int             # the program headers in memory, 0 if no segment holds them
    phnum: int
    interp: bytes | None        # PT_INTERP
    stack_exec: bool
    align: int                  # what the base must be a multiple of; at least a page
    low: int                    # the pages [low, high) hold the whole image
    high: int
    brk_end: int                # end of the bss
    start_code: int
    end_code: int
    start_data: int
    end_data: int
    steps: bytes                # packed; see steps.py


class _Header(NamedTuple):
    ident: bytes
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    ehsize: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class _Segment(NamedTuple):
    type: int
    flags: int
    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int
    align: int


def is_elf(head: bytes) -> bool:
    return head.startswith(b"\x7fELF")


def read_image(pread: Pread, head: bytes = b"") -> Image:
    """A program: ENOEXEC if it is none. `head` is the beginning of the file, if a page or more was already read."""
    if len(head) < PAGE:
        head = pread(PAGE, 0)
    header = _Header._make(_HEADER.unpack(head[: _HEADER.size].ljust(_HEADER.size, b"\0")))
    if not _acceptable(header) or header.type not in (ET_EXEC, ET_DYN):
        raise ENOEXEC
    segments = _segments(header, head, pread)
    if segments is None:
        raise ENOEXEC
    return _image(header, segments, _interp(segments, head, pread), pread)


def read_interpreter(pread: Pread) -> Image:
    """A program's interpreter: ELIBBAD if it is none, EIO if it is too short to have a header."""
    head = pread(PAGE, 0)
    if len(head) < _HEADER.size:
        raise EIO
    header = _Header._make(_HEADER.unpack_from(head))
    segments = _segments(header, head, pread) if _acceptable(header) else None
    if segments is None:
        raise ELIBBAD
    return _image(header, segments, None, pread)


def _acceptable(header: _Header) -> bool:
    """Linux looks at the magic number and the machine; neither at the class nor at the byte order."""
    return is_elf(header.ident) and header.machine == EM_X86_64


def _segments(header: _Header, head: bytes, pread: Pread) -> list[_Segment] | None:
    size = header.phnum * _PROGRAM_HEADER.size
    if header.phentsize != _PROGRAM_HEADER.size or not 0 < size <= MAX_HEADERS_SIZE:
        return None
    table = _read(head, pread, size, header.phoff)
    return None if len(table) != size else [_Segment._make(row) for row in _PROGRAM_HEADER.iter_unpack(table)]


def _interp(segments: list[_Segment], head: bytes, pread: Pread) -> bytes | None:
    """The first PT_INTERP counts, whatever follows."""
    segment = next((s for s in segments if s.type == PT_INTERP), None)
    if segment is None:
        return None
    if not 2 <= segment.filesz <= PATH_MAX:
        raise ENOEXEC
    if segment.offset >= 1 << 63:
        raise EINVAL
    name = _read(head, pread, segment.filesz, segment.offset)
    if len(name) != segment.filesz:
        raise EIO
    if name[-1]:
        raise ENOEXEC
    return name.partition(b"\0")[0]


def _read(head: bytes, pread: Pread, size: int, offset: int) -> bytes:
    if offset + size <= len(head):
        return head[offset : offset + size]
    return b"" if offset + size >= 1 << 63 else pread(size, offset)


def _image(header: _Header, segments: list[_Segment], interp: bytes | None, pread: Pread) -> Image:
    movable = header.type == ET_DYN
    stack = [s for s in segments if s.type == PT_GNU_STACK]
    present = [s for s in segments if s.type == PT_LOAD]
    fault = header.type not in (ET_EXEC, ET_DYN) or not all(_sane(s) for s in present)
    loads = [] if fault else [
        Load(s.vaddr, s.offset, s.filesz, s.memsz, _prot(s.flags)) for s in present if s.memsz
    ]
    align = max((s.align for s in present if _power_of_two(s.align)), default=PAGE) if movable else PAGE
    fault = fault or not loads or align > TASK_SIZE or not all(_clearable(load, pread) for load in loads)
    low, high = (0, 0) if fault else span(loads)
    code = [s for s in present if s.flags & PF_X and s.filesz]
    return Image(
        movable=movable,
        fault=fault,
        entry=header.entry,
        phdr_vaddr=_phdr_vaddr(header, present),
        phnum=header.phnum,
        interp=interp,
        stack_exec=bool(stack and stack[-1].flags & PF_X),
        align=max(align, PAGE),
        low=low,
        high=high,
        brk_end=max((s.vaddr + s.memsz for s in present), default=0),
        start_code=min((s.vaddr for s in code), default=low),
        end_code=max((s.vaddr + s.filesz for s in code), default=low + 1),
        start_data=max((s.vaddr for s in present), default=low),
        end_data=max((s.vaddr + s.filesz for s in present), default=low),
        steps=b"" if fault else movable_steps(loads) if movable else fixed_steps(loads),
    )


def _sane(s: _Segment) -> bool:
    """Within the address space, and the file's pages where memory's are."""
    inside = s.filesz <= s.memsz <= TASK_SIZE and s.vaddr <= TASK_SIZE - s.memsz
    congruent = not s.filesz or ((s.offset - s.vaddr) % PAGE == 0 and s.vaddr % PAGE <= s.offset < 1 << 62)
    return inside and congruent


def _clearable(load: Load, pread: Pread) -> bool:
    """The page that is cleared behind the data must be in the file."""
    last = load.offset + load.filesz
    cleared = load.filesz and load.memsz > load.filesz and load.prot & PROT_WRITE and last % PAGE
    return not cleared or bool(pread(1, last & -PAGE))


def _prot(flags: int) -> int:
    return (PROT_READ if flags & PF_R else 0) | (PROT_WRITE if flags & PF_W else 0) | (PROT_EXEC if flags & PF_X else 0)


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def _phdr_vaddr(header: _Header, present: list[_Segment]) -> int:
    holder = next((s for s in present if s.offset <= header.phoff < s.offset + s.filesz), None)
    return 0 if holder is None else header.phoff - holder.offset + holder.vaddr
