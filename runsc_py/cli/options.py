"""Options as in Go's flag package and getopt_long(3): `--x v`, `--x=v`, `-x v`; a switch also `--x=false`.

argparse would cost more than all the rest of a command's start.
"""

from __future__ import annotations

from runsc_py.errors import Failure

SWITCH, VALUE = "switch", "value"
TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class Options:
    """The options that one command line gave; `rest` holds the other arguments."""

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        self.rest: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        return self.values[name][-1] if name in self.values else default

    def texts(self, name: str) -> list[str]:
        return self.values.get(name, [])

    def on(self, name: str) -> bool:
        return self.values.get(name, ["false"])[-1] in TRUE

    def number(self, name: str, default: int, low: int = 0, high: int = 1 << 30) -> int:
        text = self.text(name, str(default))
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise Failure(f"--{name}", f"{text!r} is not a number between {low} and {high}")
        return value


def parse(
    arguments: list[str], known: dict[str, str], aliases: dict[str, str], what: str, stop_at_first: bool = False
) -> Options:
    """`known` maps names to SWITCH or VALUE. With `stop_at_first`, options end at the first argument that is none."""
    found = Options()
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        index += 1
        if argument == "--":
            found.rest += arguments[index:]
            break
        if len(argument) < 2 or argument[0] != "-":
            found.rest.append(argument)
            if stop_at_first:
                found.rest += arguments[index:]
                break
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        name = aliases.get(name, name)
        kind = known.get(name)
        if kind is None:
            raise Failure(what, f"unknown option {argument.partition('=')[0]}", "`runsc-py help` lists the options")
        if kind == SWITCH:
            value = value if equals else "true"
            if value not in TRUE and value not in FALSE:
                raise Failure(f"--{name}", f"{value!r} is neither true nor false")
        elif not equals:
            if index == len(arguments):
                raise Failure(f"--{name}", "flag needs an argument")
            value = arguments[index]
            index += 1
        found.values.setdefault(name, []).append(value)
    return found


def one_id(options: Options, command: str) -> str:
    if len(options.rest) != 1:
        extra = f"unexpected argument {options.rest[1]!r}" if options.rest else "needs a container id"
        raise Failure(command, extra)
    return options.rest[0]
