"""The model itself, on torch: loaded once, called without state from any number of threads."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.embed.lean import Lean, lean
from ragkit.embed.positions import Numbered, with_positions
from ragkit.embed.reach import Reach
from ragkit.embed.rotary import SELF_EXTEND, Grouped, register_self_extend, scale_theta, with_groups
from ragkit.embed.spec import Dense, ModelSpec
from ragkit.embed.temperature import scale_queries
from ragkit.embed.tokens import Ids, Job
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, MissingDependencyError
from ragkit.seams import Receive, TokenStates, Vectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import Tensor, nn


#: Pooled rows that go through what follows pooling at once.
_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """Which layers' states are wanted (0: the input, i: the output of layer i), and who gets them, batch by batch."""

    layers: Sequence[int]
    receive: Receive


@dataclass(frozen=True, slots=True)
class Pools:
    """What has been pooled so far: sums (or maxima) of token vectors, float32 ``(n, hidden)``, and how many tokens."""

    values: Vectors
    counts: Vectors

    def add(self, rows: Sequence[int], parts: Vectors, counts: Vectors, pooling: str) -> None:
        """Add pooled ``parts``, one per row, each the mean (or maximum) of so many tokens; rows may repeat."""
        if pooling == "max":
            np.maximum.at(self.values, rows, parts)
        else:
            np.add.at(self.values, rows, parts * counts[:, None])
        np.add.at(self.counts, rows, counts)


