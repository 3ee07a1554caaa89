"""How much retrieval depends on the wording of a question: the same questions, typed badly, reordered or reworded.

After PTEB (2510.06730), which rewords by a language model at evaluation time; here by rule, or by a ``paraphrase`` of yours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

import numpy as np

from ragkit.errors import InvalidInputError
from ragkit.evaluate.collections import Collection
from ragkit.evaluate.metrics import Estimate, Verdict
from ragkit.evaluate.study import plan_study
from ragkit.evaluate.study_compare import LEVEL, Resamples, estimates, holm, two_sided
from ragkit.evaluate.study_plan import Recipe
from ragkit.evaluate.study_run import answers
from ragkit.evaluate.study_shelf import fill
from ragkit.index.queries import query_vectors
from ragkit.retrieve import Mode
from ragkit.seams import Embedder

Change = Callable[[str, Random], str]
_WORDS = re.compile(r"\w+")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LETTERS = 12  # one mistake for so many letters, and at least one
# Words of questions that say nearly the same, both ways; never the topic itself.
_SYNONYMS = (
    "big large", "begin start", "buy purchase", "build construct", "choose select", "many numerous", "make create", "show display",
    "get obtain", "help assist", "important significant", "need require", "kind type", "use employ", "find locate", "end finish",
    "happen occur", "give provide", "main primary", "quick fast", "error mistake", "change alter", "allow permit", "often frequently",
    "people persons", "think believe", "also additionally", "effect impact", "job occupation", "country nation", "picture image",
    "reason cause", "keep retain", "answer reply", "company firm", "area region", "amount quantity", "called named", "used employed",
)  # fmt: skip
_OTHER = {one: other for pair in _SYNONYMS for one, other in (pair.split(), pair.split()[::-1])}


def typos(text: str, random: Random) -> str:
    """One slip of the fingers for every 12 letters: two letters swapped, one left out, doubled, or its neighbour on the keyboard."""
    letters = list(text)
    places = [at for at, letter in enumerate(letters) if letter.isalpha()]
    for at in random.sample(places, min(len(places), max(1, len(places) // _LETTERS))):
        letter = letters[at]
        kind = random.randrange(4)
        if kind == 0 and at + 1 < len(letters) and letters[at + 1].isalpha() and letters[at + 1] != letter:
            letters[at], letters[at + 1] = letters[at + 1], letter
        elif kind == 1:
            letters[at] = ""
        elif kind == 2:
            letters[at] = letter * 2
        else:
            row = next((row for row in _KEYS if letter.lower() in row), "")
            near = row[row.index(letter.lower()) - 1] if row else letter * 2
            letters[at] = near.upper() if letter.isupper() else near
    return "".join(letters)


def lower(text: str, random: Random) -> str:
    """Everything in small letters."""
    return text.lower()


def upper(text: str, random: Random) -> str:
    """Everything in capitals."""
    return text.upper()


def punctuation(text: str, random: Random) -> str:
    """Without punctuation."""
    return " ".join(_WORDS.findall(text))


def word_order(text: str, random: Random) -> str:
    """The words in another order."""
    words = text.split()
    random.shuffle(words)
    return " ".join(words)


def synonyms(text: str, random: Random) -> str:
    """Common words by others of nearly the same meaning; names and terms stay."""

    def other(match: re.Match[str]) -> str:
        word = match.group()
        found = _OTHER.get(word.lower(), word)
        return found.capitalize() if word[:1].isupper() and found != word else found

    return _WORDS.sub(other, text)


def polite(text: str, random: Random) -> str:
    """With words around it that ask for nothing."""
    return f"Hello, I would like to know the following, could you please help me: {text} Thank you very much!"


#: The changes by rule, by name.
CHANGES: Mapping[str, Change] = {
    "typos": typos,
    "lower case": lower,
    "upper case": upper,
    "no punctuation": punctuation,
    "word order": word_order,
    "synonyms": synonyms,
    "polite": polite,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """What one change of the questions costs, in one mode and metric.

    ``mean`` is the metric with changed questions; ``drop`` is changed minus as asked, question by question over all of them,
    so negative is worse; ``changed`` of them have another wording at all. The verdict is by ``p_holm`` (Holm over the changes).
    ``cosine`` is the mean between the vectors of a question as asked and changed.
    """

    change: str
    mode: str
    metric: str
    mean: float
    drop: Estimate
    p_holm: float
    verdict: Verdict
    changed: int
    cosine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessReport:
    """Quality as asked, ``baseline[mode, metric]``, and what every change costs."""

    collection: str
    model: str
    recipe: str
    questions: int
    seed: int
    baseline: Mapping[tuple[str, str], Estimate]
    drops: tuple[Drop, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        asked = [{"mode": mode, "metric": metric, **one._asdict()} for (mode, metric), one in self.baseline.items()]
        drops = [asdict(one) | {"drop": one.drop._asdict()} for one in self.drops]
        names = ("collection", "model", "recipe", "questions", "seed")
        return {name: getattr(self, name) for name in names} | {"as_asked": asked, "drops": drops}

    def table(self, metric: str) -> tuple[list[str], list[list[str]]]:
        """A header and a row per change: its drop in every mode with interval and verdict."""
        modes = list(dict.fromkeys(mode for mode, _ in self.baseline))
        rows = [["as asked", "", "", *(f"{self.baseline[mode, metric].mean:.3f}" for mode in modes)]]
        for change in dict.fromkeys(one.change for one in self.drops):
            some = {one.mode: one for one in self.drops if (one.change, one.metric) == (change, metric)}
            first = next(iter(some.values()))
            cells = [
                f"{one.drop.mean:+.3f} [{one.drop.low:+.3f}, {one.drop.high:+.3f}]" + ("" if one.verdict == "no winner" else " *")
                for one in some.values()
            ]
            rows.append([change, f"{first.changed}", f"{first.cosine:.3f}", *cells])
        return ["change", "changed", "cosine", *modes], rows


def robustness(
    collection: Collection,
    *,
    recipe: Recipe | None = None,
    size: int = 256,
    embedder: Embedder | None = None,
    changes: Sequence[str] = tuple(CHANGES),
    paraphrase: Callable[[str], str] | None = None,
    modes: Sequence[Mode] = ("dense", "bm25", "hybrid"),
    budget: int = 1024,
    k: int = 10,
    seed: int = 0,
    resamples: int = 10_000,
) -> RobustnessReport:
    """Ask the questions as they are and changed, search with one recipe (None: recursive chunks of ``size``), and compare.

    ``changes`` are names of ``CHANGES``; ``paraphrase`` (a language model, say) adds one more. The answers stay what they
    were, so every loss is due to the wording. Metrics: recall at ``budget`` returned tokens, precision, IoU, nDCG@``k``. Equal
    seeds give equal changes. Raises InvalidInputError for unknown changes and for what ``plan_study`` refuses.
    """
    unknown = [name for name in changes if name not in CHANGES]
    if unknown or not (changes or paraphrase):
        raise InvalidInputError(f"The changes are {list(changes)!r}; known are {', '.join(CHANGES)}. Name at least one.")
    study = plan_study(
        collection, sizes=[size], recipes=None if recipe is None else [recipe], embedder=embedder, modes=modes,
        budgets=[budget], k=k, seed=seed,
    )  # fmt: skip
    asked = [query.text for query in study.gold.queries]
    variants = {"": asked}
    for name in changes:
        random = Random(f"{seed} {name}")
        variants[name] = [CHANGES[name](text, random) for text in asked]
    if paraphrase is not None:
        variants["paraphrase"] = [_paraphrased(paraphrase, text) for text in asked]
    settings, used = study.settings, study.embedder
    words = {name: [settings.analyzer.query_tokens(text) for text in texts] for name, texts in variants.items()}
    everything = {word for some in words.values() for one in some for word in one}
    shelf = fill(study.recipes[0].chunker, collection.documents, used, everything, settings)
    vectors = {name: query_vectors(used, texts) for name, texts in variants.items()}
    values = {}
    for name in variants:
        values[name] = answers(study.recipes[0], shelf, study.gold, vectors[name], words[name], settings)
    resampled = Resamples(len(asked), seed=seed, resamples=resamples)
    names = [name for name in variants if name]
    changed = {name: sum(a != b for a, b in zip(asked, variants[name], strict=True)) for name in names}
    cosine = {name: float((vectors[""] * vectors[name]).sum(axis=1).mean()) for name in names}
    baseline: dict[tuple[str, str], Estimate] = {}
    drops: list[Drop] = []
    for mode, metrics in values[""].items():
        for metric, before in metrics.items():
            matrix = np.array([before, *(values[name][mode][metric] for name in names)], np.float64).T
            sampled = resampled.means(matrix)
            baseline[mode, metric] = estimates(matrix[:, :1], sampled[:, :1])[0]
            apart = sampled[:, 1:] - sampled[:, :1]
            shifts = estimates(matrix[:, 1:] - matrix[:, :1], apart)
            for name, shift, p in zip(names, shifts, holm(two_sided(apart)), strict=True):
                verdict: Verdict = "no winner" if p >= LEVEL or not shift.mean else "better" if shift.mean > 0 else "worse"
                drops.append(
                    Drop(
                        change=name, mode=mode, metric=metric, mean=baseline[mode, metric].mean + shift.mean, drop=shift,
                        p_holm=p, verdict=verdict, changed=changed[name], cosine=cosine[name],
                    )
                )  # fmt: skip
    return RobustnessReport(
        collection=collection.name,
        model=used.card.name,
        recipe=study.recipes[0].name,
        questions=len(asked),
        seed=seed,
        baseline=baseline,
        drops=tuple(drops),
    )


def _paraphrased(paraphrase: Callable[[str], str], text: str) -> str:
    reworded = paraphrase(text)
    if not isinstance(reworded, str) or not reworded.strip():
        raise InvalidInputError(f"paraphrase returned {reworded!r} for {text!r}; it must return a question as str.")
    return reworded
