"""The conformance suite finds what is planted: each law must bite, and nothing else may."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from ragkit import Document
from ragkit.chunk import FixedChunker
from ragkit.errors import InvalidInputError
from ragkit.testing.conformance import LAWS, Piece, check_chunker, check_text
from ragkit.testing.laws import check_chunks
from ragkit.testing.texts import pathological
from ragkit.text import resolve_tokenizer

WORDS = resolve_tokenizer("words").count_batch
CHARACTERS = resolve_tokenizer("characters").count_batch
LIMIT = 50
PROSE = "The River ran.  It was Cold,\r\nand nobody came. " * 12


def spans(text: str, *, step: int = LIMIT, shared: int = 0) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(text):
        yield at, min(at + step, len(text))
        if at + step >= len(text):
            return
        at += step - shared


def good(text: str, *, shared: int = 0) -> list[Piece]:
    return [Piece(text[a:b], a, b, b - a) for a, b in spans(text, shared=shared)]


def stuck(text: str) -> Iterable[str]:
    yield text[:10]
    raise ValueError(f"cannot cut {text[:3]!r}")


class Panic(BaseException):
    """Like the panics of Rust extensions: no Exception."""


def panic(text: str) -> list[str]:
    raise Panic("index out of bounds")


PLANTED: dict[str, tuple[Callable[[str], Iterable[Any]], set[str]]] = {
    "nothing, told as spans": (spans, set()),
    "nothing, told as strings": (lambda text: [text[a:b] for a, b in spans(text)], set()),
    "nothing, told in full": (good, set()),
    "strips": (lambda text: [text[a:b].strip() for a, b in spans(text)], {"blanks"}),
    "strips, offsets of the stripped": (
        lambda text: [(text[a:b].strip(), a + len(text[a:b]) - len(text[a:b].lstrip()), a + len(text[a:b].rstrip())) for a, b in spans(text)],
        {"blanks"},
    ),
    "lower-cases": (lambda text: [text[a:b].lower() for a, b in spans(text)], {"content"}),
    "lower-cases, with offsets": (lambda text: [(text[a:b].lower(), a, b) for a, b in spans(text)], {"content", "offsets"}),
    "over the limit": (lambda text: spans(text, step=LIMIT + 1), {"limit"}),
    "offsets off by one": (lambda text: [(text[a:b], a + 1, b + 1) for a, b in spans(text)], {"offsets"}),
    "offsets not found, as -1": (lambda text: [(text[a:b], -1, b - a - 1) for a, b in spans(text)], {"offsets"}),
    "offsets of the first copy": (lambda text: [(text[a:b], text.find(text[a:b]), text.find(text[a:b]) + b - a) for a, b in spans(text, step=48)], {"offsets"}),
    "raises half way": (stuck, {"answers"}),
    "panics": (panic, {"answers"}),
    "loses the tail": (lambda text: list(spans(text))[:-1], {"content"}),
    "loses a middle piece": (lambda text: [piece for at, piece in enumerate(spans(text)) if at != 2], {"content"}),
    "says a piece twice": (lambda text: [(0, LIMIT), *spans(text)], {"content"}),
    "swaps two pieces": (lambda text: [(a := list(spans(text)))[1], a[0], *a[2:]], {"content"}),
    "returns nothing": (lambda text: [], {"content"}),
    "counts wrong": (lambda text: [Piece(p.text, p.start, p.end, p.n_tokens + 1) for p in good(text)], {"counts"}),
}  # fmt: skip


@pytest.mark.parametrize("planted", PLANTED)
def test_each_law_bites_alone(planted: str) -> None:
    chunk, broken = PLANTED[planted]
    report = check_text(chunk, CHARACTERS, name=planted, text=PROSE, limit=LIMIT)
    assert set(report.broken) == broken, report


def test_every_law_is_planted_against() -> None:
    assert set().union(*(broken for _, broken in PLANTED.values())) == set(LAWS)


@pytest.mark.parametrize(
    ("chunk", "broken"),
    [
        (lambda text: good(text, shared=10), set()),
        (lambda text: [piece.text for piece in good(text, shared=10)], set()),
        (lambda text: [piece.text.replace(" ", "") for piece in good(text, shared=10)], {"blanks"}),
        (lambda text: [piece.text.upper() for piece in good(text, shared=10)], {"content"}),
        (lambda text: good(text, shared=10)[:-1], {"content"}),
        (lambda text: [piece.text for piece in good(text, shared=10)[:-1]], {"content"}),
        (lambda text: [Piece(p.text, p.start + 1, p.end + 1) for p in good(text, shared=10)], {"offsets"}),
        (lambda text: [p for at, p in enumerate(good(text, shared=10)) if at != 3], {"content"}),
    ],
)
def test_laws_with_overlap(chunk: Callable[[str], Iterable[Any]], broken: set[str]) -> None:
    text = " ".join(f"word{n} and Éric {n * n}," for n in range(60))
    report = check_text(chunk, CHARACTERS, name="overlap", text=text, limit=LIMIT, overlap=10)
    assert set(report.broken) == broken, report


@pytest.mark.parametrize("name", ["thai", "vietnamese decomposed", "one sentence repeated", "one letter", "emoji"])
def test_overlap_in_text_that_repeats_itself(name: str) -> None:
    """A piece that occurs at many places is no fault."""
    text = pathological(3_000)[name]
    for chunk in (lambda t: good(t, shared=20), lambda t: [p.text for p in good(t, shared=20)]):
        assert check_text(chunk, CHARACTERS, name=name, text=text, limit=LIMIT, overlap=20).broken == ()


def test_offsets_of_another_copy_with_overlap() -> None:
    text = "The cat sat. " * 100

    def first_copies(text: str) -> list[Piece]:
        return [Piece(p.text, text.find(p.text), text.find(p.text) + len(p.text)) for p in good(text, shared=10)]

    assert check_text(first_copies, CHARACTERS, name="copies", text=text, limit=LIMIT, overlap=10).broken == ("offsets",)


def test_a_blank_text_may_have_no_pieces_or_some() -> None:
    for chunk in (lambda text: [], lambda text: [text], lambda text: list(spans(text))):
        for text in ("", " \n\u3000"):
            assert check_text(chunk, CHARACTERS, name="blank", text=text, limit=LIMIT).broken == ()


def test_what_is_not_told_is_not_held_against_it() -> None:
    report = check_text(lambda text: [text[a:b] for a, b in spans(text)], CHARACTERS, name="plain", text=PROSE, limit=LIMIT)
    assert (report.wrong_offsets, report.wrong_counts, report.cut_graphemes) == (None, None, None)


def test_cut_graphemes_are_told_and_break_nothing() -> None:
    report = check_text(lambda text: [(0, 3), (3, len(text))], CHARACTERS, name="family", text="ab👨‍👩‍👧‍👦cd", limit=LIMIT)
    assert (report.cut_graphemes, report.broken) == (1, ())


def test_figures_say_how_bad() -> None:
    report = check_text(lambda text: [text], CHARACTERS, name="whole", text=PROSE, limit=LIMIT)
    assert (report.pieces, report.over_limit, report.largest) == (1, 1, len(PROSE))
    assert check_text(stuck, CHARACTERS, name="stuck", text=PROSE, limit=LIMIT).error == "ValueError: cannot cut 'The'"
    assert len(str(check_text(stuck, CHARACTERS, name="stuck", text="\ud800" * 9, limit=LIMIT).error)) <= 200


def test_all_texts_and_the_sum_of_them() -> None:
    chunker = FixedChunker(LIMIT, tokenizer="words", reserve=0)
    ours = check_chunker(lambda text: chunker(Document(text)), WORDS, limit=LIMIT)
    assert (ours.clean, len(ours.texts)) == (len(pathological()), len(pathological()))
    bad = check_chunker(str.splitlines, WORDS, limit=LIMIT, texts={"prose": PROSE, "word": "one", "none": ""})
    assert (bad.clean, bad.broken["blanks"], bad.broken["limit"]) == (2, 1, 0)
    told = json.loads(json.dumps(bad.to_dict()))
    assert (told["clean"], told["of"], told["texts"][0]["broken"]) == (2, 3, ["blanks"])


@pytest.mark.parametrize("piece", [None, 7, b"bytes", (1,), ("a", 1), ("a", None, 2)])
def test_what_is_no_piece_is_the_callers_error(piece: object) -> None:
    with pytest.raises(InvalidInputError, match="Wrap the chunker"):
        check_chunker(lambda text: [piece], CHARACTERS, limit=LIMIT)


def test_an_interrupt_is_not_a_finding() -> None:
    def interrupted(text: str) -> list[str]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_text(interrupted, CHARACTERS, name="stop", text=PROSE, limit=LIMIT)


def test_check_chunks_finds_what_is_changed_in_our_own_chunks() -> None:
    from dataclasses import replace

    document = Document("Word after word, one e\u0301 and on. " * 20, id="d")
    chunks = FixedChunker(20, tokenizer="words", reserve=0)(document)

    def broken(*changed: Any, limit: int = 20, overlap: int = 0) -> str:
        return "; ".join(check_chunks(document, changed, WORDS, limit=limit, overlap=overlap))

    assert broken(*chunks) == ""
    assert "is not the slice" in broken(replace(chunks[0], text=chunks[0].text.upper()), *chunks[1:])
    assert "tokens, limit 19" in broken(*chunks, limit=19)
    assert "n_tokens says 3" in broken(replace(chunks[0], n_tokens=3), *chunks[1:])
    assert "are in no chunk" in broken(*chunks[:-1])
    assert "are in no chunk" in broken(*chunks[:1], *chunks[2:])
    assert "share an id" in broken(chunks[0], replace(chunks[1], id=chunks[0].id), *chunks[2:])
    assert "index is 1" in broken(chunks[1], chunks[0], *chunks[2:])
    assert "repeated without overlap" in broken(chunks[0], *chunks)
    assert "no chunks" in broken()
    at = document.text.index("\u0301")
    halves = [(0, at), (at, len(document.text))]
    cut = [
        replace(chunks[n], start=a, end=b, text=document.text[a:b], index=n, n_tokens=WORDS([document.text[a:b]])[0])
        for n, (a, b) in enumerate(halves)
    ]
    assert "grapheme cluster" in broken(*cut, limit=1_000)
