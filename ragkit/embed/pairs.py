"""Cross-encoders: a sequence-classification model of transformers reads question and passage together and gives one score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ragkit.embed.batching import plan_batches
from ragkit.embed.forward import quiet, usable_device
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, MissingDependencyError, TextTooLongError
from ragkit.text import encodable
from ragkit.weights import find_model


class PairScorer:
    """Scores of (question, passage) pairs by a model with one output, or two of which the second means "relevant".

    ``name`` is found as TransformerEmbedder finds its models. ``window`` is the longest input in tokens, question, passage and special
    tokens together; None takes the tokenizer's, at most the model's positions. Nothing is cut: a passage beyond the window is
    read in windows, and its best one counts. ``batch_tokens`` is how many padded tokens go through at once.
    """

    def __init__(
        self,
        name: str,
        *,
        window: int | None = None,
        device: str | None = None,
        batch_tokens: int = 2048,
        allow_download: bool = False,
    ) -> None:
        if batch_tokens < 1 or (window is not None and window < 8):
            raise InvalidInputError(f"batch_tokens={batch_tokens} and window={window}; at least 1 and 8 tokens are needed.")
        self.name = str(Path(name).expanduser().resolve()) if Path(name).expanduser().is_dir() else str(name)
        self._window, self._device, self._batch_tokens, self._allow_download = window, device, batch_tokens, allow_download
        self._lock = RLock()
        self._loaded: tuple[Any, Any, int] | None = None

    def score(self, query: str, passages: Sequence[str]) -> NDArray[np.float64]:
        """The model's raw outputs (logits), float64 ``(n,)``, higher is more relevant.

        Raises TextTooLongError for a question that leaves a passage less than a quarter of the window, ModelNotFoundError,
        CapabilityError for a model of another kind, MissingDependencyError without torch and transformers.
        """
        if not passages:
            return np.zeros(0)
        import torch

        model, tokenizer, window = self._load()
        question = tokenizer(encodable(query), add_special_tokens=False, verbose=False)["input_ids"]
        if len(question) > 3 * window // 4:
            raise TextTooLongError(
                f"The question has {len(question)} tokens, and {self.name!r} reads {window} with a passage and special tokens. Nothing is cut in "
                "silence: ask a shorter question, or use CompressedReranker, which reads questions of any length."
            )
        inputs = tokenizer(
            [encodable(query)] * len(passages),
            [encodable(passage) for passage in passages],
            truncation="only_second",
            max_length=window,
            return_overflowing_tokens=True,
        )
        owners = np.array(inputs.pop("overflow_to_sample_mapping"), np.int64)
        scores = np.full(len(passages), -np.inf)
        device = next(model.parameters()).device
        for batch in plan_batches(np.array([len(ids) for ids in inputs["input_ids"]]), budget=self._batch_tokens):
            some = {name: [rows[place] for place in batch] for name, rows in inputs.items()}
            padded = tokenizer.pad(some, return_tensors="pt").to(device)
            with torch.inference_mode():
                logits = model(**padded).logits.float().cpu().numpy().astype(np.float64)
            values = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
            np.maximum.at(scores, owners[batch], values)
        if not np.isfinite(scores).all():
            raise EmbeddingError(f"{self.name!r} gave scores that are not finite. The weights may be damaged.")
        return scores

    def _load(self) -> tuple[Any, Any, int]:
        with self._lock:
            if self._loaded is None:
                try:
                    from transformers import AutoModelForSequenceClassification, AutoTokenizer
                except ImportError as error:
                    raise MissingDependencyError(
                        "A cross-encoder needs torch and transformers. Install the extra: ragkit-middleware[local]."
                    ) from error
                folder = str(find_model(self.name, allow_download=self._allow_download))
                with quiet():
                    try:
                        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
                        model, report = AutoModelForSequenceClassification.from_pretrained(
                            folder, local_files_only=True, output_loading_info=True
                        )
                    except Exception as error:
                        raise EmbeddingError(
                            f"The cross-encoder in {folder!r} cannot be loaded: {type(error).__name__}: {error}"
                        ) from error
                self._loaded = (*self._checked(model, report, tokenizer, folder), self._reach(model, tokenizer))
                model.eval().requires_grad_(False).to(usable_device(self._device))
            return self._loaded

    def _checked(self, model: Any, report: Any, tokenizer: Any, folder: str) -> tuple[Any, Any]:
        missing = [str(key) for key in report["missing_keys"]]
        if model.config.num_labels not in (1, 2) or missing:
            raise CapabilityError(
                f"{folder!r} is no cross-encoder: it has {model.config.num_labels} outputs (1 or 2 are needed)"
                + (f", and its weights lack {', '.join(missing[:3])}." if missing else ".")
            )
        return model, tokenizer

    def _reach(self, model: Any, tokenizer: Any) -> int:
        positions = getattr(model.config, "max_position_embeddings", None) or 512
        own = min(int(tokenizer.model_max_length), int(positions))
        if self._window is not None and self._window > positions:
            raise InvalidInputError(f"window={self._window}; {self.name!r} has positions for {positions} tokens.")
        return self._window or own
