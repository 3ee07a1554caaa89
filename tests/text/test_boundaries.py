"""Where sentences and lines end, in the scripts people write."""

from __future__ import annotations

import itertools
import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from ragkit.text.boundaries import Strength, line_cuts, sentence_cuts
from ragkit.text.unicode import cluster_start


def sentences(text: str) -> list[str]:
    edges = [0, *sorted(sentence_cuts(text)), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges) if a < b]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two. Three four.", ["One two.", " Three four."]),
        ("Is it? Yes! Good.", ["Is it?", " Yes!", " Good."]),
        ("Dr. Smith met Mr. J. Doe. They left.", ["Dr. Smith met Mr. J. Doe.", " They left."]),
        ("It costs 3.14 dollars. Cheap.", ["It costs 3.14 dollars.", " Cheap."]),
        ("See e.g. Fig. 3 or i.e. that. Next.", ["See e.g. Fig. 3 or i.e. that.", " Next."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', " Then he left."]),
        ("Wait... what? no.", ["Wait... what? no."]),
        ("v1.2.3 is out. Get it.", ["v1.2.3 is out.", " Get it."]),
        ("1. First item\n2. Second item", ["1. First item\n2. Second item"]),
        ("今天下雨。明天晴。", ["今天下雨。", "明天晴。"]),
        ("彼は「行く。」と言った。", ["彼は「行く。」", "と言った。"]),
        ("هل أنت هنا؟ نعم.", ["هل أنت هنا؟", " نعم."]),
        ("यह एक वाक्य है। दूसरा।", ["यह एक वाक्य है।", " दूसरा।"]),
        ("Das ist z.B. gut. Ende.", ["Das ist z.B. gut.", " Ende."]),
        ("", []),
        ("no end", ["no end"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_line_strengths() -> None:
    text = "Title\nA line that\nwraps here.\nNew line\n\nparagraph\n\n\npage\x0cbreak"
    found = {text[at : at + 3]: strength for at, strength in line_cuts(text).items()}
    assert found == {
        "A l": Strength.LINE,
        "wra": Strength.WRAP,
        "New": Strength.LINE,
        "par": Strength.PARAGRAPH,
        "pag": Strength.PAGE,
        "bre": Strength.PAGE,
    }


@pytest.mark.parametrize("unit", [".", " ", "\n", '."', "\n ", ". ", "a.b", "1. ", "\r"])
def test_time_is_linear(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "x" + unit * (size // len(unit))
        best = 9.0
        for _ in range(3):
            start = time.thread_time()
            sentence_cuts(text)
            line_cuts(text)
            best = min(best, time.thread_time() - start)
        return best

    # Linear work takes 8 times as long, quadratic work 64 times.
    assert seconds(160_000) < 24 * max(seconds(20_000), 0.002)


@given(st.text(st.sampled_from("a \r\n\u0301\u0600\u200d\u094d\u0915\u0937\u1100\u1161\u11a8\uac00\ud800🇩🇪👩🏽ü"), max_size=16))
def test_the_start_of_a_grapheme_cluster(text: str) -> None:
    starts = [match.start() for match in regex.finditer(r"\X", text)]
    for position in range(len(text)):
        expected = max(start for start in starts if start <= position)
        assert cluster_start(text, position) == expected
        assert cluster_start(text, position, starts[max(0, starts.index(expected) - 1)]) == expected
