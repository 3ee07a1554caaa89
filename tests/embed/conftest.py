"""Tiny random models in the layouts that people meet, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragkit.types import Chunk, Document, Span

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "her", "dog", "bark", "at", "night", "while", "rain", "old", "town"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,:;!?'\"()[]éüñ猫犬"


def tiny_tokenizer(*, specials: bool = True) -> Any:
    """A WordPiece vocabulary of a few words and all letters, so that most texts make several tokens a word."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, *LETTERS, *("##" + letter for letter in LETTERS)]
    vocab = {piece: place for place, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    if specials:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return tokenizer


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def tiny_config(kind: str, vocab: int) -> Any:
    """A transformers config of a few thousand parameters."""
    import transformers as t

    common: dict[str, Any] = {
        "vocab_size": vocab,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "pad_token_id": 0,
    }
    wide = {"intermediate_size": 64, "max_position_embeddings": 64}
    if kind == "bert":
        return t.BertConfig(**common, **wide)
    if kind in ("roberta", "xlm-roberta", "camembert"):
        return t.AutoConfig.for_model(kind, **common | wide | {"max_position_embeddings": 65, "type_vocab_size": 1})
    if kind == "mpnet":
        return t.MPNetConfig(**common | wide | {"pad_token_id": 1, "max_position_embeddings": 66})
    if kind == "electra":
        return t.ElectraConfig(**common, **wide, embedding_size=16)
    if kind in ("nomic_bert", "gte", "jina_embeddings_v3"):
        return t.AutoConfig.for_model(kind, **common, **wide)
    if kind == "eurobert":
        return t.EuroBertConfig(**common, **wide, num_key_value_heads=2, bos_token_id=2, eos_token_id=3, mask_token_id=1)
    if kind == "distilbert":
        return t.DistilBertConfig(
            vocab_size=vocab, dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=64, pad_token_id=0
        )
    if kind == "modernbert":
        return t.ModernBertConfig(
            **common, **wide, cls_token_id=2, sep_token_id=3, bos_token_id=2, eos_token_id=3, local_attention=16
        )
    if kind == "qwen3":
        return t.Qwen3Config(**common, **wide, num_key_value_heads=2, head_dim=8)
    if kind == "t5":
        return t.T5Config(
            vocab_size=vocab, d_model=32, d_kv=8, d_ff=64, num_layers=3, num_heads=4, pad_token_id=0, decoder_start_token_id=0
        )
    raise ValueError(kind)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small lose most of their time to the hand-over between threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``make_model(kind, pooling=..., ...)`` writes a random model's folder, as sentence-transformers lays it out."""

    def make(
        kind: str = "bert",
        *,
        pooling: str | None = "mean",
        prompts: dict[str, str] | None = None,
        window: int | None = None,
        normalize: bool = True,
        dense: int | None = None,
        specials: bool = True,
        vocab: int | None = None,
        new_keys: bool = True,
        include_prompt: bool = True,
        seed: int = 0,
    ) -> Path:
        import torch
        from transformers import AutoModel

        folder = tmp_path_factory.mktemp(kind)
        tokenizer = tiny_tokenizer(specials=specials)
        tokenizer.save(str(folder / "tokenizer.json"))
        write(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "pad_token": "[PAD]",
                "cls_token": "[CLS]",
                "sep_token": "[SEP]",
                "unk_token": "[UNK]",
            },
        )
        torch.manual_seed(seed)
        model = AutoModel.from_config(tiny_config(kind, vocab or tokenizer.get_vocab_size()))
        for parameter in model.parameters():
            # The usual start is so small that all texts look alike.
            parameter.data += 0.2 * torch.randn_like(parameter)
        model.save_pretrained(folder)
        if pooling is None:
            return folder
        steps = ["Transformer", "Pooling"] + ["Dense"] * (dense is not None) + ["Normalize"] * normalize
        places = ["" if step == "Transformer" else f"{place}_{step}" for place, step in enumerate(steps)]
        write(
            folder / "modules.json",
            [
                {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.models.{step}"}
                for place, (step, path) in enumerate(zip(steps, places, strict=True))
            ],
        )
        old = {
            "cls": "pooling_mode_cls_token",
            "max": "pooling_mode_max_tokens",
            "mean": "pooling_mode_mean_tokens",
            "lasttoken": "pooling_mode_lasttoken",
        }
        if new_keys or pooling not in old:
            modes: dict[str, Any] = {"embedding_dimension": 32, "pooling_mode": pooling}
        else:
            modes = {"word_embedding_dimension": 32} | {key: mode == pooling for mode, key in old.items()}
        write(folder / "1_Pooling" / "config.json", modes | {"include_prompt": include_prompt})
        if dense is not None:
            from safetensors.torch import save_file

            write(
                folder / "2_Dense" / "config.json",
                {
                    "in_features": 32,
                    "out_features": dense,
                    "bias": True,
                    "activation_function": "torch.nn.modules.activation.Tanh",
                },
            )
            weights = {"linear.weight": torch.randn(dense, 32), "linear.bias": torch.randn(dense)}
            save_file(weights, str(folder / "2_Dense" / "model.safetensors"))
        write(
            folder / "sentence_bert_config.json",
            {"max_seq_length": window, "do_lower_case": False} if window else {"do_lower_case": False},
        )
        write(folder / "config_sentence_transformers.json", {"prompts": prompts or {}, "default_prompt_name": None})
        return folder

    return make


def cut(
    document: Document, start: int, end: int, *, window: tuple[int, int] | None = None, context: str = "", index: int = 0
) -> Chunk:
    """A chunk made by hand."""
    return Chunk(
        id=f"c{index}",
        doc_id=document.id,
        start=start,
        end=end,
        text=document.text[start:end],
        window=Span(*(window or (start, end))),
        index=index,
        n_tokens=0,
        context=context,
    )


@pytest.fixture(name="cut", scope="session")
def cut_fixture() -> Callable[..., Chunk]:
    return cut
