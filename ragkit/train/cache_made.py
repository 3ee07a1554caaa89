"""Pairs made from prompts alone: by rule, or by a language model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from ragkit.cache.pairs import LabelledPair
from ragkit.errors import InvalidInputError

_NUMBER = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d_]{4,}")
_LEADS = (
    "Please tell me: {}",
    "{} Thanks in advance.",
    "I would like to know: {}",
    "Quick question: {}",
    "Could you tell me: {}",
)
_SAME = (
    ("what is", "what's"), ("how do i", "how can i"), ("how can i", "how do i"), ("do not", "don't"), ("cannot", "can't"),
    ("is there a way to", "how can i"), ("i want to", "i would like to"), ("which", "what"), ("buy", "purchase"), ("begin", "start"),
    ("big", "large"), ("quick", "fast"), ("fix", "repair"), ("help", "assist"), ("get", "obtain"), ("show", "display"),
)  # fmt: skip
_OPPOSITE = (
    ("increase", "decrease"), ("open", "close"), ("start", "stop"), ("enable", "disable"), ("before", "after"), ("buy", "sell"),
    ("first", "last"), ("more", "less"), ("best", "worst"), ("can", "can't"), ("is", "isn't"), ("does", "doesn't"), ("should", "shouldn't"),
    ("with", "without"), ("add", "remove"), ("import", "export"), ("legal", "illegal"), ("safe", "unsafe"),
)  # fmt: skip

_ASK = """Write about this question from a user:

{prompt}

First line: the same question in other words. Second line: another question on the same subject that needs a different answer.
Write these two lines and nothing else."""


def pairs_by_rule(prompts: Sequence[str], *, seed: int = 0) -> list[LabelledPair]:
    """A paraphrase and near misses of each prompt: courtesies and other words; another number, an opposite, another prompt's word.

    What a rule makes is easier than what people write. Judge with labelled pairs, or read the gain as a lower bound of nothing.
    Raises InvalidInputError for fewer than two different prompts.
    """
    unique = [one for one in dict.fromkeys(prompt.strip() for prompt in prompts) if one]
    if len(unique) < 2:
        raise InvalidInputError(f"There are {len(unique)} different prompts; at least 2 are needed to make pairs.")
    rng = np.random.default_rng(seed)
    words = [_WORD.findall(one) for one in unique]
    pairs = []
    for place, prompt in enumerate(unique):
        alike = _exchanged(prompt, _SAME, rng) or prompt
        pairs.append(LabelledPair(prompt, str(rng.choice(_LEADS)).format(alike), True))
        other = int(rng.integers(len(unique) - 1))
        missed = [
            _NUMBER.sub(lambda found: str(int(found[0]) + 1), prompt, count=1) if _NUMBER.search(prompt) else None,
            _exchanged(prompt, _OPPOSITE, rng),
            _borrowed(prompt, words[place], words[other + (other >= place)], rng),
        ]
        pairs += [LabelledPair(prompt, one, False) for one in missed if one and one != prompt]
    return pairs


def pairs_by_model(prompts: Sequence[str], ask: Callable[[str], str]) -> list[LabelledPair]:
    """A paraphrase and a near miss of each prompt, written by a language model (Gill et al., arXiv 2504.02268).

    ``ask`` gets an instruction and returns the model's text, two lines; an answer of another form is left out. What ``ask`` raises is
    raised. Raises InvalidInputError where no answer had the form.
    """
    pairs = []
    for prompt in prompts:
        lines = [line.strip() for line in ask(_ASK.format(prompt=prompt)).splitlines() if line.strip()]
        if len(lines) == 2 and prompt not in lines and lines[0] != lines[1]:
            pairs += [LabelledPair(prompt, lines[0], True), LabelledPair(prompt, lines[1], False)]
    if not pairs:
        raise InvalidInputError(
            f"None of the {len(prompts)} answers was two lines, a paraphrase and another question. Check the model."
        )
    return pairs


def _exchanged(prompt: str, table: Sequence[tuple[str, str]], rng: np.random.Generator) -> str | None:
    """The prompt with one word or phrase of the table exchanged, in whichever direction ``table`` gives; None where none occurs."""
    for at in rng.permutation(len(table)):
        one, other = table[at]
        changed = re.sub(rf"\b{re.escape(one)}\b", other, prompt, count=1, flags=re.IGNORECASE)
        if changed != prompt:
            return changed
    return None


def _borrowed(prompt: str, own: Sequence[str], others: Sequence[str], rng: np.random.Generator) -> str | None:
    """The prompt with its longest word replaced by a long word of another one."""
    fresh = [word for word in others if word.casefold() not in prompt.casefold()]
    if not own or not fresh:
        return None
    return prompt.replace(max(own, key=len), str(rng.choice(fresh)), 1)
