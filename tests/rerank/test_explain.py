"""Explanations: they add up to the score, point at the text, and are a page that a browser shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ragkit.errors import CapabilityError
from ragkit.rerank import CompressedReranker, TokenCompressor, explain
from ragkit.testing.embedders import HashReader

from .conftest import TEXTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

QUESTION = "is the <bridge> closed?"


@pytest.fixture
def reranker(compressor: TokenCompressor, reader: HashReader) -> CompressedReranker:
    return CompressedReranker(compressor, reader=reader)


def test_it_adds_up_and_points_at_the_text(compressor: TokenCompressor, reranker: CompressedReranker) -> None:
    why = explain(reranker, QUESTION, TEXTS[4])
    assert why.score == pytest.approx(reranker.scores(QUESTION, [TEXTS[4]])[0], abs=1e-5)
    assert sum(match.weight for match in why.matches) == pytest.approx(1.0, abs=1e-6)
    assert {QUESTION[match.asked.start : match.asked.end] for match in why.matches} == {match.token for match in why.matches}
    (bridge,) = [match for match in why.matches if match.token == "bridge"]
    assert any("bridge" in TEXTS[4][span.start : span.end] for span in bridge.spans)
    assert explain(reranker, QUESTION, "").score == pytest.approx(-1.0)
    assert "<mark" not in explain(reranker, QUESTION, "").to_html()
    nested = TokenCompressor(replace(compressor.parameters, nested=(32,)), vectors=8)
    smaller = CompressedReranker(nested, vectors=2, bits=32, reader=reranker.reader)
    assert explain(smaller, QUESTION, TEXTS[4]).score == pytest.approx(smaller.scores(QUESTION, [TEXTS[4]])[0], abs=1e-5)
    other = CompressedReranker(reranker.compressor, scorer=lambda query, found, ids: np.ones(len(ids)), reader=reranker.reader)
    with pytest.raises(CapabilityError, match="without scorer="):
        explain(other, QUESTION, TEXTS[4])


def test_a_browser_shows_it_in_light_and_dark_and_by_keyboard(
    reranker: CompressedReranker, tmp_path: Path, browser: Browser
) -> None:
    text = TEXTS[4] + " <b>no tags</b>"
    file = tmp_path / "why.html"
    file.write_text(explain(reranker, QUESTION, text).to_html(), encoding="utf-8")
    page = browser.new_page(color_scheme="light")
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(file.as_uri())
    assert page.locator("p.text").text_content() == text
    assert page.locator("h1").text_content() == QUESTION
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.keyboard.press("Tab")
    met = page.evaluate("getComputedStyle(document.activeElement, '::after').content")
    assert met.strip('"') == page.locator("mark").first.get_attribute("data-met")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert told == []
