"""Position bias: how much more the beginning of a text weighs in its vector than the end (after Coelho et al., 2412.15241)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.evaluate.metrics import Estimate, Verdict, compare, estimate
from ragkit.seams import Embedder
from ragkit.text.boundaries import prose_cuts

Where = Literal["start", "middle", "end"]
PLACES: tuple[Where, ...] = ("start", "middle", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReport:
    """Mean cosines to the whole text, each with its 95 % bootstrap interval over texts.

    ``inserted`` after foreign text was put in at that place, ``removed`` after a sentence was taken out there; lower means
    that the place weighs more. ``inserted_tilt`` and ``removed_tilt`` are end minus start, text by text: positive where the
    beginning weighs more, with "better" and "worse" for significantly so either way, else "no winner". ``skipped`` counts texts of
    fewer than three sentences, which have no middle; ``n`` texts were measured.
    """

    model: str
    n: int
    skipped: int
    inserted: dict[Where, Estimate]
    removed: dict[Where, Estimate]
    inserted_tilt: tuple[Estimate, Verdict]
    removed_tilt: tuple[Estimate, Verdict]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """A header and two rows: ``mean [low, high]`` at each place, and the tilt with its verdict."""
        rows = []
        for name, cells, (tilt, _) in (
            ("inserted", self.inserted, self.inserted_tilt),
            ("removed", self.removed, self.removed_tilt),
        ):
            rows.append([name, *(_cell(cells[place]) for place in PLACES), _cell(tilt)])
        return ["text", *PLACES, "end - start"], rows


def bias_probe(embedder: Embedder, texts: Sequence[str], inserted: str | Sequence[str]) -> BiasReport:
    """Put foreign text in, and take a sentence out, at the start, the middle and the end; compare with the whole text.

    ``inserted`` is one text for all or one for each, best of a length like a sentence's; the middle is the border between sentences
    nearest to half. What is taken out also takes its meaning along, and first sentences often say most: insertion is the cleaner
    probe. Raises InvalidInputError where no text has three sentences, and the embedder's errors, TextTooLongError among them.
    """
    if isinstance(texts, str):
        raise InvalidInputError("A single str was given where a list of texts is needed. Put it into a list.")
    foreign = [inserted] * len(texts) if isinstance(inserted, str) else list(inserted)
    if len(foreign) != len(texts):
        raise InvalidInputError(f"inserted has {len(foreign)} texts for {len(texts)}; give one for each, or a single str.")
    if not all(text.strip() for text in foreign):
        raise InvalidInputError("inserted is empty or only white space; it is the foreign text whose effect is measured.")
    variants: list[str] = []
    for text, strange in zip(texts, foreign, strict=True):
        parts = _sentences(text)
        if len(parts) >= 3:
            variants += [" ".join(parts), *_variants(parts, strange.strip())]
    n = len(variants) // 7
    if not n:
        raise InvalidInputError(f"None of the {len(texts)} texts has three sentences, so none has a middle. Give longer texts.")
    vectors = embedder.embed_texts(variants).reshape(n, 7, -1)
    # Rounded to what float32 holds, so that noise in the last digits wins nothing.
    cosines = np.einsum("nd,nkd->nk", vectors[:, 0], vectors[:, 1:]).round(6)

    def means(first: int) -> dict[Where, Estimate]:
        return {place: estimate(cosines[:, first + at]) for at, place in enumerate(PLACES)}

    def tilt(first: int) -> tuple[Estimate, Verdict]:
        start, end = ({str(row): float(value) for row, value in enumerate(cosines[:, first + at])} for at in (0, 2))
        return compare(end, start)

    return BiasReport(
        model=embedder.card.name,
        n=n,
        skipped=len(texts) - n,
        inserted=means(0),
        removed=means(3),
        inserted_tilt=tilt(0),
        removed_tilt=tilt(3),
    )


def _sentences(text: str) -> list[str]:
    cuts = [0, *sorted(prose_cuts(text)), len(text)]
    return [part for first, last in pairwise(cuts) if (part := text[first:last].strip())]


def _variants(parts: Sequence[str], strange: str) -> list[str]:
    lengths = np.cumsum([len(part) for part in parts[:-1]])
    middle = int(np.argmin(np.abs(lengths - (lengths[-1] + len(parts[-1])) / 2))) + 1
    put = [" ".join([*parts[:at], strange, *parts[at:]]) for at in (0, middle, len(parts))]
    # The sentence that is taken out of the middle is the one that covers it.
    cut = [" ".join([*parts[:at], *parts[at + 1 :]]) for at in (0, len(parts) // 2, len(parts) - 1)]
    return [*put, *cut]


def _cell(value: Estimate) -> str:
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"
