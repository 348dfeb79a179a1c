"""ps (runc(8)): the container's rows of this machine's ps(1), with the container's users in the first column."""

from __future__ import annotations

import json

from runsc_py.errors import Failure, failure_of
from runsc_py.sandbox.container import Container

from .options import VALUE, parse
from .settings import Settings

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SELECTING_LETTERS = frozenset("AaCdeGgNpqstTUurx")
SELECTING_WORDS = ("pid", "ppid", "user", "group", "sid", "tty", "deselect", "quick-pid")
USER_COLUMNS = ("UID", "USER", "EUID", "EUSER")


def main(settings: Settings, arguments: list[str]) -> int:
    options = parse(arguments, {"format": VALUE}, {"f": "format"}, "ps", stop_at_first=True)
    if not options.rest:
        raise Failure("ps", "needs a container id")
    style = options.text("format", "table")
    if style not in ("table", "json"):
        raise Failure("ps", f"--format {style!r} is neither table nor json")
    from runsc_py.sandbox.guests import guests

    container = Container.open(settings.root, options.rest[0])
    users = guests(container) if container.is_alive() else {}
    if style == "json":
        print(json.dumps(list(users)))
    else:
        print("\n".join(rows(listing(options.rest[1:] or ["-ef"]), users)))
    return 0


def listing(arguments: list[str]) -> list[str]:
    """Lines of ps(1). Where the arguments select nothing it would show our own user and terminal: then all."""
    import os
    import subprocess

    if not selects(arguments):
        arguments = [*arguments, "-e"]
    env = {**os.environ, "PATH": os.environ.get("PATH", PATH)}
    try:
        done = subprocess.run(["ps", *arguments], env=env, capture_output=True, check=False)
    except OSError as err:
        raise failure_of(err, "ps", "install procps")
    if done.returncode:
        raise Failure("ps", done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}")
    return done.stdout.decode(errors="surrogateescape").splitlines()


def selects(arguments: list[str]) -> bool:
    """Do options say which processes to show? Formats do not."""
    takes_format = False
    for argument in arguments:
        if takes_format:
            takes_format = False
        elif argument in ("-o", "-O", "o", "O", "--format"):
            takes_format = True
        elif argument.startswith("--"):
            if argument[2:].partition("=")[0].lower() in SELECTING_WORDS:
                return True
        elif SELECTING_LETTERS & set(argument.partition("o")[0]):
            return True
    return False


def rows(lines: list[str], users: dict[int, int]) -> list[str]:
    """The heading and the lines whose PID is among `users`."""
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Failure("ps", "no column PID in the output", "choose one, as in -o pid,comm")
    column = titles.index("PID")
    user_column = next((index for index in range(column) if titles[index] in USER_COLUMNS), -1)
    found = [lines[0]]
    for line in lines[1:]:
        fields = line.split(None, column + 1)
        if len(fields) > column and fields[column].isdecimal() and (pid := int(fields[column])) in users:
            found.append(_with_user(line, user_column, users[pid]) if user_column >= 0 else line)
    return found


def _with_user(line: str, column: int, uid: int) -> str:
    """`line` with another field, in the same place: a number to the right, a name to the left."""
    import re

    places = [match.span() for match in re.finditer(r"\S+", line)]
    start, end = places[column]
    if line[start:end].isdecimal():
        before = places[column - 1][1] if column else 0
        return line[:before] + str(uid).rjust(end - before) + line[end:]
    after = places[column + 1][0]
    return f"{line[:start]}{_name(uid).ljust(after - start - 1)} {line[after:]}"


def _name(uid: int) -> str:
    import pwd

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if len(name) <= 8 else f"{name[:7]}+"
