"""``ragkit chunk``, and what all commands share: help, errors, streams, exit codes."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from ragkit import Document, __version__
from ragkit.chunk import FixedChunker
from ragkit.cli.choices import parse_size
from ragkit.cli.chunk_page import chunk_page, shown
from ragkit.cli.chunking import line_ranges

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "# Top\n\nFirst words here.\n\n## Inner\n\n" + "More words to read here. " * 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guide.md"
    path.write_text(TEXT)
    return path


def test_json_is_exact_and_alone_on_stdout(run: Run, file: Path) -> None:
    done = run("chunk", file.name, "--max-tokens", "40", "--tokenizer", "words", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    chunks = json.loads(done.stdout)
    assert len(chunks) > 2
    lines = TEXT.split("\n")
    for chunk in chunks:
        assert TEXT[chunk["start"] : chunk["end"]] == chunk["text"]
        assert chunk["n_tokens"] <= 40
        first, last = chunk["lines"]
        assert chunk["text"].strip("\n") in "\n".join(lines[first - 1 : last])
        assert chunk["doc_id"] == "guide.md"
    assert chunks[-1]["metadata"]["headings"] == ["Top", "Inner"]


def test_text_for_people(run: Run, file: Path) -> None:
    done = run("chunk", file, "--max-tokens", "40", "--tokenizer", "words")
    assert done.returncode == 0
    assert "[1] lines 1-" in done.stdout
    assert "Top > Inner" in done.stdout
    assert "chunks of guide.md" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_lines_of_any_end_are_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "dos.txt"
    path.write_bytes("one\r\ntwo\rthree \u009b31m".encode())
    done = run("chunk", path, "--tokenizer", "words")
    assert "one\ntwo\nthree \ufffd31m\n" in done.stdout


def test_overlap_and_chunker_are_used(run: Run, file: Path) -> None:
    fixed = run("chunk", file, "--chunker", "fixed", "--max-tokens", "20", "--overlap", "5", "--tokenizer", "words", "--json")
    chunks = json.loads(fixed.stdout)
    assert all(after["start"] < before["end"] for before, after in itertools.pairwise(chunks))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chunk", "gone.md"], "gone.md does not exist"),
        (["chunk", "."], "is a folder"),
        (["chunk", "guide.md", "--tokenizer", "no-such"], "no-such"),
        (["chunk", "guide.md", "--max-tokens", "5", "--overlap", "5", "--tokenizer", "words"], "overlap is 5"),
    ],
)
def test_errors_are_one_line_without_a_traceback(run: Run, file: Path, arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ragkit: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_error_is_json_too(run: Run, file: Path) -> None:
    done = run("chunk", "gone.md", "--json")
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["type"]) == (1, "LoadError")
    assert error["message"] in done.stderr


def test_debug_shows_the_traceback(run: Run) -> None:
    done = run("chunk", "gone.md", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "LoadError" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["chunk"], ["nonsense"], ["chunk", "guide.md", "--max-tokens", "0"], ["chunk", "x", "--chunker", "y"]]
)
def test_wrong_usage_is_2(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"ragkit {__version__}\n"


@pytest.mark.parametrize("command", [None, "index", "search", "chunk", "eval"])
def test_help_stands_alone(run: Run, command: str | None) -> None:
    done = run(*filter(None, [command]), "--help")
    assert done.returncode == 0
    words = " ".join(done.stdout.replace("│", " ").split())
    if command is None:
        assert all(name in words for name in ("index", "search", "chunk", "eval", "Exit codes: 0"))
    else:
        assert f"Example: ragkit {command} " in words
        assert "--json" in words
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['ragkit', '--help']\n"
        "from ragkit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'lancedb', 'pyarrow', 'langchain_core', 'numpy', 'tiktoken', 'tokenizers'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_stops_is_no_error(file: Path) -> None:
    file.write_text(TEXT * 200)
    command = f"'{sys.executable}' -m ragkit chunk '{file}' --tokenizer words --max-tokens 10 | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=os.environ, check=False)
    assert "[1] lines" in done.stdout
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_any_text_can_be_printed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.txt").write_bytes(b"bell \x07 and \x1b[31mred\x1b[0m")
    done = run("chunk", "odd.txt", "--tokenizer", "words")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert (
        json.loads(run("chunk", "odd.txt", "--tokenizer", "words", "--json").stdout)[0]["text"]
        == "bell \x07 and \x1b[31mred\x1b[0m"
    )


HOSTILE = (
    '# Top </div><script>alert(1)</script>\r\n\r\n<!-- & &amp; ]]> </script> "quoted" \x0c \u2028 \U0001f469\U0001f3fe \r alone\n\n'
    "## Inner <b>\n\n" + "More <i>words</i> to read here. " * 40
)


class Page(HTMLParser):
    """What a page shows: the text, by the chunks that hold it, and every tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.data, self.chunks = "", "", dict[int, str]()
        self._depth, self._held = 0, range(0)
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if given.get("id") == "text" or self._depth:
            self._depth += 1
        if "data-first" in given:
            self._held = range(int(given["data-first"] or 0), int(given["data-last"] or 0) + 1)

    def handle_endtag(self, tag: str) -> None:
        self._depth -= bool(self._depth)
        self._held = range(0)

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.text += data
            for place in self._held:
                self.chunks[place] = self.chunks.get(place, "") + data
        elif self.tags[-1:] == [("script", {"type": "application/json", "id": "data"})]:
            self.data += data


