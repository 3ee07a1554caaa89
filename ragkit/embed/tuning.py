"""A transformer whose weights may change: it reads as TransformerEmbedder reads, with gradients, and is saved as a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import numpy as np

from ragkit.embed.batching import plan_batches
from ragkit.embed.forward import has_native_bfloat16, load_encoder, quiet
from ragkit.embed.inputs import batch_readings, refuse_windows, text_readings
from ragkit.embed.spec import read_spec
from ragkit.embed.tokens import Job, TokenPlanner
from ragkit.embed.transformer import TransformerEmbedder
from ragkit.errors import CapabilityError, InvalidInputError, MissingDependencyError
from ragkit.seams import Vectors
from ragkit.types import Chunk, Document
from ragkit.vec.mixing import readings_of
from ragkit.weights import find_model

if TYPE_CHECKING:
    from torch import Tensor

Method = Literal["lora", "full"]
_BATCH_TOKENS = 4096
#: Of a model's folder these are other forms of the same weights, or no part of the model.
_LEFT = ("onnx", "openvino", ".*", "__pycache__", "*.h5", "*.ot", "*.msgpack", "*.py")
#: Rows that are encoded at once where no gradients are kept.
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """Tokenised texts of one side. Row i's vector is the sum of its readings by their shares, ``parts[i]``.

    ``jobs`` are what the model reads, ``places[r]`` the jobs in which reading r has tokens.
    """

    jobs: Sequence[Job]
    places: Sequence[Sequence[int]]
    parts: Sequence[Sequence[tuple[float, int]]]

    def __len__(self) -> int:
        return len(self.parts)


class Tunable:
    """The weights of ``base``, a copy that may change: all of them ("full"), or low-rank additions to every linear layer
    ("lora", 2106.09685, of ``rank``) that ``save`` adds in.

    Weights are float32; passes run in bfloat16 where the device multiplies it in hardware. The device is cuda or mps where
    torch sees one. Equal seeds give equal LoRA starts.

    Raises MissingDependencyError without torch, or for "lora" without peft; CapabilityError for a base that runs some of its
    layers only, reads beyond its positions, or at another temperature.
    """

    def __init__(self, base: TransformerEmbedder, *, method: Method = "lora", rank: int = 8, seed: int = 0) -> None:
        if method not in get_args(Method):
            raise InvalidInputError(f"method is {method!r}; allowed are {', '.join(get_args(Method))}.")
        self.base, self.method, card = base, method, base.card
        changed = [name for name in ("extend", "temperature") if name in card.settings]
        if changed or card.settings["layers"] != "all":
            raise CapabilityError(
                f"{card.name!r} is used with {', '.join(changed) or 'some of its layers only'}; weights are tuned for the model as it "
                "stands. Pass an embedder without that."
            )
        self.folder = find_model(base.name)
        self._spec = read_spec(self.folder)
        dims = card.settings["dims"]
        self._encoder = load_encoder(
            self._spec,
            pooling=card.pooling,
            dims=None if dims == "all" else int(dims),
            layers=None,
            dtype="float32",
            device=None,
        )
        import torch

        torch.manual_seed(seed)
        self._model = cast(Any, self._encoder.model)
        self._added = _with_lora(self._model, rank) if method == "lora" else None
        if self._added is None:
            self._model.requires_grad_(True)
        self.device = next(self._model.parameters()).device

    def weights(self) -> list[Tensor]:
        """What training changes."""
        return [weight for weight in self._model.parameters() if weight.requires_grad]

    def plan_chunks(self, items: Sequence[tuple[Document, Sequence[Chunk]]]) -> Planned:
        """Tokenise chunks; each one's encoding says how it is read.

        Raises InvalidInputError for a chunk whose encoding adds its document's mean, CapabilityError and TextTooLongError as
        the embedder does.
        """
        read: list[tuple[Document, list[Chunk]]] = []
        parts: list[list[tuple[float, int]]] = []
        count = 0
        for document, chunks in items:
            own: list[Chunk] = []
            for chunk in chunks:
                if chunk.encoding.document:
                    raise InvalidInputError(
                        f"Chunk {chunk.id!r} adds its document's mean, which a step of training does not see. Use Situate(document=0)."
                    )
                found = readings_of(chunk)
                parts.append([(share, count + place) for place, (share, _) in enumerate(found)])
                own += [reading for _, reading in found]
                count += len(found)
            read.append((document, own))
        readings, name = batch_readings(read)
        refuse_windows(readings, name, self.base.card)
        jobs = self._planner(self.base.card.document_prompt).jobs(readings, name)
        return _planned(jobs, len(readings), parts)

    def plan_queries(self, texts: Sequence[str]) -> Planned:
        """Tokenise questions. Raises TextTooLongError as the embedder does."""
        readings, name = text_readings(texts, kind="query")
        jobs = self._planner(self.base.card.query_prompt).jobs(readings, name)
        return _planned(jobs, len(texts), [[(1.0, place)] for place in range(len(texts))])

    def encode(self, planned: Planned, rows: Sequence[int]) -> Tensor:
        """``(len(rows), dim)`` unit rows, through which gradients flow."""
        import torch

        wanted = {reading: place for place, reading in enumerate(sorted({r for row in rows for _, r in planned.parts[row]}))}
        jobs = [planned.jobs[place] for place in sorted({place for reading in wanted for place in planned.places[reading]})]
        found: list[int] = []
        parts: list[Tensor] = []
        counts: list[int] = []
        with self._precision():
            for batch in plan_batches(np.array([len(job.ids) for job in jobs]), budget=_BATCH_TOKENS):
                owners, pooled, sizes = self._encoder.pooled([jobs[place] for place in batch])
                kept = [at for at, reading in enumerate(owners) if reading in wanted]
                found += [wanted[owners[at]] for at in kept]
                parts.append(pooled[kept])
                counts += [sizes[at] for at in kept]
        own = torch.tensor(found, device=self.device)
        vectors = self._encoder.directed(self._gathered(torch.cat(parts).float(), own, counts, len(wanted)))
        shares = [(at, share, wanted[reading]) for at, row in enumerate(rows) for share, reading in planned.parts[row]]
        weights = torch.tensor([share for _, share, _ in shares], device=self.device)[:, None]
        mixed = torch.zeros(len(rows), vectors.shape[1], device=self.device).index_add(
            0, torch.tensor([at for at, _, _ in shares], device=self.device), vectors[[place for _, _, place in shares]] * weights
        )
        return torch.nn.functional.normalize(mixed, dim=1)

    def vectors(self, planned: Planned) -> Vectors:
        """``(n, dim)`` float32 unit rows of everything planned, without gradients."""
        import torch

        self._model.eval()
        with torch.no_grad():
            found = [
                self.encode(planned, range(first, min(first + _AT_ONCE, len(planned)))).cpu().numpy()
                for first in range(0, len(planned), _AT_ONCE)
            ]
        return np.concatenate(found) if found else np.zeros((0, self.base.card.dim), np.float32)

    def save(self, folder: str | Path, *, readme: str) -> None:
        """Write a folder that TransformerEmbedder loads: the base's files, the weights as they are now, and ``readme`` as its card.

        Low-rank additions are added into the weights; training cannot go on afterwards. All of it appears at once. Raises
        InvalidInputError for a folder that holds something or cannot be made.
        """
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InvalidInputError(f"{target} exists and is not an empty folder. Name a new one.")
        if self._added is not None:
            self._model, self._added = self._added.merge_and_unload(), None
        body = self._spec.folder.relative_to(self.folder)
        try:
            made = Path(mkdtemp(prefix=f".{target.name}-", dir=target.resolve().parent))
            shutil.copytree(self.folder, made, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*_LEFT))
            for path in [*(made / body).glob("*.bin*"), *(made / body).glob("*.safetensors*")]:
                path.unlink()
            with quiet():
                self._model.save_pretrained(made / body)
            (made / "README.md").write_text(readme, encoding="utf-8")
            made.chmod(0o755)
            os.replace(made, target)
        except OSError as error:
            raise InvalidInputError(f"{target} cannot be written: {error}. Check the folder and the space left.") from error

    def _planner(self, prompt: str) -> TokenPlanner:
        return TokenPlanner(
            tokenizer=self.base.tokenizer,
            prompt=prompt,
            window=self.base.card.window,
            vocab=self._spec.vocab,
            pool_prompt=self._spec.pool_prompt,
            pool_spans=not self.base.card.pools_one_token,
        )

    def _gathered(self, parts: Tensor, owners: Tensor, counts: Sequence[int], n: int) -> Tensor:
        """Each reading's tokens put together from the passes that hold them."""
        import torch

        if self._encoder.pooling == "max":
            return torch.stack([parts[owners == reading].amax(0) for reading in range(n)])
        sizes = torch.tensor(counts, dtype=torch.float32, device=self.device)[:, None]
        total = torch.zeros(n, 1, device=self.device).index_add(0, owners, sizes)
        return torch.zeros(n, parts.shape[1], device=self.device).index_add(0, owners, parts * sizes) / total

    @contextmanager
    def _precision(self) -> Iterator[None]:
        import torch

        kind = self.device.type
        native = torch.cuda.is_bf16_supported() if kind == "cuda" else kind == "cpu" and has_native_bfloat16(torch)
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=native):
            yield


def _planned(jobs: Sequence[Job], n: int, parts: Sequence[Sequence[tuple[float, int]]]) -> Planned:
    places: list[list[int]] = [[] for _ in range(n)]
    for place, job in enumerate(jobs):
        for reading, _ in job.pools:
            places[reading].append(place)
    return Planned(jobs, places, parts)


def _with_lora(model: Any, rank: int) -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError(
            "Low-rank training needs peft: install the extra ragkit-middleware[tune], or train all weights with method='full'."
        ) from error
    return peft.get_peft_model(model, peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear"))
