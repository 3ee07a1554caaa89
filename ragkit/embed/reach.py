"""Reading beyond a model's window: which methods there are, which models can follow them, and what the card says.

The methods are those of LongEmbed (Zhu et al., 2404.12096) and the temperature that of TempScale (Zhou et al., 2410.24200).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ragkit.embed.spec import ModelSpec
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError
from ragkit.types import canonical_json

#: Model types with a table of positions whose rows are given by number: those whose code was read.
ABSOLUTE = ("bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
#: Model types that rotate queries and keys, and hand them to transformers' attention interface.
ROTARY = ("eurobert", "gte", "jina_embeddings_v3", "modernbert", "nomic_bert")
#: Where the scores are queries times keys and nothing else: mpnet adds a bias, others normalise queries after the projection.
TEMPERED = tuple(sorted({*ABSOLUTE, *ROTARY} - {"mpnet"}))
_TYPES = {
    "grouped": ABSOLUTE,
    "recurrent": ABSOLUTE,
    "interpolated": ABSOLUTE,
    "parallel": None,
    "ntk": ROTARY,
    "self-extend": ROTARY,
}
METHODS = tuple(_TYPES)
_OWN = {"theta_scale": "ntk", "neighbours": "self-extend", "group": "self-extend"}
#: Lambda over s: what LongEmbed takes for 512 to 4096 and for 4k to 32k tokens, 10 for 8.
_ABOVE_SCALE = 1.25


@dataclass(frozen=True, slots=True)
class Extend:
    """How to read texts beyond the model's own window, without training (LongEmbed, 2404.12096).

    ``base`` is the length the model reads as it was trained, in tokens with special tokens; None takes the window in its
    files. With ``s = ceil(window / base)``, token i of a text longer than ``base`` gets

    - "grouped": position ``i // s``; "recurrent": position ``i % base``; "interpolated": row i of a table stretched
      s times, new rows on the line between their neighbours. For models with a table of positions.
    - "ntk": rotary frequencies with theta times ``theta_scale`` (None: 1.25 s). For rotary models; it changes short texts too.
    - "self-extend": exact relative positions to the ``neighbours`` (None: ``base // 8``) tokens on either side, and those of
      groups of ``group`` tokens (None: the fewest that keep every distance below ``base``) beyond. For rotary models.
    - "parallel": the text is read in windows of ``base`` tokens, the last moved left until full, each with special tokens and
      prompt, and the mean of their unit vectors is the vector. For every model, and plain texts only.

    Except for "ntk", a text of at most ``base`` tokens has the vector it has without extension. ModernBERT's local
    layers see 64 tokens either way and are left as they are. Raises InvalidInputError for an unknown method or numbers out of range.
    """

    method: str
    base: int | None = None
    theta_scale: float | None = None
    neighbours: int | None = None
    group: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InvalidInputError(f"extend={self.method!r}; allowed: {', '.join(METHODS)}.")
        for name, owner in _OWN.items():
            if getattr(self, name) is not None and self.method != owner:
                raise InvalidInputError(
                    f"{name}={getattr(self, name)!r} belongs to {owner!r}, not to {self.method!r}. Leave it out."
                )
        for name in ("base", "neighbours", "group"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise InvalidInputError(f"{name}={number!r}; it is a number of tokens, at least 1.")
        if self.theta_scale is not None and not 1.0 <= self.theta_scale < math.inf:
            raise InvalidInputError(f"theta_scale={self.theta_scale!r}; it is at least 1 (1.25 times window / base is usual).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """An Extend with all its numbers, for one model and one window; what the card keeps."""

    method: str
    base: int
    window: int
    theta_scale: float | None = None
    neighbours: int | None = None
    group: int | None = None

    @property
    def scale(self) -> int:
        """How many times longer texts get, ``s``."""
        return -(-self.window // self.base)

    def to_text(self) -> str:
        """For a card's settings; the window stands in the card itself."""
        return canonical_json({key: value for key, value in asdict(self).items() if value is not None and key != "window"})


def extend_from_text(text: str) -> Extend:
    """The Extend that a card's settings tell of; raises EmbeddingError where it cannot be read."""
    try:
        return Extend(**json.loads(text))
    except (TypeError, ValueError) as error:
        raise EmbeddingError(
            f"The model card's extend is {text!r}, which this version of ragkit does not read: {error}"
        ) from error


def plan_reach(spec: ModelSpec, extend: Extend, window: int | None) -> Reach:
    """The numbers of an extension; CapabilityError where the model cannot, InvalidInputError where it makes no sense."""
    types = _TYPES[extend.method]
    if types is not None and spec.model_type not in types:
        others = [method for method, allowed in _TYPES.items() if allowed is None or spec.model_type in allowed]
        raise CapabilityError(
            f"extend={extend.method!r} is for models of type {', '.join(types)}; {spec.model_type!r} is none of them. For this model: "
            f"{', '.join(others)}."
        )
    config = _config(spec)
    if types is ABSOLUTE and config.get("position_embedding_type", "absolute") != "absolute":
        raise CapabilityError(
            f"extend={extend.method!r} needs a table of positions; this model has position_embedding_type="
            f"{config['position_embedding_type']!r}. Use extend='parallel'."
        )
    unusual = sorted({kind for kind in _rope_types(config) if kind != "default"})
    if types is ROTARY and unusual:
        raise CapabilityError(
            f"extend={extend.method!r} needs plain rotary positions; this model's are scaled already (rope type {', '.join(unusual)}). "
            "Use extend='parallel'."
        )
    base = extend.base or spec.window
    if base is None:
        raise InvalidInputError(
            f"The files in {str(spec.folder)!r} name no longest input. Pass extend=Extend({extend.method!r}, base=...)."
        )
    if base > (spec.reach or base):
        raise InvalidInputError(
            f"base={base}; the model's own positions end at {spec.reach} tokens, so 1 to {spec.reach} are allowed."
        )
    if window is None or window <= base:
        raise InvalidInputError(
            f"window={window} with extend={extend.method!r}: the model reads {base} tokens without it. Pass a larger window=, or leave "
            "extend out."
        )
    if extend.method == "ntk":
        return Reach(method="ntk", base=base, window=window, theta_scale=extend.theta_scale or _ABOVE_SCALE * -(-window // base))
    if extend.method == "self-extend":
        near = extend.neighbours or max(1, base // 8)
        group = extend.group or _least_group(base, window, near)
        return Reach(method=extend.method, base=base, window=window, neighbours=near, group=group)
    return Reach(method=extend.method, base=base, window=window)


def check_temperature(spec: ModelSpec, temperature: float) -> None:
    """Raise InvalidInputError for a number that is no temperature, CapabilityError where scaling the queries would not be exact."""
    if not isinstance(temperature, (int, float)) or isinstance(temperature, bool) or not 0.0 < temperature < math.inf:
        raise InvalidInputError(f"temperature={temperature!r}; it is above 0 (0.5 to 0.8 are usual, 1 changes nothing).")
    if spec.model_type not in TEMPERED:
        raise CapabilityError(
            f"temperature= scales the query weights, which is exact for models of type {', '.join(TEMPERED)}; {spec.model_type!r} is none "
            "of them: its scores hold more than queries times keys, or its code was not checked. Leave temperature out."
        )


def _least_group(base: int, window: int, near: int) -> int:
    if near >= base:
        raise InvalidInputError(f"neighbours={near}; it must be below base={base}, so that distant tokens have positions left.")
    group = 1
    while (window - 1) // group + near - near // group >= base:
        group += 1
        if group > window:
            raise InvalidInputError(
                f"neighbours={near} leaves no room below base={base} for {window} tokens. Lower neighbours or the window."
            )
    return group


def _config(spec: ModelSpec) -> Mapping[str, Any]:
    config: Mapping[str, Any] = json.loads((spec.folder / "config.json").read_text(encoding="utf-8"))
    return config


def _rope_types(config: Mapping[str, Any]) -> Iterator[str]:
    for name in ("rope_parameters", "rope_scaling"):
        settings = config.get(name) or {}
        for one in (settings, *(value for value in settings.values() if isinstance(value, dict))):
            kind = one.get("rope_type", one.get("type"))
            if isinstance(kind, str):
                yield kind