class Encoder:
    """A loaded model: jobs go in, pools fill up, unit vectors come out."""

    def __init__(
        self,
        model: nn.Module | Numbered | Grouped,
        head: Sequence[Callable[[Tensor], Tensor]],
        *,
        pooling: str,
        pad: int,
        dims: int | None,
        width: int,
        lean: Lean | None = None,
    ) -> None:
        self._model = model
        self._lean = lean
        self._head = tuple(head)
        self._pooling = pooling
        self._pad = pad
        self._dims = dims
        self._width = width
        self._device = next(model.parameters()).device

    @property
    def pooling(self) -> str:
        """How tokens become one vector."""
        return self._pooling

    @property
    def model(self) -> nn.Module | Numbered | Grouped:
        """The transformer that reads; what follows pooling is not part of it."""
        return self._model

    def pools(self, n: int) -> Pools:
        """Empty pools of ``n`` output rows, for ``encode`` to fill and ``finish`` to turn into vectors."""
        start = -np.inf if self._pooling == "max" else 0.0
        return Pools(np.full((n, self._width), start, np.float32), np.zeros(n, np.float32))

    def encode(self, jobs: Sequence[Job], pools: Pools, asked: Asked | None = None) -> None:
        """One padded batch through the model; each job's tokens go into the rows that asked for them.

        ``asked`` receives the states of the jobs' own tokens, out of the same pass.
        """
        import torch

        with torch.inference_mode():
            rows, parts, counts = self.pooled(jobs, asked)
            pools.add(rows, parts.cpu().numpy(), np.array(counts, np.float32), self._pooling)

    def pooled(self, jobs: Sequence[Job], asked: Asked | None = None) -> tuple[list[int], Tensor, list[int]]:
        """One padded batch through the model: the rows that asked, each one's pooled part ``(n, hidden)``, and its tokens' number.

        Gradients flow through the parts where torch records them.
        """
        import torch

        hidden, lengths, layers = self._hidden([job.ids for job in jobs], asked)
        if asked is not None:
            _hand_out(jobs, layers, asked.receive)
        plain = None
        rows: list[int] = []
        counts: list[int] = []
        parts: list[Tensor] = []
        for place, job in enumerate(jobs):
            for row, pool in job.pools:
                rows.append(row)
                if pool is not None:
                    part = hidden[place, torch.from_numpy(pool).to(self._device)]
                    parts.append(_pool_part(part, self._pooling))
                    counts.append(len(pool))
                    continue
                plain = _pool(hidden, lengths, self._pooling) if plain is None else plain
                parts.append(plain[place])
                counts.append(len(job.ids))
        return rows, torch.stack(parts), counts

    def finish(self, pools: Pools) -> Vectors:
        """``(n, dim)`` unit rows of filled pools: mean, what follows pooling in the model, length one."""
        import torch

        means = pools.values if self._pooling == "max" else pools.values / np.maximum(pools.counts, 1.0)[:, None]
        vectors: list[Vectors] = []
        with torch.inference_mode():
            for first in range(0, len(means), _ROWS):
                pooled = torch.from_numpy(means[first : first + _ROWS]).to(self._device)
                vectors.append(self.directed(pooled).cpu().numpy())
        return np.concatenate(vectors)

    def directed(self, pooled: Tensor) -> Tensor:
        """What follows pooling in the model, then length one: ``(n, hidden)`` to ``(n, dim)``."""
        import torch

        for step in self._head:
            pooled = step(pooled)
        pooled = torch.nn.functional.normalize(pooled.float(), dim=-1)
        return pooled if self._dims is None else torch.nn.functional.normalize(pooled[:, : self._dims], dim=-1)

    def _hidden(self, inputs: Sequence[Ids], asked: Asked | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        import torch

        lengths = np.array([len(ids) for ids in inputs])
        padded = np.full((len(inputs), int(lengths.max())), self._pad, dtype=np.int64)
        for place, ids in enumerate(inputs):
            padded[place, : len(ids)] = ids
        if self._lean is not None and lengths.min() == lengths.max():
            states = self._lean(torch.from_numpy(padded), every=asked is not None)
            return states[-1], torch.from_numpy(lengths), [] if asked is None else [states[layer] for layer in asked.layers]
        mask = (np.arange(padded.shape[1]) < lengths[:, None]).astype(np.int64)
        output = self._model(
            input_ids=torch.from_numpy(padded).to(self._device),
            attention_mask=torch.from_numpy(mask).to(self._device),
            **({} if asked is None else {"output_hidden_states": True}),
        )
        layers = [] if asked is None else [output.hidden_states[layer] for layer in asked.layers]
        return output.last_hidden_state, torch.from_numpy(lengths).to(self._device), layers


def _hand_out(jobs: Sequence[Job], layers: Sequence[Tensor], receive: Receive) -> None:
    import torch

    for place, job in enumerate(jobs):
        for own in job.own:
            tokens = torch.from_numpy(own.tokens).to(layers[0].device)
            states = torch.cat([layer[place, tokens] for layer in layers], dim=-1).float().cpu().numpy()
            receive(own.row, own.number, TokenStates(job.ids[own.tokens], own.starts, own.ends, states))


def _pool(hidden: Tensor, lengths: Tensor, pooling: str) -> Tensor:
    """``(batch, length, dim)`` to ``(batch, dim)`` over each row's real tokens, which lie left of its padding."""
    import torch

    if pooling == "cls":
        return hidden[:, 0].float()
    if pooling == "lasttoken":
        return hidden[torch.arange(len(lengths), device=hidden.device), lengths - 1].float()
    real = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    if pooling == "max":
        return hidden.float().masked_fill(~real[..., None], -torch.inf).amax(1)
    means: Tensor = torch.bmm(real[:, None].float(), hidden.float())[:, 0] / lengths[:, None]
    return means


def _pool_part(part: Tensor, pooling: str) -> Tensor:
    if pooling == "cls":
        return part[0].float()
    if pooling == "lasttoken":
        return part[-1].float()
    return part.float().amax(0) if pooling == "max" else part.float().mean(0)


def load_encoder(
    spec: ModelSpec,
    *,
    pooling: str,
    dims: int | None,
    layers: int | None,
    dtype: str,
    device: str | None,
    reach: Reach | None = None,
    temperature: float | None = None,
    frozen: bool = False,
) -> Encoder:
    """Read the weights; ``reach`` and ``temperature`` as ``plan_reach`` and ``check_temperature`` allow them.

    A model that stays as it is loaded (``frozen``) may be called in a shorter form, see ``lean``.

    Raises MissingDependencyError without torch and transformers, CapabilityError for a dtype or device this
    machine does not have, EmbeddingError for weights that are damaged or do not fill the model.
    """
    try:
        import torch
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise MissingDependencyError(
            "Embedding on this machine needs torch and transformers. Install the extra: ragkit-middleware[local]."
        ) from error
    place = usable_device(device)
    _check_dtype(torch, dtype, place)
    with quiet(), _load_errors(spec):
        config = AutoConfig.from_pretrained(str(spec.folder), local_files_only=True)
        if layers is not None:
            config.num_hidden_layers = layers
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[:layers]
        config.use_cache = False
        method = None if reach is None else reach.method
        if reach is not None and reach.theta_scale is not None:
            scale_theta(config, reach.theta_scale)
        if method == "self-extend":
            register_self_extend()
        model, report = AutoModel.from_pretrained(
            str(spec.folder),
            config=config,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            output_loading_info=True,
            attn_implementation=SELF_EXTEND if method == "self-extend" else None,
        )
        if getattr(config, "is_encoder_decoder", False):
            model = model.get_encoder()
        head = [_head_part(torch, part) for part in spec.head]
    # A pooler is never used here, and many checkpoints leave it out.
    missing = sorted(str(key) for key in report["missing_keys"] if "pooler" not in str(key))
    if missing or report.get("mismatched_keys"):
        raise EmbeddingError(
            f"The weights in {str(spec.folder)!r} do not fill the model: {len(missing)} parameters are missing ({', '.join(missing[:3])} ...), "
            f"{len(report.get('mismatched_keys') or ())} have another shape. Copy or download the model again."
        )
    model = model.eval().requires_grad_(False).to(place)
    if temperature is not None:
        scale_queries(model, temperature, n_layers=layers or spec.n_layers)
    if place.type == "cpu" and dtype == "float32":
        _lay_out_for_few_rows(model)
    called: nn.Module | Numbered | Grouped = model
    if reach is not None and method in ("grouped", "recurrent", "interpolated"):
        called = with_positions(model, reach)
    elif reach is not None and method == "self-extend":
        called = with_groups(model, reach)
    pad = getattr(config, "pad_token_id", None)
    return Encoder(
        called,
        [part.to(place) for part in head],
        pooling=pooling,
        pad=0 if pad is None or pad < 0 else pad,
        dims=dims,
        width=spec.hidden,
        lean=lean(called) if frozen and not isinstance(called, Numbered | Grouped) else None,
    )


def _lay_out_for_few_rows(model: nn.Module) -> None:
    """Store every linear layer's weights input-major, which MKL multiplies twice as fast for the few rows of a query."""
    import torch

    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.weight.data = module.weight.data.t().contiguous().t()


def _head_part(torch: Any, part: Dense | str) -> Any:
    if isinstance(part, str):
        return _Unit()
    linear = torch.nn.Linear(part.n_in, part.n_out, bias=part.bias)
    path = part.folder / "model.safetensors"
    if path.is_file():
        from safetensors.torch import load_file

        state = load_file(str(path))
    else:
        state = torch.load(part.folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    linear.load_state_dict({key.removeprefix("linear."): value for key, value in state.items()})
    activation = getattr(torch.nn, part.activation.rsplit(".", 1)[-1])()
    return torch.nn.Sequential(linear.float(), activation).eval().requires_grad_(False)


class _Unit:
    def to(self, device: Any) -> _Unit:
        return self

    def __call__(self, vectors: Tensor) -> Tensor:
        import torch

        return torch.nn.functional.normalize(vectors, dim=-1)


def usable_device(device: str | None) -> torch.device:
    """The torch device of that name, or the best one here. Raises CapabilityError where it cannot be used."""
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise CapabilityError(f"device={device!r} cannot be used here: {error}. Pass device='cpu', or None to choose.") from error
    return place


def has_native_bfloat16(torch: Any) -> bool:
    """Whether this processor multiplies bfloat16 in hardware.

    On x86 oneDNN says yes for every AVX-512 processor and then emulates, slower than float32, so the flags decide.
    """
    if platform.machine().lower() in {"x86_64", "amd64", "i686"}:
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _check_dtype(torch: Any, dtype: str, place: torch.device) -> None:
    if place.type != "cpu" or dtype == "float32":
        return
    if dtype == "float16" or not has_native_bfloat16(torch):
        raise CapabilityError(
            f"dtype={dtype!r} is not for this processor: it would be emulated, slower than float32. Use dtype='float32', or a GPU."
        )


@contextmanager
def _load_errors(spec: ModelSpec) -> Iterator[None]:
    try:
        yield
    except (InvalidInputError, CapabilityError, MemoryError):
        raise
    except Exception as error:
        raise EmbeddingError(
            f"The model in {str(spec.folder)!r} (type {spec.model_type!r}) cannot be loaded: {type(error).__name__}: {error}. "
            "If the files are damaged, copy or download them again; models that bring their own code are not run."
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """transformers prints bars and reports while it loads; what matters in them is raised here instead."""
    from transformers import utils

    logging: Any = utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
