"""What a model folder says about itself: pooling, prompts, window, what follows pooling; read from its files, without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Any

from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, ModelNotFoundError

POOLINGS = ("mean", "cls", "lasttoken", "max")
_OLD_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")
#: These count positions from the padding id + 1, so that many rows of the position table are never used.
_PADDED_POSITIONS = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "xlm-roberta-xl",
        "camembert",
        "mpnet",
        "longformer",
        "data2vec-text",
        "roberta-prelayernorm",
        "xmod",
        "ibert",
    }
)
#: transformers writes 1e30 where a tokenizer has no limit.
_NO_LIMIT = 10**9
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """A linear layer after pooling: its folder, output size and the dotted name of its activation class."""

    folder: Path
    n_in: int
    n_out: int
    bias: bool
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """The facts of one model folder.

    ``pooling`` is None where the folder does not say. ``window`` is the length the model was set up for and
    ``reach`` the longest input its position table takes, both in tokens with special tokens; None where
    nothing limits them. ``head`` holds what follows pooling, in order: a Dense, or "normalize".
    """

    folder: Path
    pooling: str | None
    pool_prompt: bool
    head: tuple[Dense | str, ...]
    query_prompt: str
    document_prompt: str
    window: int | None
    reach: int | None
    lowercase: bool
    hidden: int
    n_layers: int
    vocab: int
    model_type: str
    weights: tuple[Path, ...]

    @property
    def dim(self) -> int:
        """Length of the vectors before Matryoshka slicing."""
        dense = [part.n_out for part in self.head if isinstance(part, Dense)]
        return dense[-1] if dense else self.hidden


def read_spec(folder: Path) -> ModelSpec:
    """Read a folder in the layout of transformers or sentence-transformers.

    Raises ModelNotFoundError for a folder without config or weights, CapabilityError for modules that ragkit
    does not run, EmbeddingError for damaged files.
    """
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise ModelNotFoundError(
            f"{str(folder)!r} is no model: it has neither config.json nor modules.json. Give a model's own folder."
        )
    modules = _read_json(folder / "modules.json", optional=True) or [{"type": "Transformer", "path": ""}]
    body, pooling_config, head = _read_modules(folder, modules)
    if not (body / "config.json").is_file():
        raise ModelNotFoundError(
            f"{str(body)!r} has no config.json; the model's files are incomplete. Copy or download it again."
        )
    config = _read_json(body / "config.json")
    text_config = config.get("text_config", config)
    settings = _read_json(body / "sentence_bert_config.json", optional=True) or {}
    prompts = (_read_json(folder / "config_sentence_transformers.json", optional=True) or {}).get("prompts") or {}
    tokenizer_config = _read_json(body / "tokenizer_config.json", optional=True) or {}
    reach = _reach(text_config)
    window = settings.get("max_seq_length") or tokenizer_config.get("model_max_length")
    limits = [int(limit) for limit in (window, reach) if limit is not None and limit < _NO_LIMIT]
    return ModelSpec(
        folder=body,
        pooling=_pooling(pooling_config, folder) if pooling_config is not None else None,
        pool_prompt=bool((pooling_config or {}).get("include_prompt", True)),
        head=head,
        query_prompt=prompts.get("query") or "",
        document_prompt=next((prompts[name] for name in _DOCUMENT_PROMPTS if prompts.get(name)), ""),
        window=min(limits) if limits else None,
        reach=reach,
        lowercase=bool(settings.get("do_lower_case")),
        hidden=_number(text_config, folder, "hidden_size", "dim", "d_model", "n_embd"),
        n_layers=_number(text_config, folder, "num_hidden_layers", "n_layers", "num_layers", "n_layer"),
        vocab=_number(text_config, folder, "vocab_size"),
        model_type=str(config.get("model_type", "")),
        weights=_weights(body) + tuple(path for part in head if isinstance(part, Dense) for path in _weights(part.folder)),
    )


def _read_json(path: Path, *, optional: bool = False) -> Any:
    if optional and not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EmbeddingError(f"{str(path)!r} of the model cannot be read: {error}. Copy or download the model again.") from error


def _read_modules(folder: Path, modules: list[dict[str, Any]]) -> tuple[Path, dict[str, Any] | None, tuple[Dense | str, ...]]:
    body, pooling, head = folder, None, list[Dense | str]()
    for module in modules:
        kind, path = str(module["type"]).rsplit(".", 1)[-1], folder / str(module.get("path", ""))
        if kind == "Transformer":
            body = path
        elif kind == "Pooling":
            pooling = _read_json(path / "config.json")
        elif kind == "Dense" and pooling is not None:
            head.append(_dense(path))
        elif kind == "Normalize" and pooling is not None:
            head.append("normalize")
        elif kind != "Dropout":
            raise CapabilityError(
                f"The model in {str(folder)!r} has the module {module['type']!r} at place {module.get('idx')}; ragkit runs Transformer, "
                "then Pooling, then Dense, Normalize and Dropout. Wrap sentence-transformers yourself for this model."
            )
    return body, pooling, tuple(head)


def _dense(folder: Path) -> Dense:
    config = _read_json(folder / "config.json")
    unusual = {key: config[key] for key in ("module_input_name", "module_output_name", "use_residual") if config.get(key)}
    activation = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    if set(unusual.values()) - {"sentence_embedding"} or not activation.startswith("torch.nn.modules."):
        raise CapabilityError(
            f"The Dense module in {str(folder)!r} has {unusual or activation!r}; ragkit runs a plain linear layer on the pooled vector with an "
            "activation of torch.nn. Wrap sentence-transformers yourself for this model."
        )
    return Dense(
        folder=folder,
        n_in=int(config["in_features"]),
        n_out=int(config["out_features"]),
        bias=bool(config.get("bias", True)),
        activation=activation,
    )


def _pooling(config: Mapping[str, Any], folder: Path) -> str:
    modes = config.get("pooling_mode") or [mode for key, mode in _OLD_POOLING_KEYS.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise CapabilityError(f"The model in {str(folder)!r} pools by {modes}; ragkit pools by one of {', '.join(POOLINGS)}.")
    return str(modes[0])


def _reach(config: Mapping[str, Any]) -> int | None:
    positions = config.get("max_position_embeddings", config.get("n_positions"))
    if positions is None or positions <= 0 or config.get("model_type") in {"t5", "mt5", "umt5", "xlnet"}:
        return None  # relative positions: n_positions there is no table
    if config.get("model_type") in _PADDED_POSITIONS:
        return int(positions) - int(config.get("pad_token_id", 1)) - 1
    return int(positions)


def _number(config: Mapping[str, Any], folder: Path, *names: str) -> int:
    for name in names:
        if isinstance(config.get(name), int):
            return int(config[name])
    raise CapabilityError(
        f"config.json of {str(folder)!r} has none of {', '.join(names)}; ragkit cannot tell the size of this model."
    )


def _weights(folder: Path) -> tuple[Path, ...]:
    for name in _WEIGHTS:
        path = folder / name
        if not path.is_file():
            continue
        if not name.endswith(".index.json"):
            return (path,)
        shards = sorted({str(shard) for shard in _read_json(path).get("weight_map", {}).values()})
        missing = [shard for shard in shards if not (folder / shard).is_file()]
        if missing:
            raise ModelNotFoundError(f"{str(folder)!r} lacks the weight files {missing}. Copy or download the model again.")
        return tuple(folder / shard for shard in shards)
    raise ModelNotFoundError(
        f"No weights in {str(folder)!r} (looked for {', '.join(_WEIGHTS)}). Copy or download the model again."
    )


_DIGESTS: dict[tuple[str, int, int], str] = {}
_DIGESTING = Lock()


def files_digest(paths: tuple[Path, ...]) -> str:
    """BLAKE2b-128 of the files' bytes, 32 hex digits; remembered in this process by path, size and time of change."""
    parts: list[str] = []
    for path in paths:
        facts = path.stat()
        key = (str(path.resolve()), facts.st_size, facts.st_mtime_ns)
        with _DIGESTING:
            if key not in _DIGESTS:
                state = blake2b(digest_size=16)
                with path.open("rb") as file:
                    while block := file.read(1 << 22):
                        state.update(block)
                _DIGESTS[key] = state.hexdigest()
        parts.append(_DIGESTS[key])
    return parts[0] if len(parts) == 1 else blake2b("".join(parts).encode(), digest_size=16).hexdigest()


