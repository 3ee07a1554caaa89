"""From differences to a sentence: who wins, who cannot be told apart, what is cheapest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragkit.evaluate.metrics import Estimate
from ragkit.evaluate.study_compare import Difference
from ragkit.evaluate.study_run import Outcome

_CLOSE = 0.01  # a cheaper recipe is preferred when it is no winner's loser and its mean lies this near to the best


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from a study, by one mode and metric.

    ``best`` has the highest mean; ``tied`` are those that the questions do not tell from it, so ``winner`` is ``best`` only where there
    is none, else None. ``recommended`` is the cheapest (without context first, then by bytes) of the best and those of ``tied`` whose mean
    is at most 0.01 below it; where the best has a context that is not told from plain chunks of its size, plain ones are among them
    and contexts are not. ``code`` makes its chunker. ``sentences`` say all this in words.
    """

    best: str
    winner: str | None
    tied: tuple[str, ...]
    recommended: str
    code: str
    sentences: tuple[str, ...]


def decide(
    outcomes: Sequence[Outcome], means: Mapping[str, Estimate], found: Sequence[Difference], mode: str, metric: str
) -> Verdict:
    """The verdict of these outcomes by ``metric`` in ``mode``."""
    here = [one for one in found if (one.mode, one.metric) == (mode, metric)]
    best = max(outcomes, key=lambda one: means[one.name].mean)
    tied = tuple(one.name for one in here if one.against == "best" and one.verdict == "no winner")
    least = means[best.name].mean - _CLOSE
    near = [one for one in outcomes if one is best or (one.name in tied and means[one.name].mean >= least)]
    if best.baseline in tied:
        # A context that is not shown to pay is not advised, however good its mean looks.
        near = [one for one in outcomes if one.name == best.baseline or (one in near and one.context == "plain")]
    cheapest = min(near, key=lambda one: (one.baseline is not None or one.context != "plain", one.vector_bytes + one.text_bytes))
    sentences = [_first(best, tied, len(outcomes), means[best.name], mode, metric)]
    if cheapest is not best:
        less = means[best.name].mean - means[cheapest.name].mean
        why = "has no context, is" if best.baseline in tied else "is cheaper,"
        sentences.append(f"{cheapest.name} {why} not told from it, and {less:.3f} below it: take {cheapest.name}.")
    sentences += _contexts(outcomes, here)
    sentences += _sizes(outcomes, means)
    return Verdict(
        best=best.name,
        winner=None if tied else best.name,
        tied=tied,
        recommended=cheapest.name,
        code=cheapest.code,
        sentences=tuple(sentences),
    )


def _first(best: Outcome, tied: Sequence[str], number: int, mean: Estimate, mode: str, metric: str) -> str:
    what = f"{best.name} has the highest {metric} ({mode} search): {mean.mean:.3f} [{mean.low:.3f}, {mean.high:.3f}]"
    if number == 1:
        return f"{what}. It is the only recipe."
    if not tied:
        return f"{what}, and it beats each of the other {number - 1} recipes."
    names = ", ".join(tied) if len(tied) <= 4 else f"{', '.join(tied[:3])} and {len(tied) - 3} more"
    return f"No winner: {what}, but these {mean.n} questions do not tell it from {names}."


def _contexts(outcomes: Sequence[Outcome], here: Sequence[Difference]) -> list[str]:
    contexts = dict.fromkeys(one.context for one in outcomes if one.baseline is not None)
    owner = {one.name: one.context for one in outcomes}
    told = []
    for context in contexts:
        rows = [one for one in here if one.against == "baseline" and owner[one.name] == context]
        if rows:
            mean = sum(one.mean for one in rows) / len(rows)
            better, worse = (sum(one.verdict == verdict for one in rows) for verdict in ("better", "worse"))
            told.append(
                f"Context {context}: {mean:+.3f} on average against plain chunks of the same size; "
                f"better in {better} of {len(rows)} comparisons, worse in {worse}."
            )
    return told


def _sizes(outcomes: Sequence[Outcome], means: Mapping[str, Estimate]) -> list[str]:
    told = []
    for kind in dict.fromkeys(one.kind for one in outcomes if one.size and one.context == "plain"):
        sizes = sorted((one.size, means[one.name].mean) for one in outcomes if one.kind == kind and one.context == "plain")
        if len(sizes) > 1:
            told.append(f"Plain {kind} chunks by size: " + ", ".join(f"{size} {mean:.3f}" for size, mean in sizes) + ".")
    return told
