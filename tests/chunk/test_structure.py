"""Code, JSON, HTML and meaning: cuts stand where the structure says, in characters."""

from __future__ import annotations

import json
import time

import pytest

from ragkit import Document
from ragkit.chunk import AutoChunker, CodeChunker, HtmlChunker, JsonChunker, SemanticChunker
from ragkit.errors import InvalidInputError
from ragkit.testing.embedders import HashEmbedder

PYTHON = '''"""Ümlaut – a module."""

import os


# A comment that belongs to the function.
def first(value):
    """Say it twice."""
    return value * 2


class Shop:
    """Sells things."""

    @property
    def name(self):
        return "näme"

    def sell(self, thing, price):
        total = price
        for step in range(3):
            total += step
        return thing, total
'''


def starts(chunks: list) -> list[str]:
    return [chunk.text.strip().splitlines()[0].strip() for chunk in chunks]


def test_code_is_cut_before_definitions_with_their_comments() -> None:
    chunks = CodeChunker(32, tokenizer="words")(Document(PYTHON, id="shop.py"))
    heads = starts(chunks)
    assert "# A comment that belongs to the function." in heads
    assert "class Shop:" in heads or "@property" in heads
    assert not any(head.startswith(('"""Say', "return", "total")) for head in heads)


def test_code_scopes() -> None:
    chunks = CodeChunker(24, tokenizer="words")(Document(PYTHON, id="shop.py"))
    scopes = {chunk.text.strip().splitlines()[0].strip(): chunk.metadata.get("scope") for chunk in chunks}
    assert scopes["def sell(self, thing, price):"] == ["Shop", "sell"]
    assert any(scope == ["Shop"] or scope == ["Shop", "name"] for scope in scopes.values())


@pytest.mark.parametrize(
    ("name", "source", "scope"),
    [
        ("a.js", "class Cart {\n  add(x) {\n    let y = x;\n    return y;\n  }\n}\n", ["Cart", "add"]),
        ("a.rs", "impl Cart {\n    fn add(&self) -> u8 {\n        let y = 1;\n        y\n    }\n}\n", ["Cart", "add"]),
        ("a.c", "int add(int x) {\n  int y = x;\n  return y;\n}\n", ["add"]),
        ("a.go", "package a\n\nfunc Add(x int) int {\n\ty := x\n\treturn y\n}\n", ["Add"]),
        ("A.java", "class Cart {\n  int add(int x) {\n    int y = x;\n    return y;\n  }\n}\n", ["Cart", "add"]),
    ],
)
def test_code_in_other_languages(name: str, source: str, scope: list[str]) -> None:
    chunks = CodeChunker(8, tokenizer="words")(Document(source, id=name))
    assert scope in [chunk.metadata.get("scope") for chunk in chunks]
    assert "".join(chunk.text for chunk in chunks) == source


def test_code_needs_to_know_its_language() -> None:
    with pytest.raises(InvalidInputError, match="cannot be told from its name 'notes'"):
        CodeChunker(tokenizer="words")(Document("x = 1", id="notes"))
    with pytest.raises(InvalidInputError, match="no grammar for the language 'klingon'"):
        CodeChunker(tokenizer="words", language="klingon")(Document("x = 1"))
    assert CodeChunker(tokenizer="words")(Document("x = 1", metadata={"language": "python"}))


def test_broken_code_is_chunked_all_the_same() -> None:
    source = PYTHON.replace("def first(value):", "def first((value")
    assert "".join(chunk.text for chunk in CodeChunker(20, tokenizer="words", language="python")(Document(source))) == source


@pytest.mark.parametrize("indent", [None, 2])
def test_json_values_stay_whole_and_say_where_they_stand(indent: int | None) -> None:
    data = {"shops": [{"name": f"shop {at}", "a/b": [1, 2], "town": "Zürich"} for at in range(12)], "end": True}
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    chunks = JsonChunker(60, tokenizer="words")(Document(text))
    pointers = [chunk.metadata["pointer"] for chunk in chunks]
    assert pointers[0] == ""
    assert all(pointer.count("/") == 2 for pointer in pointers[1:-1]), "a chunk begins inside a shop"
    assert "/shops/11" in pointers or "/shops/10" in pointers


