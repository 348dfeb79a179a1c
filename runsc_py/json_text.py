"""JSON (RFC 8259) by the C half of the standard library's `json`: the Python half imports `re` and `enum`, which takes
6 ms, more than most commands need for all their work."""

from __future__ import annotations

from _json import encode_basestring_ascii, make_encoder, make_scanner

BLANKS = " \t\r\n"


class _Reading:
    """What json.JSONDecoder() would say of itself."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not for JSON")


_scan = make_scanner(_Reading)  # type: ignore[arg-type]  # any object with these attributes
_encode = make_encoder(None, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True)


def loads(text: bytes) -> object:
    """The value; ValueError for anything that is not one value in UTF-8, RecursionError if it is too deep."""
    shown = text.decode().strip(BLANKS)
    try:
        value, end = _scan(shown, 0)
    except (StopIteration, SystemError):  # the latter where `json.decoder`, which has the exception, is not loaded
        raise ValueError("not JSON")
    if end != len(shown):
        raise ValueError("more than one JSON value")
    found: object = value
    return found


def dumps(value: object) -> str:
    """On one line, in ASCII."""
    return "".join(_encode(value, 0))


def lines(document: dict[str, object]) -> str:
    """For people: an entry a line."""
    return "{\n" + ",\n".join(f"  {dumps(key)}: {dumps(value)}" for key, value in document.items()) + "\n}"
