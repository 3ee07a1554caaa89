"""Wrong texts, wrong choices and wrong models: each has its own clear error."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragkit.embed import TransformerEmbedder
from ragkit.embed.forward import has_native_bfloat16
from ragkit.errors import CapabilityError, EmbeddingError, InvalidInputError, ModelNotFoundError, TextTooLongError
from ragkit.types import Chunk, Document
from ragkit.weights import find_model

Make = Callable[..., Path]
Cut = Callable[..., Chunk]


def test_a_text_beyond_the_window_names_itself(make_model: Make) -> None:
    embedder = TransformerEmbedder(str(make_model(window=20, prompts={"document": "the cat: "})))
    fits = "mat " * 15  # + [CLS], [SEP] and 3 tokens of the prompt
    assert len(embedder.embed_texts([fits])) == 1
    assert embedder.tokenizer.count_batch([fits])[0] + embedder.tokenizer.n_special == 20
    with pytest.raises(TextTooLongError, match=r"text 1 .* has 21 tokens .*prompt.* window is 20.*chunk"):
        embedder.embed_texts(["ok", fits + "a"])
    assert len(embedder.embed_queries([fits + "a a a"])) == 1
    with pytest.raises(TextTooLongError, match=r"query 0 .* has 21 tokens"):
        embedder.embed_query(fits + "a a a a")


def test_a_context_counts_and_the_chunk_is_named(make_model: Make, cut: Cut) -> None:
    embedder = TransformerEmbedder(str(make_model(window=16)))
    document = Document("mat " * 12, id="paper")
    embedder.embed_chunks(document, [cut(document, 0, 48)])
    with pytest.raises(TextTooLongError, match=r"chunk 'c3' \(number 3 of document 'paper', characters 0\.\.48\) has 17 tokens"):
        embedder.embed_chunks(document, [cut(document, 0, 48, context="the cat sat", index=3)])


def test_window_may_be_raised_to_the_position_table(make_model: Make) -> None:
    folder = str(make_model(window=20))
    raised = TransformerEmbedder(folder, window=64)
    assert raised.card.window == 64
    assert raised.card.fingerprint != TransformerEmbedder(folder).card.fingerprint
    assert len(raised.embed_texts(["mat " * 62])) == 1
    with pytest.raises(InvalidInputError, match="ends at 64"):
        _ = TransformerEmbedder(folder, window=65).card


def test_roberta_positions_start_after_the_padding_id(make_model: Make) -> None:
    embedder = TransformerEmbedder(str(make_model("roberta")))
    assert embedder.card.window == 64  # 65 rows, of which the first is the padding's
    assert len(embedder.embed_texts(["mat " * 62])) == 1


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ({"pooling": "median"}, InvalidInputError, "mean, cls, lasttoken, max"),
        ({"dims": 33}, InvalidInputError, "1 to 32"),
        ({"dims": 0}, InvalidInputError, "1 to 32"),
        ({"layers": 4}, InvalidInputError, "1 to 3"),
        ({"window": 0}, InvalidInputError, "1 to 64"),
        ({"dtype": "int8"}, InvalidInputError, "float32, bfloat16, float16"),
        ({"batch_tokens": 0}, InvalidInputError, "at least 1"),
        ({"device": "cuda:77"}, CapabilityError, "device='cuda:77'"),
        ({"device": "toaster"}, CapabilityError, "device='toaster'"),
        ({"dtype": "float16", "device": "cpu"}, CapabilityError, "float32"),
    ],
    ids=str,
)
def test_choices_the_model_cannot_follow(make_model: Make, choice: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TransformerEmbedder(str(make_model()), **choice).embed_texts(["the cat"])


def test_bfloat16_works_or_is_refused(make_model: Make) -> None:
    import torch

    folder = str(make_model())
    half = TransformerEmbedder(folder, dtype="bfloat16", device="cpu")
    if has_native_bfloat16(torch):
        assert (half.embed_texts(["the cat sat"]) @ TransformerEmbedder(folder).embed_texts(["the cat sat"]).T)[0, 0] > 0.999
    else:
        with pytest.raises(CapabilityError, match="emulated"):
            half.embed_texts(["the cat sat"])


def test_things_that_are_no_texts(make_model: Make, cut: Cut) -> None:
    embedder = TransformerEmbedder(str(make_model()))
    for wrong in ("the cat", ["the cat", None], ["the cat", b"sat"], [3]):
        with pytest.raises(InvalidInputError, match=r"list|not str"):
            embedder.embed_texts(wrong)  # type: ignore[arg-type]
    one, other = Document("the cat sat", id="1"), Document("the dog sat", id="2")
    chunk = cut(one, 4, 7)
    for document in (other, Document("another text", id="1")):
        with pytest.raises(InvalidInputError, match="not a slice of document"):
            embedder.embed_chunks(document, [chunk])
    for window in ((5, 11), (0, 6), (-1, 7), (0, 99)):
        with pytest.raises(InvalidInputError, match="must contain the span"):
            embedder.embed_chunks(one, [cut(one, 4, 7, window=window)])


@pytest.mark.parametrize("pooling", ["cls", "lasttoken"])
def test_models_that_pool_one_token_refuse_windows_and_pool_contexts_as_they_pool_texts(
    make_model: Make, cut: Cut, pooling: str
) -> None:
    embedder = TransformerEmbedder(str(make_model(pooling=pooling)))
    document = Document("the cat sat on a mat", id="d")
    assert len(embedder.embed_chunks(document, [cut(document, 0, 7)])) == 1
    with pytest.raises(CapabilityError, match=f"pools by '{pooling}'"):
        embedder.embed_chunks(document, [cut(document, 0, 7, window=(0, 20))])
    situated = embedder.embed_chunks(document, [cut(document, 0, 7, context="night")])
    np.testing.assert_allclose(situated, embedder.embed_texts(["night\nthe cat"]), atol=1e-6)


def test_no_tokens_at_all_is_an_error(make_model: Make) -> None:
    embedder = TransformerEmbedder(str(make_model("qwen3", pooling="lasttoken", specials=False)))
    assert len(embedder.embed_texts(["the cat"])) == 1
    with pytest.raises(EmbeddingError, match=r"text 1 \(''\) has no tokens"):
        embedder.embed_texts(["the cat", ""])


def test_files_that_do_not_say_how_to_pool(make_model: Make) -> None:
    folder = str(make_model("qwen3", pooling=None))
    with pytest.raises(CapabilityError, match=r"how to pool.*lasttoken"):
        _ = TransformerEmbedder(folder).card
    assert TransformerEmbedder(folder, pooling="lasttoken").embed_texts(["the cat"]).shape == (1, 32)


def test_unknown_poolings_and_modules(make_model: Make) -> None:
    with pytest.raises(CapabilityError, match=r"weightedmean.*pools by one of"):
        _ = TransformerEmbedder(str(make_model(pooling="weightedmean"))).card
    folder = make_model()
    modules = json.loads((folder / "modules.json").read_text())
    modules[2]["type"] = "sentence_transformers.models.LSTM"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(CapabilityError, match="LSTM"):
        _ = TransformerEmbedder(str(folder)).card


def spoiled(make_model: Make, spoil: Callable[[Path], object]) -> TransformerEmbedder:
    folder = make_model()
    spoil(folder)
    return TransformerEmbedder(str(folder))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(str(folder / "model.safetensors"))
    change(tensors)
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})


WRONG: list[tuple[str, Callable[[Path], object], type[Exception], str]] = [
    ("no model", lambda f: [shutil.rmtree(f), f.mkdir()], ModelNotFoundError, "neither config.json"),
    ("no config", lambda f: (f / "config.json").unlink(), ModelNotFoundError, "no config.json"),
    ("no weights", lambda f: (f / "model.safetensors").unlink(), ModelNotFoundError, "No weights"),
    ("lost shard", lambda f: [(f / "model.safetensors").unlink(), (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')], ModelNotFoundError, "lacks the weight files"),
    ("empty weights", lambda f: (f / "model.safetensors").write_bytes(b""), EmbeddingError, "cannot be loaded"),
    ("cut weights", lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-500]), EmbeddingError, "cannot be loaded"),
    ("a tensor lost", lambda f: rewrite(f, lambda t: t.pop("encoder.layer.1.output.dense.weight")), EmbeddingError, "1 parameters are missing"),
    ("another shape", lambda f: rewrite(f, lambda t: t.update({"encoder.layer.1.output.dense.weight": t["encoder.layer.1.output.dense.weight"][:3].clone()})), EmbeddingError, "shape|cannot be loaded"),
    ("NaN weights", lambda f: rewrite(f, lambda t: t["encoder.layer.1.output.dense.weight"].fill_(float("nan"))), EmbeddingError, "not finite"),
    ("config is no JSON", lambda f: (f / "config.json").write_text("{"), EmbeddingError, "cannot be read"),
    ("pooling is no JSON", lambda f: (f / "1_Pooling" / "config.json").write_bytes(b"\xff"), EmbeddingError, "cannot be read"),
    ("sizes missing", lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), CapabilityError, "hidden_size"),
    ("unknown type", lambda f: (f / "config.json").write_text((f / "config.json").read_text().replace('"bert"', '"zebra"')), EmbeddingError, "zebra"),
    ("tokenizer is no JSON", lambda f: (f / "tokenizer.json").write_text("no"), EmbeddingError, "tokenizer.json"),
    ("no tokenizer", lambda f: [(f / "tokenizer.json").unlink(), (f / "tokenizer_config.json").unlink()], ModelNotFoundError, "no tokenizer.json"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "error", "message"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_damaged_models(make_model: Make, spoil: Callable[[Path], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        spoiled(make_model, spoil).embed_texts(["the cat sat"])


def test_a_tokenizer_of_another_model(make_model: Make) -> None:
    embedder = TransformerEmbedder(str(make_model(vocab=20)))
    assert len(embedder.embed_texts(["the cat"])) == 1
    with pytest.raises(EmbeddingError, match=r"text 1 .*knows 20 tokens.*not.*of the same model"):
        embedder.embed_texts(["the cat", "zz"])


def test_no_such_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        _ = TransformerEmbedder("no-such-model").card
    for name, shown in (("no-such-model", "sentence-transformers/no-such-model"), ("someone/model", "someone/model")):
        with pytest.raises(ModelNotFoundError, match=f"hf download {shown}'"):
            find_model(name)
    for missing in ("/no/such/folder", "./folder", "~/folder"):
        with pytest.raises(ModelNotFoundError) as caught:
            find_model(missing)
        assert "hf download" not in str(caught.value)


LAZY = """
import sys
from ragkit.embed import CachedEmbedder, OpenAIEmbedder, TransformerEmbedder
embedder = TransformerEmbedder("all-MiniLM-L6-v2")
TransformerEmbedder("not here at all")
CachedEmbedder(embedder, path=sys.argv[1])
OpenAIEmbedder("m", dim=3, base_url="http://127.0.0.1:1")
assert not {"torch", "transformers", "tokenizers", "openai", "safetensors", "huggingface_hub"} & set(sys.modules)
assert embedder.card.dim == 384 and embedder.tokenizer.n_special == 2
assert not {"torch", "transformers", "openai"} & set(sys.modules)
"""


def test_constructing_is_lazy(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", LAZY, str(tmp_path / "cache.db")], check=True, timeout=60)
    assert list(tmp_path.iterdir()) == []


def test_no_network_is_touched(make_model: Make, socket_disabled: None) -> None:
    assert TransformerEmbedder(str(make_model())).embed_query("the cat").shape == (32,)