def test_json_pointers_escape_and_count_lines() -> None:
    lines = "\n".join(json.dumps({"a/b~": "x " * 30}) for _ in range(3))
    chunks = JsonChunker(20, tokenizer="words")(Document(lines))
    assert {"/0", "/1", "/2"} <= {chunk.metadata["pointer"] for chunk in chunks}
    one = JsonChunker(8, tokenizer="words")(Document('{"q": "one two three four", "a/b~": ["one two three four"]}'))
    assert "/a~1b~0" in {chunk.metadata["pointer"] for chunk in one}


def test_json_pointers_name_keys_without_quotes_and_escapes() -> None:
    data = {"first": "one two three four", 'say "é"\n': ["one two three four"]}
    chunks = JsonChunker(8, tokenizer="words")(Document(json.dumps(data)))
    assert '/say "é"\n' in {chunk.metadata["pointer"] for chunk in chunks}


HTML = """<html><head><title>T</title></head><body>
<h1>Guide &amp; more</h1><p>Some words about it all. And then some more of them.</p>
<h2>Install</h2><ul><li>one thing</li><li>two things</li></ul>
<pre>line one
line two. Not a sentence.</pre>
<p>Last words stand here, in a paragraph of their own.</p></body></html>
"""


def test_html_headings_and_whole_blocks() -> None:
    chunks = HtmlChunker(40, tokenizer="words")(Document(HTML))
    assert ["Guide & more", "Install"] in [chunk.metadata.get("headings") for chunk in chunks]
    for block in ("<ul><li>one thing</li><li>two things</li></ul>", "<pre>line one\nline two. Not a sentence.</pre>"):
        assert sum(block in chunk.text for chunk in chunks) == 1
    assert not any(chunk.text.rstrip().endswith(("</h1>", "</h2>")) for chunk in chunks)


@pytest.mark.parametrize(
    "broken",
    ["<p>open", "<h1>never closed", "</p></div>", "<a href='x", "< p >", "<!-- open", "<![CDATA[x", "<![foo[bar]]>", "<p\n>x"],
)
def test_broken_html_is_chunked_all_the_same(broken: str) -> None:
    text = broken + " word" * 60
    assert "".join(chunk.text for chunk in HtmlChunker(20, tokenizer="words")(Document(text))) == text


@pytest.mark.parametrize("tag", ["<p ", "<!-- ", "<a href='"])
def test_tags_that_never_close_take_linear_time(tag: str) -> None:
    chunker = HtmlChunker(50, tokenizer="words")
    begun = time.process_time()
    chunker(Document("<p>Some words.</p>" + tag * 20_000))
    assert time.process_time() - begun < 4


def test_semantic_breaks_where_the_words_change() -> None:
    ships = "The ship sails over the sea with its sails. " * 6
    bread = "Flour and water make dough for the bread oven. " * 6
    chunks = SemanticChunker(200, tokenizer="words", embedder=HashEmbedder(), buffer=0, percentile=95)(Document(ships + bread))
    assert any(chunk.text.lstrip().startswith("Flour") and chunk.start == len(ships) - 1 for chunk in chunks)


def test_semantic_settings() -> None:
    with pytest.raises(InvalidInputError, match="needs one"):
        SemanticChunker(tokenizer="words")
    for settings, says in (({"percentile": 100}, "percentile is 100"), ({"buffer": -1}, "buffer is -1")):
        with pytest.raises(InvalidInputError, match=says):
            SemanticChunker(tokenizer="words", embedder=HashEmbedder(), **settings)
    recipes = {SemanticChunker(tokenizer="words", embedder=HashEmbedder(name=name)).recipe for name in ("a", "b")}
    assert len(recipes) == 2


def test_semantic_reads_no_more_than_the_model_can() -> None:
    text = "word " * 500 + "end. Next sentence here. And one more."
    assert SemanticChunker(64, tokenizer="words", embedder=HashEmbedder(window=32))(Document(text))


def test_auto_takes_the_chunker_of_the_type() -> None:
    text = "# Head\n\nSome words below it.\n"
    markdown = AutoChunker(tokenizer="words")(Document(text, metadata={"media_type": "text/markdown"}))
    assert markdown[0].metadata["headings"] == ["Head"]
    assert "headings" not in AutoChunker(tokenizer="words")(Document(text))[0].metadata
