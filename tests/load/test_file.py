"""load_file: what a text is, where its offsets point, and what is said about files that are none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from ragkit.errors import LoadError, MissingDependencyError
from ragkit.load import load_file


def pdf_bytes(*pages: str, title: str | None = None, password: str | None = None, algorithm: str = "RC4-128") -> bytes:
    """A real PDF, written by hand so that its text is known."""
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", "", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids = []
    for page in pages:
        lines = "".join(f"({line}) Tj T* " for line in page.split("\n")) if page else ""
        content = f"BT /F1 12 Tf 14 TL 72 720 Td {lines}ET"
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {len(objects)} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>"
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    data += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    if title is None and password is None:
        return data
    writer = PdfWriter()
    with tempfile.TemporaryFile() as plain, tempfile.TemporaryFile() as result:
        plain.write(data)
        plain.seek(0)
        for page in PdfReader(plain).pages:
            writer.add_page(page)
        if title is not None:
            writer.add_metadata({"/Title": title})
        if password is not None:
            writer.encrypt(password, "owner", algorithm=algorithm)
        writer.write(result)
        result.seek(0)
        return result.read()


def reread(path: Path, encoding: str | None) -> str:
    with path.open(encoding=encoding or "utf-8", newline="") as file:
        return file.read()


class TestExactText:
    @settings(max_examples=60, deadline=None)
    @given(
        text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
        suffix=st.sampled_from([".txt", ".md", ".py", ".csv", ".unknown", ""]),
    )
    def test_offsets_are_those_of_the_file(self, text: str, encoding: str, suffix: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"file{suffix}"
            path.write_bytes(text.encode(encoding))
            document = load_file(path, root=folder)
            if not (text.startswith("\ufeff") or (encoding == "utf-8" and not text)):
                assert document.text == text
            assert document.text == reread(path, document.metadata.get("encoding"))
            assert document.id == f"file{suffix}"

    def test_line_ends_are_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(b"one\r\ntwo\rthree\n")
        assert load_file(path).text == "one\r\ntwo\rthree\n"

    def test_identity_is_relative_to_the_root(self, tmp_path: Path) -> None:
        path = tmp_path / "docs" / "a.md"
        path.parent.mkdir()
        path.write_text("# Hello #\n\ntext")
        document = load_file(path, root=tmp_path)
        assert document.id == "docs/a.md"
        assert document.metadata == {"source": path.as_posix(), "media_type": "text/markdown", "title": "Hello"}
        assert load_file(path, root=tmp_path / "elsewhere").id == path.as_posix()

    def test_a_heading_inside_code_is_no_title(self, tmp_path: Path) -> None:
        path = tmp_path / "a.md"
        path.write_text("```sh\n# comment\n```\n# Late\n")
        assert "title" not in load_file(path).metadata

    def test_an_empty_file_is_an_empty_document(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.txt"
        path.touch()
        assert load_file(path, root=tmp_path).text == ""


class TestEncodings:
    @pytest.mark.parametrize(
        ("text", "written", "read"),
        [
            ("Grüße aus Köln, schöne Straße und Übergröße. " * 5, "latin-1", "cp1252"),
            ("It costs 5 € – “really”. ", "cp1252", "cp1252"),
            ("Привет, мир. Это проверка кодировки. " * 5, "cp1251", "cp1251"),
            ("日本語のテキストです。文字コードの検出。" * 5, "shift_jis", "cp932"),
            ("这是一个中文文本，用来测试编码检测。" * 5, "gb18030", "gb18030"),
        ],
    )
    def test_a_guess_is_recorded(self, tmp_path: Path, text: str, written: str, read: str) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(text.encode(written))
        document = load_file(path)
        assert (document.text, document.metadata["encoding"]) == (text, read)

    def test_a_known_encoding_settles_it(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes("Zażółć gęślą jaźń".encode("iso8859_2"))
        document = load_file(path, encoding="iso8859_2")
        assert (document.text, document.metadata["encoding"]) == ("Zażółć gęślą jaźń", "iso8859_2")
        with pytest.raises(LoadError, match=r"is not ascii.*Leave encoding= out"):
            load_file(path, encoding="ascii")
        with pytest.raises(LoadError, match="not an encoding Python knows"):
            load_file(path, encoding="utf-99")

    def test_utf16_without_a_mark_needs_to_be_named(self, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes("plain words".encode("utf-16-le"))
        with pytest.raises(LoadError, match="encoding='utf-16-le'"):
            load_file(path)
        assert load_file(path, encoding="utf-16-le").text == "plain words"

    @pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", bytes(range(1, 256)) * 8, b"\xff\xfe\x00"])
    def test_binary_is_refused_by_name(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "picture.txt"
        path.write_bytes(data)
        with pytest.raises(LoadError, match=r"picture\.txt"):
            load_file(path)

    def test_without_the_detector_the_extra_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes("Köln".encode("latin-1"))
        monkeypatch.setitem(sys.modules, "charset_normalizer", None)
        with pytest.raises(MissingDependencyError, match=r"ragkit-middleware\[load\]"):
            load_file(path)


class TestHtml:
    def page(self, folder: Path, html: str | bytes) -> tuple[str, dict[str, object]]:
        path = folder / "page.html"
        path.write_bytes(html if isinstance(html, bytes) else html.encode())
        document = load_file(path, root=folder)
        assert document.metadata["extracted"] is True
        return document.text, dict(document.metadata)

    def test_blocks_become_lines_and_the_rest_is_left_out(self, tmp_path: Path) -> None:
        text, metadata = self.page(
            tmp_path,
            "<html><head><title> The\n title </title><style>p{}</style><script>var x = '<p>no</p>'</script></head>"
            "<body><nav><ul><li>Home"
            "</ul></nav><h1>Head</h1><p>One <b>bold</b>,\n two.<p>Three<br>four &amp; five</p><ul><li>a</li><li>b</li></ul>"
            "<table><tr><td>1</td><td>2</td></tr><tr><td>3</td><td>4</td></tr></table><pre>x\n    y</pre><div hidden>secret</div>"
            "<noscript>enable</noscript><!-- note --><div>end<div>inner</div>last</div></body></html>",
        )
        assert text == "Head\n\nOne bold, two.\n\nThree\nfour & five\n\na\nb\n\n1 2\n3 4\n\nx\n    y\n\nend\ninner\nlast"
        assert metadata["title"] == "The title"

    def test_words_of_inline_elements_are_not_joined_or_split(self, tmp_path: Path) -> None:
        assert self.page(tmp_path, "<p>a<b>b</b>c <i>d</i> <i>e</i></p>")[0] == "abc d e"

    def test_the_first_heading_stands_in_for_a_title(self, tmp_path: Path) -> None:
        assert self.page(tmp_path, "<h1>Only <i>this</i></h1>text")[1]["title"] == "Only this"

    def test_the_declared_charset_is_used(self, tmp_path: Path) -> None:
        text, metadata = self.page(tmp_path, '<meta charset="koi8-r"><p>Привет</p>'.encode("koi8-r"))
        assert (text, metadata["encoding"]) == ("Привет", "koi8-r")

    def test_a_wrong_declaration_does_not_hurt_utf8(self, tmp_path: Path) -> None:
        assert self.page(tmp_path, '<meta charset="latin-1"><p>日本</p>')[0] == "日本"

    @pytest.mark.parametrize("html", ["", "   ", "<!-- only -->", "<script>x</script>"])
    def test_a_page_without_words_is_empty(self, tmp_path: Path, html: str) -> None:
        assert self.page(tmp_path, html)[0] == ""

    def test_depth_and_size_do_not_matter(self, tmp_path: Path) -> None:
        text, _ = self.page(tmp_path, "<div>" * 30_000 + "deep" + "</div>" * 30_000 + "<p>word</p>" * 30_000)
        assert text.startswith("deep\n\nword")
        assert text.count("word") == 30_000

    @settings(max_examples=60, deadline=None)
    @given(
        words=st.lists(
            st.tuples(st.sampled_from(["p", "div", "li", "b", "h2", "td", "blockquote"]), st.from_regex(r"\A[a-z]{1,8}\Z")),
            max_size=30,
        )
    )
    def test_no_visible_word_is_lost(self, words: list[tuple[str, str]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            text, _ = self.page(Path(folder), "".join(f"<{tag}> {word} </{tag}>" for tag, word in words))
            assert text.split() == [word for _, word in words]


class TestPdf:
    def test_pages_are_joined_by_a_form_feed(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(pdf_bytes("First page\nline two", "Second page", title="The manual"))
        document = load_file(path)
        assert document.text == "First page\nline two\n\f\nSecond page"
        assert document.text.count("\f", 0, document.text.index("Second")) + 1 == 2
        expected = {
            "source": path.as_posix(),
            "media_type": "application/pdf",
            "title": "The manual",
            "extracted": True,
            "pages": 2,
        }
        assert document.metadata == expected

    def test_found_by_content_when_the_name_is_silent(self, tmp_path: Path) -> None:
        path = tmp_path / "manual"
        path.write_bytes(pdf_bytes("Some words"))
        assert load_file(path).text == "Some words"

    def test_an_empty_password_opens(self, tmp_path: Path) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(pdf_bytes("Open words", password=""))
        assert load_file(path).text == "Open words"

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"%PDF-1.4\nnothing of use", "not a readable PDF"),
            (b"", "not a readable PDF"),
            (pdf_bytes("words")[:300], "not a readable PDF|no text"),
            (pdf_bytes("secret", password="key"), "password"),
            (pdf_bytes("", ""), "2 pages and no text.*OCR"),
        ],
        ids=["broken", "empty", "cut off", "encrypted", "scanned"],
    )
    def test_unreadable_ones_say_why(self, tmp_path: Path, data: bytes, says: str) -> None:
        path = tmp_path / "a.pdf"
        path.write_bytes(data)
        with pytest.raises(LoadError, match=f"(?s)a\\.pdf.*({says})"):
            load_file(path)


class TestNotebook:
    def test_cells_without_outputs(self, tmp_path: Path) -> None:
        path = tmp_path / "a.ipynb"
        cells = [
            {"cell_type": "markdown", "source": ["# Title\n", "words"]},
            {"cell_type": "code", "source": "print(1)", "outputs": [{"text": "1"}]},
            {"cell_type": "code", "source": ""},
        ]
        path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
        document = load_file(path)
        assert document.text == "# Title\nwords\n\n```python\nprint(1)\n```"
        assert document.metadata["title"] == "Title"
        assert document.metadata["extracted"] is True

    @pytest.mark.parametrize("source", ["{", "[]", "{}", '{"cells": [{}]}', '{"cells": 3}'])
    def test_other_json_is_refused(self, tmp_path: Path, source: str) -> None:
        path = tmp_path / "a.ipynb"
        path.write_text(source)
        with pytest.raises(LoadError, match=r"a\.ipynb is not a notebook"):
            load_file(path)


class TestUnreadable:
    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(LoadError, match=r"gone\.txt does not exist") as caught:
            load_file(tmp_path / "gone.txt")
        assert isinstance(caught.value, OSError)

    def test_dangling_link(self, tmp_path: Path) -> None:
        (tmp_path / "link.txt").symlink_to("nowhere")
        with pytest.raises(LoadError, match="is a link to a file that does not exist"):
            load_file(tmp_path / "link.txt")

    def test_folder(self, tmp_path: Path) -> None:
        with pytest.raises(LoadError, match=r"is a folder\. Use load_folder"):
            load_file(tmp_path)

    def test_a_pipe_does_not_hang(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(LoadError, match="not a regular file"):
            load_file(tmp_path / "pipe")

    def test_impossible_path(self) -> None:
        with pytest.raises(LoadError, match="null"):
            load_file("a\0b")

    def test_too_large(self, tmp_path: Path) -> None:
        path = tmp_path / "big.txt"
        path.write_bytes(b"x" * 1001)
        with pytest.raises(LoadError, match=r"larger than the limit of 1000 bytes.*max_bytes="):
            load_file(path, max_bytes=1000)
        assert len(load_file(path, max_bytes=1001).text) == 1001

    def test_a_name_that_is_no_utf8(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path) + b"/caf\xe9.txt"
        with open(path, "wb") as file:
            file.write(b"words")
        with pytest.raises(LoadError, match="Rename the file"):
            load_file(os.fsdecode(path))

    def test_forbidden(self, tmp_path: Path) -> None:
        """A user without the right to read gets told so; root may read anything, so root becomes nobody first."""
        path = tmp_path / "secret.txt"
        path.write_text("words")
        path.chmod(0)
        become = "import os; os.getuid() or os.setuid(65534)\n"
        script = f"from ragkit.load import load_file\nfrom ragkit.errors import LoadError\nimport ragkit.load.decode\n{become}"
        script += f"try: load_file({str(path)!r}, root='/')\nexcept LoadError as error: print(error)"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert "may not be read by this user" in done.stdout

    def test_the_disk_fails(self) -> None:
        if not Path("/proc/self/mem").exists():
            pytest.skip("needs /proc")
        with pytest.raises(LoadError, match="cannot be read"):
            load_file("/proc/self/mem")
