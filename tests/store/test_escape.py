from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragkit.store.escape import escape, escape_controls, unescape

# Every code point, lone surrogates and the escape character itself with extra weight.
texts = st.text(st.one_of(st.characters(), st.characters(categories=["Cs"]), st.sampled_from("\ue000\uf000\ua000\x00'\\\x1e")))


@given(texts)
def test_every_string_survives_as_utf8(text: str) -> None:
    coded = escape(text)
    assert unescape(coded.encode("utf-8").decode("utf-8")) == text


@given(texts, texts)
def test_order_is_kept(one: str, other: str) -> None:
    assert (one < other) == (escape(one).encode() < escape(other).encode())
    assert (one < other) == (escape_controls(one).encode() < escape_controls(other).encode())


@given(texts)
def test_separators_are_free(text: str) -> None:
    assert not set(escape_controls(text)) & set(map(chr, range(0x20))) - {"\x01"}


def test_ordinary_text_stays_readable() -> None:
    for text in ("plain", "naïve café", "数据 🙂", "tab\tand\nbreaks"):
        assert escape(text) == text