def check_choices(spec: ModelSpec, *, pooling: str | None, dims: int | None, layers: int | None, window: int | None) -> None:
    """Raise InvalidInputError or CapabilityError for choices the model cannot follow."""
    if pooling is not None and pooling not in POOLINGS:
        raise InvalidInputError(f"pooling={pooling!r}; allowed: {', '.join(POOLINGS)}, or None for the model's own.")
    if pooling is None and spec.pooling is None:
        raise CapabilityError(
            f"The files in {str(spec.folder)!r} do not say how to pool tokens into one vector (no modules.json with a Pooling module). "
            "Pass the pooling the model was trained with: pooling='mean', 'cls' or 'lasttoken' (decoders)."
        )
    if dims is not None and not 1 <= dims <= spec.dim:
        raise InvalidInputError(f"dims={dims}; this model gives {spec.dim} dimensions, so 1 to {spec.dim} are allowed.")
    if layers is not None and not 1 <= layers <= spec.n_layers:
        raise InvalidInputError(f"layers={layers}; this model has {spec.n_layers} layers, so 1 to {spec.n_layers} are allowed.")
    if window is None and spec.window is None:
        raise InvalidInputError(
            f"The files in {str(spec.folder)!r} name no longest input. Pass window= (tokens, special tokens included)."
        )
    if window is not None and not 1 <= window <= (spec.reach or window):
        raise InvalidInputError(
            f"window={window}; the model's position table ends at {spec.reach} tokens, so 1 to {spec.reach} are allowed."
        )
