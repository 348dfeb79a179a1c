"""Typed access to a JSON document, with errors that name the place: `$.process.cwd: expected string`."""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, which takes longer to import than a command may run
if TYPE_CHECKING:
    from collections.abc import Iterator


class BadConfig(Exception):
    """A value has the wrong type or is missing; the text starts with its JSON path."""


class Reader:
    """One JSON object and its path. A member that is null counts as absent, as in Go's encoding/json."""

    __slots__ = ("_members", "path")

    def __init__(self, value: object, path: str = "$") -> None:
        if not isinstance(value, dict):
            raise BadConfig(f"{path}: expected object")
        self._members: dict[str, object] = value
        self.path = path

    def _wrong(self, key: str, wanted: str) -> BadConfig:
        absent = self._members.get(key) is None
        return BadConfig(f"{self.path}.{key}: " + (f"required ({wanted})" if absent else f"expected {wanted}"))

    def has(self, key: str) -> bool:
        return self._members.get(key) is not None

    def raw(self, key: str) -> object:
        return self._members.get(key)

    def text(self, key: str, default: str | None = None) -> str:
        value = self._members.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self._wrong(key, "string")
        if "\0" in value:
            raise BadConfig(f"{self.path}.{key}: NUL byte in string")
        return value

    def number(self, key: str, default: int | None = None, low: int = 0, high: int = (1 << 64) - 1) -> int:
        value = self._members.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong(key, "integer")
        if not low <= value <= high:
            raise BadConfig(f"{self.path}.{key}: {value} is not between {low} and {high}")
        return value

    def flag(self, key: str) -> bool:
        value = self._members.get(key)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self._wrong(key, "boolean")
        return value

    def child(self, key: str) -> Reader:
        """The member as an object; an absent one reads as empty."""
        value = self._members.get(key)
        return Reader({} if value is None else value, f"{self.path}.{key}")

    def texts(self, key: str) -> list[str]:
        values = self._list(key)
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise BadConfig(f"{self.path}.{key}[{index}]: expected string")
            if "\0" in value:
                raise BadConfig(f"{self.path}.{key}[{index}]: NUL byte in string")
        return [value for value in values if isinstance(value, str)]

    def numbers(self, key: str, high: int) -> list[int]:
        values = self._list(key)
        for index, value in enumerate(values):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= high:
                raise BadConfig(f"{self.path}.{key}[{index}]: expected integer between 0 and {high}")
        return [value for value in values if isinstance(value, int)]

    def objects(self, key: str) -> Iterator[Reader]:
        for index, value in enumerate(self._list(key)):
            yield Reader(value, f"{self.path}.{key}[{index}]")

    def text_map(self, key: str) -> dict[str, str]:
        members = self.child(key)
        return {name: members.text(name) for name in members._members}

    def _list(self, key: str) -> list[object]:
        value = self._members.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, "array")
        return value
