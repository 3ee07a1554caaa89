"""The sentences that say most about a text, chosen without a model."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

_WORD = re.compile(r"[^\W_]{3,}")


def central_sentences(sentences: Sequence[str]) -> list[int]:
    """Numbers of the sentences, nearest to the centre first: cosine to the mean TF-IDF vector, ties in order.

    Each sentence counts as a document of its own (Radev et al., "Centroid-based summarization", 2004). Sentences
    without a word of three letters come last.
    """
    bags = [Counter(_WORD.findall(sentence.lower())) for sentence in sentences]
    seen = Counter(word for bag in bags for word in bag)
    weights = {word: math.log((1 + len(bags)) / n) for word, n in seen.items()}
    centre: defaultdict[str, float] = defaultdict(float)
    vectors: list[dict[str, float]] = []
    for bag in bags:
        vector = {word: n * weights[word] for word, n in bag.items()}
        length = math.sqrt(sum(value * value for value in vector.values())) or 1.0
        vectors.append({word: value / length for word, value in vector.items()})
        for word, value in vectors[-1].items():
            centre[word] += value
    scores = [sum(value * centre[word] for word, value in vector.items()) for vector in vectors]
    return sorted(range(len(sentences)), key=lambda at: (-scores[at], at))
