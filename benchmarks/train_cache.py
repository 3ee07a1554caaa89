"""What an adapter from ``ragkit train cache`` is worth on labelled pairs of prompts, by pairs learned from.

    python benchmarks/train_cache.py --pairs PAIRS [--train 500 1500 3000] [--rounds 3] [--vectors FOLDER] [--keeping] [--json FILE]

Each round learns from other pairs and judges 5,000 that share no prompt and no meaning with them; the adapters are thrown away.
"in a cache": each judged prompt is looked up among all others, and the nearest is right if the labels say so. With --keeping the share of rounds
in which `train_cache` keeps its adapter, with the labels as they are and with labels by lot, where keeping is a false win. FOLDER keeps vectors.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.cache.pairs import LabelledPair, load_pairs
from ragkit.embed import TransformerEmbedder
from ragkit.embed.adapted import turn
from ragkit.evaluate.report import markdown
from ragkit.train import train_cache
from ragkit.train.cache_fit import fit_pairs
from ragkit.train.cache_judge import Scored, area, average_precision, compare, meanings, nearest

JUDGED = 5000


class Known:
    """The model with the vectors of all prompts in memory; everything else is the model's own."""

    def __init__(self, base: TransformerEmbedder, texts: Sequence[str], folder: Path | None) -> None:
        self.card, self._rows = base.card, {text: row for row, text in enumerate(texts)}
        kept = folder / "qqp.npy" if folder else None
        if kept is not None and kept.exists():
            self._vectors = np.load(kept)
        else:
            self._vectors = base.embed_queries(list(texts))
            if kept is not None:
                np.save(kept, self._vectors)

    def embed_queries(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._vectors[[self._rows[text] for text in texts]]
        return found


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.einsum("nd,nd->n", left, right).astype(np.float64)


def measured(pairs: Sequence[LabelledPair], model: Known, learn: int, rounds: int) -> dict[str, Any]:
    """Gains of adapters from ``learn`` pairs."""
    texts, meaning = meanings(pairs)
    names = list(dict.fromkeys(text for pair in pairs for text in (pair.a, pair.b)))
    vectors = model.embed_queries(names)
    same = np.array([pair.same for pair in pairs])
    found: list[Scored] = []
    caches: list[Scored] = []
    seconds = []
    for number in range(rounds):
        order = np.random.default_rng(number).permutation(len(pairs))
        learned = order[:learn]
        apart = ~np.isin(meaning[texts[order]], meaning[texts[learned]]).any(axis=1)
        held = order[apart][:JUDGED]
        left, right = vectors[texts[:, 0]], vectors[texts[:, 1]]
        began = time.process_time()
        matrix = fit_pairs(left[learned], right[learned], same[learned], seed=number)
        seconds.append(time.process_time() - began)
        plain = cosines(left[held], right[held])
        turned = cosines(turn(left[held], matrix), turn(right[held], matrix))
        found.append(Scored(meaning[texts[held, 0]], (plain, same[held]), (turned, same[held])))
        stored = np.unique(texts[held])
        ways = [nearest(rows, meaning[stored]) for rows in (vectors[stored], turn(vectors[stored], matrix))]
        caches.append(Scored(meaning[stored], *ways))
    figures = {
        "average precision": compare(found, average_precision),
        "precision over hit rate": compare(found, area),
        "in a cache": compare(caches, area),
    }
    return {
        "learned from": learn,
        **{name: f"{one.plain:.3f}, {100 * one.gain.mean:+.2f} [{100 * one.gain.low:+.2f}, {100 * one.gain.high:+.2f}]" for name, one in figures.items()},
        "seconds": f"{np.median(seconds):.1f}",
    }  # fmt: skip


def kept(pairs: Sequence[LabelledPair], model: Known, learn: int, rounds: int, *, by_lot: bool) -> float:
    """The share of rounds in which ``train_cache`` on ``learn`` pairs keeps its adapter."""
    wins = 0
    for number in range(rounds):
        rng = np.random.default_rng(number)
        drawn = [pairs[at] for at in rng.permutation(len(pairs))[:learn]]
        if by_lot:
            drawn = [replace(pair, same=bool(label)) for pair, label in zip(drawn, rng.random(learn) < 0.36, strict=True)]
        wins += train_cache(drawn, embedder=model, seed=number).won  # type: ignore[arg-type]
    return wins / rounds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--train", type=int, nargs="+", default=[500, 1500, 3000])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--keeping", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pairs = load_pairs(given.pairs)
    model = Known(
        TransformerEmbedder("all-MiniLM-L6-v2"), sorted({text for one in pairs for text in (one.a, one.b)}), given.vectors
    )
    rows = [measured(pairs, model, learn, given.rounds) for learn in given.train]
    print(markdown(list(rows[0]), [[str(value) for value in row.values()] for row in rows]), flush=True)
    found: dict[str, Any] = {"rows": rows}
    for learn in given.train if given.keeping else []:
        found[f"kept from {learn}"] = {
            name: kept(pairs, model, learn, given.rounds, by_lot=name == "by lot") for name in ("labels", "by lot")
        }
        print(f"adapters kept from {learn} pairs, share of {given.rounds} rounds: {found[f'kept from {learn}']}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
