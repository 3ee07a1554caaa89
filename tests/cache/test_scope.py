"""Scopes: no two requests that differ in one field share a digest."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cache import Scope, required
from ragkit.errors import InvalidInputError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ["system", "history", "tools", "response_format", "sampling", "access", "documents", "extra"]


def value(random: random.Random) -> Any:
    """A value of the kinds that requests carry, small enough that near collisions happen."""
    kind = random.randrange(8)
    if kind == 0:
        return "".join(random.choices('ab"\\{}[],: \n\u00e9\ud800', k=random.randrange(5)))
    if kind == 1:
        return random.choice([0, 1, -1, 10, True, False, None, 0.0, 1.0, 0.1, 1e300])
    if kind in (2, 3):
        return [value(random) for _ in range(random.randrange(3))]
    if kind in (4, 5):
        return {random.choice(["a", "b", "", "1"]): value(random) for _ in range(random.randrange(3))}
    return random.choice(["", "a", "null", "1", "true", "[]", "{}", "user", "system"])


def test_ten_thousand_requests_that_differ_in_one_field_never_cross():
    source, checked = random.Random(7), 0
    for _ in range(1700):
        base: dict[str, Any] = {"tenant": "t" + str(source.randrange(5)), "model": "m", "system": str(value(source))}
        base |= {name: value(source) for name in FIELDS[2:]} | {"history": [value(source) for _ in range(source.randrange(3))]}
        first = Scope(**base)
        assert first.digest == Scope(**base).digest
        for name in source.sample(["tenant", "model", *FIELDS], 8):
            other: Any = value(source)
            if name == "history":
                other = [*base["history"], other] if source.random() < 0.5 else [other]
            elif name in ("tenant", "model", "system"):
                other = str(base[name]) + source.choice(["", " ", "a", "\u200b"])
            if type(other) is type(base[name]) and repr(other) == repr(base[name]):
                continue
            second = Scope(**(base | {name: other}))
            checked += 1
            assert first.digest != second.digest, (name, base[name], other)
            assert first != second
    assert checked >= 10_000


@given(JSON, JSON)
def test_moving_text_between_fields_changes_the_digest(one: Any, other: Any):
    left = Scope("t", "m", tools=one, extra=other)
    if repr(one) != repr(other):
        assert left.digest != Scope("t", "m", tools=other, extra=one).digest
    assert left.digest != Scope("t", "m", history=[one, other], tools=one, extra=other).digest
    assert Scope("t", "m", history=[[one], other]).digest != Scope("t", "m", history=[one, [other]]).digest


def test_order_of_keys_does_not_matter_and_order_of_turns_does():
    assert Scope("t", "m", sampling={"a": 1, "b": 2}) == Scope("t", "m", sampling={"b": 2, "a": 1})
    assert Scope("t", "m", history=("a", "b")) != Scope("t", "m", history=("b", "a"))
    assert Scope("t", "m", access={"x", "y"}) == Scope("t", "m", access={"y", "x"})
    assert len({Scope("t", "m"), Scope("t", "m"), Scope("t", "n")}) == 2


def test_a_value_changed_later_does_not_change_the_scope():
    turns = [{"role": "user", "content": "hi"}]
    scope = Scope("t", "m", history=turns)
    before = scope.digest
    turns[0]["content"] = "bye"
    assert scope.digest == before == Scope("t", "m", history=[{"role": "user", "content": "hi"}]).digest


def test_a_secret_changes_the_digest():
    scope = Scope("t", "m")
    assert len({scope.digest, scope.keyed(b"a"), scope.keyed(b"b")}) == 3
    with pytest.raises(InvalidInputError, match="at most 64"):
        scope.keyed(b"x" * 65)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": ""}, {"model": ""}, {"tenant": None}, {"history": "a turn"}, {"sampling": {"temperature": float("nan")}},
        {"extra": {1: "a"}}, {"extra": object()}, {"system": 3},
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_an_error(wrong: dict[str, Any]):
    with pytest.raises(InvalidInputError):
        Scope(**({"tenant": "t", "model": "m"} | wrong))


def test_no_scope_is_an_error():
    with pytest.raises(InvalidInputError, match="Scope"):
        required(None)
    assert required(Scope("t", "m")) == Scope("t", "m")
