"""JSON of the command line against the standard library's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runsc_py import json_text

PROJECT = Path(__file__).resolve().parents[3]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_as_the_library(value: Any) -> None:
    text = json_text.dumps(value)
    assert text == json.dumps(value)
    assert json_text.loads(f" {text}\n".encode()) == json.loads(text)


@given(st.dictionaries(st.text(), VALUES))
def test_lines(value: dict[str, Any]) -> None:
    assert json.loads(json_text.lines(value)) == value


@pytest.mark.parametrize("text", [b"", b" ", b"{", b"1 2", b"[1,]", b"nul", b"\xff", b'{"a" 1}', b'"\n"'])
def test_what_is_none(text: bytes) -> None:
    with pytest.raises(ValueError):
        json_text.loads(text)


def test_what_is_none_for_a_command_without_the_library() -> None:
    program = (
        f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\nfrom runsc_py import json_text\n"
        "assert 'json' not in sys.modules\n"
        "for text in (b'{', b'[1,]', b'nul', b'{\"a\" 1}'):\n"
        "    try:\n        json_text.loads(text)\n    except ValueError:\n        print('none')"
    )
    argv = [sys.executable, "-IS", "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["none"] * 4


def test_too_deep() -> None:
    with pytest.raises(RecursionError):
        json_text.loads(b"[" * 1_000_000)


def test_what_is_not_for_it() -> None:
    with pytest.raises(TypeError):
        json_text.dumps({"a": b"bytes"})
