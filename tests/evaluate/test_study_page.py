"""The page of a study: complete, self-contained, in the page's own colours, and right in a real browser."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ragkit import Document
from ragkit.evaluate import Collection, Query, StudyReport, plan_study, study_chunks, study_page
from ragkit.testing.embedders import HashEmbedder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("matplotlib")
HOSTILE = "</script><b>fact3</b> & \x00 \ud800 what?"


@pytest.fixture(scope="module")
def report() -> StudyReport:
    documents = [Document(" ".join(f"fact{at} word{at % 7} filler{at % 3}." for at in range(60)), id="one")]
    words = [f"fact{at}" for at in range(0, 60, 2)]
    texts = [HOSTILE if word == "fact4" else f"Where is {word}?" for word in words]
    spans = {word: [("one", documents[0].text.index(f"{word} "), documents[0].text.index(f"{word} ") + 12)] for word in words}
    queries = [Query(id=word, text=text) for word, text in zip(words, texts, strict=True)]
    return study_chunks(
        Collection(name="<i>facts</i>", documents=documents, queries=queries, spans=spans),
        sizes=[8, 24, 64], contexts=["plain", "blend"], embedder=HashEmbedder(), budgets=[10, 20],
    )  # fmt: skip


class Tags(HTMLParser):
    """Every tag with its attributes, and the ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.used: set[str] = set()
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if value and name != "id":
                self.used |= set(re.findall(r"#([\w-]+)", value)) if name == "href" or "url(" in value else set()
            assert name not in ("src", "srcset")


def test_the_page_is_whole_and_needs_nothing_else(report: StudyReport) -> None:
    page = study_page(report)
    page.encode("utf-8")
    seen = Tags(page)
    assert seen.tags.count("svg") == 4
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.used <= set(seen.ids)
    assert "b" not in seen.tags
    assert "i" not in seen.tags
    assert seen.tags.count("script") == 1
    assert not re.search(r"https?:|@import", page)
    # Every colour of a picture is a variable of the page, which light and dark define alike.
    pictures = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert not re.search(r"#0[0-9a-f]{5}\b", pictures)
    used, styles = set(re.findall(r"var\((--\w+)\)", page)), re.findall(r":root[^{]*{[^}]*}", page)
    assert len(styles) == 3
    assert all(f"{name}:" in style for name in used for style in styles)
    for sentence in report.verdict.sentences:
        assert html.escape(sentence) in page
    assert html.escape(report.verdict.code) in page
    for one in report.outcomes:
        assert f"<th scope=row>{one.name}</th>" in page


def test_a_single_recipe_and_a_stopped_study_make_a_page(report: StudyReport) -> None:
    documents = [Document("One fact stands here. Another stands there.", id="a")]
    collection = Collection(name="c", documents=documents, queries=[Query(id="q", text="fact")], spans={"q": [("a", 4, 8)]})
    study = plan_study(collection, sizes=[16, 32], embedder=HashEmbedder(), budgets=[5])
    page = study_page(study.report([next(study.run())]))
    assert "Stopped early: 1 recipes are not in it." in page
    assert "It is the only recipe." in page


def test_a_real_browser_draws_it(report: StudyReport, tmp_path: Path, browser: Browser) -> None:
    (tmp_path / "page.html").write_text(study_page(report), encoding="utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    measure = """[...document.querySelectorAll("figure svg")].map(svg => {
      const box = svg.getBoundingClientRect();
      return [Math.round(box.width), Math.round(box.height), getComputedStyle(svg.querySelector("text")).fill];
    })"""
    first = page.evaluate(measure)
    page.click("#theme")
    second = page.evaluate(measure)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert first
    assert all(width > 600 and height > 150 for width, height, _ in first)
    assert all(before[:2] == after[:2] and before[2] != after[2] for before, after in zip(first, second, strict=True))
