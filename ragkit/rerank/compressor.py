"""Token compressors: the states of a window's tokens become a few sign-coded vectors, a question's become gated rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ragkit.errors import InvalidInputError
from ragkit.rerank.merging import ward
from ragkit.rerank.parameters import Parameters, load_parameters, shipped
from ragkit.rerank.states import normalise_layers, softplus, unit
from ragkit.rerank.types import Code, CompressorCard, QueryCode
from ragkit.rerank.untrained import untrained_parameters
from ragkit.seams import TokenReader, TokenStates, Vectors
from ragkit.types import ModelCard, digest
from ragkit.vec.maxsim import pack_signs
from ragkit.vec.product import product

WINDOW = 256
#: How codes are made of the same parameters; another way makes other codes.
_MERGING = "ward of tokens by the root of their gates"


class TokenCompressor:
    """Projects token states to short vectors, merges them to at most ``vectors``, and keeps their signs.

    ``parameters`` is None for those that ship with ragkit (trained for all-MiniLM-L6-v2), "untrained" for the principal axes and
    token frequencies alone, a path of parameters that ``ragkit train rerank`` wrote, or ``Parameters``. ``vectors`` and ``bits``
    choose a smaller code: 64 vectors of 128 bits are 1,024 bytes a window, of 64 bits 512; ``bits`` is one of ``card.nested`` or
    the full width. Raises InvalidInputError for sizes the parameters do not have, LoadError for unreadable files.
    """

    def __init__(self, parameters: Parameters | str | None = None, *, vectors: int = 64, bits: int | None = None) -> None:
        if not isinstance(parameters, Parameters):
            named = "trained" if parameters is None else parameters
            parameters = shipped(named) if named in ("trained", "untrained") else load_parameters(named)
        sizes = sorted({*parameters.nested, parameters.bits})
        if bits is not None and bits not in sizes:
            raise InvalidInputError(f"bits is {bits!r}; {parameters.name!r} has {', '.join(map(str, sizes))}.")
        if not isinstance(vectors, int) or isinstance(vectors, bool) or not 1 <= vectors <= 4096:
            raise InvalidInputError(f"vectors is {vectors!r}; it is how many vectors a window may have, 1 to 4096.")
        width = parameters.bits if bits is None else bits
        self.parameters = parameters
        self._documents, self._queries = parameters.documents[:, :width], parameters.queries[:, :width]
        self.card = CompressorCard(
            name=parameters.name,
            model=parameters.model,
            layers=parameters.layers,
            vectors=vectors,
            bits=width,
            window=WINDOW,
            weights=digest(parameters.digest, _MERGING),
            nested=tuple(size for size in sizes if size < width),
        )

    @classmethod
    def untrained(
        cls, reader: TokenReader, texts: Sequence[str], *, layers: tuple[int, ...], vectors: int = 64, bits: int = 128
    ) -> TokenCompressor:
        """A compressor for any model, fitted to texts without training: principal axes of its states, and token frequencies."""
        return cls(untrained_parameters(reader, texts, layers=layers, bits=bits), vectors=vectors)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers to read, in the order of the columns of ``TokenStates.states``."""
        return self.card.layers

    def fits(self, card: ModelCard) -> bool:
        """Whether this model's token states are those the parameters were made for: by its weights, not its name."""
        return card.weights == self.card.model

    def compress(self, states: TokenStates) -> Code:
        """The code of one pass over a text; fewer tokens than vectors: each is its own. A pass without tokens: no vectors."""
        x = normalise_layers(states.states, len(self.layers))
        tokens = unit(product(x, self._documents))
        # Tokens that no question would count lie close to the origin and to each other, so they are merged before the telling ones.
        members = ward(tokens * np.sqrt(self._gates(x, states.ids))[:, None], self.card.vectors)
        salience = softplus(np.einsum("nd,d->n", x, self.parameters.salience) + 1.0)
        k = int(members.max(initial=-1)) + 1
        by_member = np.argsort(members, kind="stable")
        sums = np.add.reduceat((tokens * salience[:, None])[by_member], np.searchsorted(members[by_member], np.arange(k)))
        mass = np.bincount(members, salience * self._rarity(states.ids), minlength=k)
        by_mass = np.argsort(-mass, kind="stable")
        places = np.empty(k, np.int16)
        places[by_mass] = np.arange(k)
        return Code(pack_signs(sums[by_mass]), places[members])

    def query(self, states: TokenStates) -> QueryCode:
        """A question's token vectors, unit rows, and their gates."""
        x = normalise_layers(states.states, len(self.layers))
        return QueryCode(unit(product(x, self._queries)), self._gates(x, states.ids), states.ids, states.starts, states.ends)

    def _gates(self, x: Vectors, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        """How much each of these tokens counts, as it would in a question."""
        return softplus(np.einsum("nd,d->n", x, self.parameters.gate) + self._logits(ids))

    def _logits(self, ids: NDArray[np.int32]) -> Vectors:
        """A token beyond the table was never met, so it counts as the rarest does."""
        table = self.parameters.logits
        found: Vectors = np.where(ids < len(table), table[np.minimum(ids, len(table) - 1)], table.max())
        return found

    def _rarity(self, ids: NDArray[np.int32]) -> Vectors:
        return softplus(self._logits(ids))
