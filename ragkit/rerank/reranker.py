"""CompressedReranker: questions meet compressed passages, and never the text."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from ragkit.embed import TransformerEmbedder
from ragkit.errors import InvalidInputError
from ragkit.rerank.attentive import TransformerScorer
from ragkit.rerank.blend import DEFAULT_BLEND, Blend
from ragkit.rerank.compressor import TokenCompressor
from ragkit.rerank.passages import Passages, compress, passages, require
from ragkit.rerank.placing import place
from ragkit.rerank.types import Compressor, QueryCode
from ragkit.seams import TokenReader, Vectors
from ragkit.types import Hit
from ragkit.vec.maxsim import max_sim, sketches

Floats = NDArray[np.float64]
#: Scores passages, in the order of the ids, for a question; higher is better.
Scorer = Callable[[QueryCode, Passages, Sequence[str]], Floats]
#: Passages whose token states are in memory at once, where they are compressed on the fly.
_AT_ONCE = 64


def bit_max_sim(query: QueryCode, found: Passages, ids: Sequence[str]) -> Floats:
    """Gated MaxSim of float query tokens against sign-coded vectors, in [-1, 1]; a passage's windows count as one."""
    codes, counts, owners = found.only(ids)
    return max_sim(query.vectors, query.gates, codes, counts, owners=owners)


class CompressedReranker:
    """Puts hits in a new order by what their codes say; give it to ``index.search(..., rerank=CompressedReranker())``.

    With an ``Index`` the codes come from its table, the question's token states from the pass that made its vector, and no text
    is read. Hits without codes keep their place, have no part "rerank", and a RuntimeWarning says how many they are. Called alone,
    ``reranker(query, hits)`` compresses the hits' texts on the fly, by ``reader``.

    - ``compressor``: None takes the one that ships with ragkit, trained for all-MiniLM-L6-v2.
    - ``weights``: how its score and the arms' own are blended.
    - ``depth``: so many of the best hits are reranked, the rest stays behind them as it is.
    - ``vectors``, ``bits``: read only the first so many vectors of a window and bits of a vector; ``bits`` is one of the card's.
    - ``scorer``: another way to score passages, given (question, passages, their ids): a ``TransformerScorer``, or a large compressor's own
      model that reads both together. The bytes of a code are in the latter case its compressor's affair, so likes have no vote.
    - ``reader``: who reads questions, and texts where there are no codes; None takes the index's embedder, or
      ``TransformerEmbedder()`` where there is none. The model must be the one the compressor was made for.

    The result depends on the set of the hits, not on their order, nor on which questions are asked together. Safe for several threads.
    """

    def __init__(
        self,
        compressor: Compressor | None = None,
        *,
        weights: Blend = DEFAULT_BLEND,
        depth: int = 100,
        vectors: int | None = None,
        bits: int | None = None,
        scorer: Scorer = bit_max_sim,
        reader: TokenReader | None = None,
    ) -> None:
        for name, value in (("depth", depth), ("vectors", 1 if vectors is None else vectors)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise InvalidInputError(f"{name} is {value!r}; it must be a whole number, at least 1.")
        self.weights, self.depth = weights, depth
        self.scorer, self._reader, self._compressor = scorer, reader, compressor
        self._vectors, self._bits = vectors, bits
        self._lock = RLock()

    def __repr__(self) -> str:
        return f"CompressedReranker({self.compressor.card.name!r})"

    @property
    def compressor(self) -> Compressor:
        """The compressor whose codes are read; raises LoadError where the shipped one cannot be."""
        with self._lock:
            if self._compressor is None:
                self._compressor = TokenCompressor()
            card = self._compressor.card
            if self._bits is not None and self._bits not in (*card.nested, card.bits):
                raise InvalidInputError(
                    f"bits is {self._bits!r}; {card.name!r} has {', '.join(map(str, (*card.nested, card.bits)))}."
                )
            if isinstance(self.scorer, TransformerScorer):
                self.scorer.require(card, bits=self._bits or card.bits)
            return self._compressor

    @property
    def sizes(self) -> tuple[int, int]:
        """How many vectors of a window are read, and how many bits of a vector."""
        card = self.compressor.card
        return min(self._vectors or card.vectors, card.vectors), self._bits or card.bits

    @property
    def given_reader(self) -> TokenReader | None:
        """The reader this reranker was made with."""
        return self._reader

    @property
    def reader(self) -> TokenReader:
        """Who reads when the reranker is called alone. Raises CapabilityError for a model that the compressor was not made for."""
        with self._lock:
            if self._reader is None:
                self._reader = TransformerEmbedder()
            require(self.compressor, self._reader)
            return self._reader

    def __call__(self, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """All the hits in their new order, their texts compressed on the fly."""
        asked = list(hits)[: self.depth]
        texts = dict(zip((hit.chunk.id for hit in asked), (hit.chunk.text for hit in asked), strict=True))
        return self.rank(self.question(query), hits, self.read(texts))

    def scores(self, query: str, texts: Sequence[str]) -> Floats:
        """What the reranker alone says of plain texts, float64 ``(n,)``, higher is better."""
        named = {str(at): text for at, text in enumerate(texts)}
        return self.score(self.question(query), self.read(named), list(named))

    def question(self, query: str) -> QueryCode:
        """A question's code. A question of any length is read whole, in passes where it is beyond the model's window."""
        if not isinstance(query, str):
            raise InvalidInputError(f"The query is {query!r} ({type(query).__name__}); a query is text.")
        (states,) = self.reader.read_queries([query], layers=self.compressor.layers)
        return self.compressor.query(states)

    def read(self, texts: dict[str, str]) -> Passages:
        """The codes of texts by their ids; a text of any length, window by window."""
        compressor, names = self.compressor, list(texts)
        compressed = []
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            read = self.reader.read_texts([texts[name] for name in some], layers=compressor.layers)
            compressed += [(name, compress(compressor, found)) for name, found in zip(some, read, strict=True)]
        return passages(compressor.card, compressed)

    def score(self, query: QueryCode, found: Passages, ids: Sequence[str]) -> Floats:
        """The scorer's scores of these passages, of as many vectors and bits as this reranker reads."""
        vectors, bits = self.sizes
        return self.scorer(query, found.smaller(self.compressor.card, vectors=vectors, bits=bits), ids)

    def rank(self, query: QueryCode, hits: Sequence[Hit], found: Passages, *, weights: Blend | None = None) -> list[Hit]:
        """All the hits, the first ``depth`` in their new order; one whose codes are not among those found keeps its place.

        ``weights`` None takes the reranker's own.
        """
        asked = list(hits)[: self.depth]
        ids = sorted({hit.chunk.id for hit in asked if hit.chunk.id in found})
        missing = sum(hit.chunk.id not in found for hit in asked)
        if missing:
            warnings.warn(
                f"{missing} of {len(asked)} hits have no codes of the compressor {self.compressor.card.name!r} "
                f"({self.compressor.card.fingerprint[:12]}) and keep their place. Make them with index.codes.fill() or `ragkit index --compress`.",
                RuntimeWarning,
                stacklevel=2,
            )
        late = dict(zip(ids, self.score(query, found, ids).tolist(), strict=True)) if ids else {}
        return place(hits, late, weights or self.weights, sketches=self._sketches(found, ids))

    def _sketches(self, found: Passages, ids: Sequence[str]) -> Vectors | None:
        if self.scorer is not bit_max_sim and not isinstance(self.scorer, TransformerScorer):
            return None
        codes, counts, owners = found.only(ids)
        return sketches(codes, counts, owners=owners)
