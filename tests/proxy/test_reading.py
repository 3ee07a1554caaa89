"""JSON from outside: what the standard allows, and nothing that cannot be written again."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.proxy.reading import read_json
from ragkit.types import canonical_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_json_comes_in_and_can_be_written_again(value: object) -> None:
    read = read_json(json.dumps(value).encode())
    assert read == value
    canonical_json(read)


@pytest.mark.parametrize("data", [b"", b"{", b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"[1e999]", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_none(data: bytes) -> None:
    assert read_json(data) is None