@pytest.mark.parametrize("overlap", ["0", "15"])
def test_the_page_holds_every_chunk_and_nothing_else(run: Run, tmp_path: Path, overlap: str) -> None:
    (tmp_path / "hostile.md").write_bytes(HOSTILE.encode())
    options = ("chunk", "hostile.md", "--max-tokens", "30", "--overlap", overlap, "--tokenizer", "words", "--json")
    done = run(*options, "--html", "out.html")
    assert done.returncode == 0
    chunks = json.loads(done.stdout)
    source = (tmp_path / "out.html").read_bytes().decode()
    page = Page(source)
    assert page.text == shown(HOSTILE)
    assert [page.chunks[at] for at in range(len(page.chunks))] == [shown(chunk["text"]) for chunk in chunks]
    told = json.loads(page.data)
    assert [(row["span"], row["lines"], row["tokens"]) for row in told] == [
        ([c["start"], c["end"]], c["lines"], c["n_tokens"]) for c in chunks
    ]
    assert told[-1]["metadata"] == {"headings": " \u203a ".join(chunks[-1]["metadata"]["headings"])}
    stops = [given for _, given in page.tags if "data-number" in given]
    assert [given["id"] for given in stops] == [f"c{n + 1}" for n in range(len(chunks))]
    assert all(given["tabindex"] == "0" for given in stops)
    assert sum(tag == "script" for tag, _ in page.tags) == 2
    assert not [given for _, given in page.tags if "src" in given or "href" in given]
    assert not re.search(r"url\(|@import|https?:", source)


def test_a_real_browser_shows_every_chunk(run: Run, tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "hostile.md").write_bytes(HOSTILE.encode())
    run("chunk", "hostile.md", "--max-tokens", "30", "--overlap", "15", "--tokenizer", "words", "--html", "out.html")
    written = Page((tmp_path / "out.html").read_bytes().decode())
    page = browser.new_page()
    page.goto((tmp_path / "out.html").as_uri())
    page.locator("#c2").focus()
    assert page.locator("#panel h2").inner_text() == f"Chunk 2 of {len(written.chunks)}"
    assert page.locator("#text").evaluate("text => text.textContent") == written.text == shown(HOSTILE)
    chunks = page.evaluate('parts.map(list => list.map(part => part.textContent).join(""))')
    assert chunks == [written.chunks[at] for at in range(len(written.chunks))]


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        (
            "code",
            "class Part:\n    def step(self):\n        return 1\n\n\ndef other():\n    return 2\n",
            {"scope": ["Part", "step"]},
        ),
        ("json", '{"a": {"b": [1, 2, 3]}, "c": [4, 5, 6]}', {"pointer": "/a/b"}),
    ],
)
def test_code_and_json(run: Run, tmp_path: Path, name: str, text: str, found: dict[str, object]) -> None:
    file = f"file.{'py' if name == 'code' else 'json'}"
    (tmp_path / file).write_text(text)
    done = run("chunk", file, "--chunker", name, "--max-tokens", "10", "--tokenizer", "words", "--json")
    assert done.returncode == 0, done.stderr
    assert any(found.items() <= chunk["metadata"].items() for chunk in json.loads(done.stdout)), done.stdout


