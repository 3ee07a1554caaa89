"""Tables: rows whole, the header as context, its tokens counted; CSV, TSV, Markdown and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit import Document, Index
from ragkit.chunk import AutoChunker, HtmlChunker, MarkdownChunker, TableChunker
from ragkit.errors import InvalidInputError
from ragkit.load import load_file
from ragkit.testing.embedders import HashEmbedder
from ragkit.testing.laws import check_chunks
from ragkit.text import resolve_tokenizer

WORDS = resolve_tokenizer("words")
ROWS = [["id", "name", "notes"], *([str(at), f"Part {at}", f'line one\nline "two", of {at}'] for at in range(12))]


def written(rows: list[list[str]], **options: Any) -> str:
    out = io.StringIO()
    csv.writer(out, **options).writerows(rows)
    return out.getvalue()


def chunks_of(text: str, limit: int = 40, chunker: Any = TableChunker, **options: Any) -> list:
    document = Document(text, metadata=options.pop("metadata", {}))
    chunks = chunker(limit, tokenizer="words", reserve=0, **options)(document)
    assert check_chunks(document, chunks, WORDS.count_batch, limit=limit, overlap=options.get("overlap", 0)) == []
    return chunks


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_rows_stay_whole_and_the_header_is_context(delimiter: str, end: str) -> None:
    text = written(ROWS, delimiter=delimiter, lineterminator=end)
    chunks = chunks_of(text)
    parsed = [row for chunk in chunks for row in csv.reader(io.StringIO(chunk.text, newline=""), delimiter=delimiter)]
    assert parsed == ROWS
    assert len(chunks) > 3
    assert [chunk.context for chunk in chunks] == ["", *[delimiter.join(ROWS[0])] * (len(chunks) - 1)]


def test_the_header_counts_against_the_limit() -> None:
    text = "a,b\n" + "one,two\n" * 30
    for chunk in chunks_of(text, 15):
        assert WORDS.count_batch([chunk.context + "\n" + chunk.text])[0] <= 15
    with_header, without = chunks_of(text, 15), chunks_of(text, 15, header=False)
    assert len(with_header) > len(without)
    assert {chunk.context for chunk in without} == {""}


def test_a_header_that_would_fill_the_chunk_is_left_out() -> None:
    text = "a,b,c,d,e,f\n" + "1,2,3,4,5,6\n" * 5
    assert {chunk.context for chunk in chunks_of(text, 20)} == {""}
    assert {chunk.context for chunk in chunks_of(text, 22)[1:]} == {"a,b,c,d,e,f"}


@given(
    rows=st.lists(st.lists(st.text('ab, ;"\n\r\t', max_size=8), min_size=2, max_size=3), min_size=1, max_size=20),
    limit=st.integers(8, 40),
    overlap=st.integers(0, 6),
)
def test_laws_of_any_table(rows: list[list[str]], limit: int, overlap: int) -> None:
    chunks_of(written(rows), limit, overlap=overlap, delimiter=",")


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n"never closed,1\n' + "1,2\n" * 60,
        "a,b\n" + 'x"y,1\n' * 40,
        "\n\n\na,b\n\n1,2\n",
        "only one line",
        '"',
        '""',
        ",",
        "a,b\r",
    ],
)
def test_broken_tables_are_chunked_all_the_same(text: str) -> None:
    assert "".join(chunk.text for chunk in chunks_of(text, 12)) == text


def test_a_quote_that_nothing_closes_does_not_swallow_a_large_table() -> None:
    text = 'a,b\n"open,1\n' + "some,words\n" * 20_000
    chunks = chunks_of(text, 100)
    assert sum(chunk.text.endswith("\n") for chunk in chunks) == len(chunks)


def test_the_delimiter_is_found_given_or_told_by_the_type() -> None:
    commas_inside = "name;price\n" + "".join(f"part {at};{at},50\n" for at in range(40))
    assert chunks_of(commas_inside, 30)[1].context == "name;price"
    assert chunks_of("a b\n" * 20, 8, delimiter=" ", header=False)
    tabs = "a,x\tb,y\n" + "1,2\t3,4\n" * 20
    assert chunks_of(tabs, 40, metadata={"media_type": "text/tab-separated-values"})[1].context == "a,x\tb,y"


@pytest.mark.parametrize(
    "settings", [{"delimiter": ""}, {"delimiter": ", "}, {"delimiter": '"'}, {"delimiter": 5}, {"header": 1}]
)
def test_settings_that_cannot_be(settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"is .*; it must be"):
        TableChunker(**settings)


@pytest.mark.parametrize(("name", "delimiter"), [("parts.csv", ";"), ("parts.tsv", "\t")])
def test_loaded_tables_get_the_table_chunker(tmp_path: Path, name: str, delimiter: str) -> None:
    (tmp_path / name).write_text(written(ROWS, delimiter=delimiter), encoding="utf-8", newline="")
    document = load_file(tmp_path / name)
    chunks = AutoChunker(40, tokenizer="words")(document)
    assert [c.text for c in chunks] == [c.text for c in TableChunker(40, tokenizer="words")(document)]
    assert {chunk.context for chunk in chunks[1:]} == {delimiter.join(ROWS[0])}


def test_the_header_is_found_by_words_and_kept_in_the_index(tmp_path: Path) -> None:
    text = "city,inhabitants\n" + "".join(f"Town{at},{at * 1000}\n" for at in range(40))
    with Index(tmp_path / "kb.lance", chunker=TableChunker(30, tokenizer="words"), embedder=HashEmbedder()) as index:
        index.add(Document(text, id="towns"))
        hits = index.search("inhabitants Town33", k=1)
        assert "Town33" in hits[0].chunk.text
        assert hits[0].chunk.context == "city,inhabitants"
        assert "inhabitants" not in hits[0].chunk.text


TABLE = "| name | value |\n|------|------:|\n" + "".join(f"| part {at} | {at * at} |\n" for at in range(30))


def test_markdown_tables_are_cut_between_rows_under_their_header() -> None:
    text = f"# Parts\n\nSome words before the table.\n\n{TABLE}\nAnd words after it, in a paragraph of their own.\n"
    chunks = chunks_of(text, 40, MarkdownChunker)
    inside = [chunk for chunk in chunks if chunk.text.startswith("| part")]
    assert len(inside) > 5
    assert {chunk.context for chunk in inside} == {"| name | value |"}
    assert all(line.startswith("|") == line.endswith("|") for chunk in chunks for line in chunk.text.strip().splitlines())
    assert all(chunk.context == "" for chunk in chunks if "name | value" in chunk.text or chunk.text.startswith("#"))
    assert all(chunk.metadata["headings"] == ["Parts"] for chunk in inside)


def test_a_markdown_table_that_fits_stays_whole_without_context() -> None:
    small = "".join(TABLE.splitlines(keepends=True)[:5])
    chunks = chunks_of("Words before. " * 20 + f"\n\n{small}\n" + "Words after. " * 20, 60, MarkdownChunker)
    assert sum(small in chunk.text for chunk in chunks) == 1
    assert {chunk.context for chunk in chunks} == {""}


def test_text_after_a_markdown_table_has_no_header() -> None:
    chunks = chunks_of(f"{TABLE}\n" + "Words after the table. " * 60, 40, MarkdownChunker)
    assert {chunk.context for chunk in chunks if chunk.text.lstrip().startswith("Words")} == {""}


def row(cells: list[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>\n"


@pytest.mark.parametrize("head", [row(["Name", "Big\n town"], "th"), f"<thead>{row(['Name', 'Big <b>town</b>'])}</thead><tbody>"])
def test_html_tables_are_cut_between_rows_under_their_header(head: str) -> None:
    body = "".join(row([f"part {at}", "Berlin"]) for at in range(12))
    chunks = chunks_of(
        f"<p>Words before.</p><table>\n{head}{body}</table>\n<p>Words after it.</p>" + "<p>More words.</p>" * 20, 70, HtmlChunker
    )
    inside = [chunk for chunk in chunks if chunk.text.lstrip().startswith("<tr><td>part")]
    assert len(inside) > 2
    assert {chunk.context for chunk in inside} == {"Name | Big town"}
    assert {chunk.context for chunk in chunks if chunk.text.lstrip().startswith("<p>")} == {""}


def test_html_tables_inside_tables_and_without_headers() -> None:
    inner = "<table>" + row(["inner"], "th") + row(["x " * 12]) * 4 + "</table>"
    text = "<table>" + row(["outer", "head"], "th") + row([inner, "y"]) + row(["z " * 12, "y"]) * 6 + "</table>"
    contexts = [chunk.context for chunk in chunks_of(text, 60, HtmlChunker)]
    assert {"outer | head", "inner"} <= set(contexts)
    assert {chunk.context for chunk in chunks_of("<table>" + row(["1", "2"]) * 30 + "</table>", 40, HtmlChunker)} == {""}


def test_a_header_gives_way_to_a_grapheme_cluster() -> None:
    family = "👩\u200d👩\u200d👧\u200d👦"
    document = Document("a,b\n" + f"{family},1\n" * 4)
    chunks = TableChunker(8, tokenizer="characters")(document)
    assert check_chunks(document, chunks, len_each, limit=8) == []
    assert {chunk.context for chunk in chunks} == {"", "a,b"}


def len_each(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]
