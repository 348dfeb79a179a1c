"""execve(2), "Interpreter scripts": the `#!` line."""

from typing import NamedTuple

from sentry.abi.errno import ENOEXEC

HEAD_SIZE = 256                 # what Linux looks at of any file it executes
MAX_DEPTH = 5                   # interpreters that are scripts themselves; the next one is ELOOP
_BLANK = b" \t"


class Script(NamedTuple):
    """A `#!` line: the interpreter's path as written, and everything after it as one optional argument."""

    interp: bytes
    argument: bytes | None

    def prefix(self, path: bytes, earlier: list[bytes] | None = None) -> list[bytes]:
        """What replaces argv[0] when the script at `path` is executed.

        `earlier` is the prefix so far when this script is itself the interpreter of another one: its first string,
        the name of this script, is then replaced by what this line adds (path is that name).
        """
        words = [self.interp] if self.argument is None else [self.interp, self.argument]
        return [*words, path, *(earlier[1:] if earlier else ())]


def is_script(head: bytes) -> bool:
    return head.startswith(b"#!")


def parse(head: bytes) -> Script:
    """The `#!` line in the first HEAD_SIZE bytes of a file; ENOEXEC when it names no interpreter.

    Linux reads into a zeroed buffer, so a short file ends in NULs, which end a word like a blank. A line that does not
    end within the buffer is accepted only if the interpreter's name visibly ends there; its argument is cut.
    """
    if not is_script(head):
        raise ENOEXEC
    buffer = head[:HEAD_SIZE].ljust(HEAD_SIZE, b"\0")
    end, nul = buffer.find(b"\n"), buffer.find(b"\0")
    if end < 0 or 0 <= nul < end:
        rest = buffer[2:].lstrip(_BLANK)
        if not any(byte in rest for byte in b" \t\0"):
            raise ENOEXEC
        end = HEAD_SIZE - 1
    text = buffer[2:end].strip(_BLANK)
    if not text:
        raise ENOEXEC
    stop = next((at for at, byte in enumerate(text) if byte in b" \t\0"), len(text))
    if text[stop : stop + 1] in (b"", b"\0"):
        return Script(text[:stop], None)
    return Script(text[:stop], text[stop:].lstrip(_BLANK).partition(b"\0")[0])