CSV = "name,price\n" + "".join(f"part {n},{n}\n" for n in range(40))


def test_tables_show_their_header_as_context(run: Run, tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_text(CSV)
    options = ("chunk", "parts.csv", "--max-tokens", "20-30", "--tokenizer", "words")
    chunks = json.loads(run(*options, "--json", "--html", "out.html").stdout)
    assert {chunk["context"] for chunk in chunks[1:]} == {"name,price"}
    assert "".join(chunk["text"] for chunk in chunks) == CSV
    assert all(chunk["n_tokens"] <= 30 for chunk in chunks)
    page = Page((tmp_path / "out.html").read_text())
    assert [row["context"] for row in json.loads(page.data)] == ["", *["name,price"] * (len(chunks) - 1)]
    assert "30 tokens, filled to 20" in (tmp_path / "out.html").read_text()
    assert "context: name,price" in run(*options).stdout


def test_html_is_cut_with_its_tags(run: Run, tmp_path: Path) -> None:
    source = "<h1>Top</h1>\r\n<p>Words in it.</p>" + "<p>More words, ümlauts.</p>" * 20
    (tmp_path / "page.html").write_bytes(source.encode("latin-1").replace(b"<h1>", b"<meta charset=latin-1><h1>"))
    done = run("chunk", "page.html", "--chunker", "html", "--max-tokens", "40", "--tokenizer", "words", "--json")
    chunks = json.loads(done.stdout)
    assert "".join(chunk["text"] for chunk in chunks) == source.replace("<h1>", "<meta charset=latin-1><h1>")
    assert chunks[-1]["metadata"]["headings"] == ["Top"]
    refused = run("index", "page.html", "--db", "kb.lance", "--chunker", "html")
    assert (refused.returncode, "Use --chunker auto" in refused.stderr) == (1, True)


def test_separators_and_best_fit(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One two; three four. Five six; seven eight.\n" * 3)
    options = ("chunk", "a.txt", "--max-tokens", "12", "--tokenizer", "words", "--json")
    cut = json.loads(run(*options, "--chunker", "recursive", "--separator", ";", "--separator", "\\n").stdout)
    assert all(chunk["text"].endswith(";") for chunk in cut[:-1])
    fitted = json.loads(run(*options, "--chunker", "sentence", "--best-fit").stdout)
    assert len(fitted) == len(json.loads(run(*options, "--chunker", "sentence").stdout))
    for wrong in (("--separator", ";"), ("--chunker", "fixed", "--best-fit")):
        assert "is for --chunker" in run(*options, *wrong).stderr


def test_sizes_that_cannot_be_are_wrong_usage(run: Run, file: Path) -> None:
    done = run("chunk", file, "--max-tokens=9-2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--max-tokens is (9, 2)" in done.stderr
    for size in ("0", "a", "-5", "1-2-3", "5-"):
        with pytest.raises(typer.BadParameter):
            parse_size(size)


@pytest.mark.parametrize("text", ["", " \n", "nul \x00 half \ud800 </script><script> " * 20])
def test_any_text_makes_a_page(text: str) -> None:
    document = Document(text, id="<b>&")
    chunks = FixedChunker(20, tokenizer="words")(document)
    source = chunk_page(document, chunks, line_ranges(text, chunks), chunker="fixed", max_tokens=20, overlap=0)
    page = Page(source.encode().decode())
    assert page.text == shown(text)
    assert len(json.loads(page.data)) == len(chunks)
    assert not [tag for tag, _ in page.tags if tag == "b"]


def test_the_page_replaces_no_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.html").write_text("<p>words</p>")
    done = run("chunk", "own.html", "--tokenizer", "words", "--html", "own.html")
    assert (done.returncode, (tmp_path / "own.html").read_text()) == (1, "<p>words</p>")
    assert "would be lost" in done.stderr
    assert run("chunk", "own.html", "--html", "out.md").returncode == 2
    assert "cannot be written" in run("chunk", "own.html", "--tokenizer", "words", "--html", "gone/out.html").stderr
