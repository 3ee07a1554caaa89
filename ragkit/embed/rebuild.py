"""From the card a store was written with back to the embedder."""

from __future__ import annotations

import json
from dataclasses import replace

from ragkit.embed.adapted import AdaptedEmbedder
from ragkit.embed.adapter import find_adapter
from ragkit.embed.asymmetric import AsymmetricEmbedder
from ragkit.embed.reach import extend_from_text
from ragkit.embed.remote import OpenAIEmbedder
from ragkit.embed.transformer import TransformerEmbedder
from ragkit.errors import CapabilityError, InvalidInputError, StoreMismatchError
from ragkit.seams import Embedder
from ragkit.types import ModelCard


def load_embedder(card: ModelCard, *, allow_download: bool = False) -> Embedder:
    """The embedder that ``card`` describes: a TransformerEmbedder from this machine's files, or an OpenAIEmbedder.

    Reads the model's files and no weights into memory. Raises ModelNotFoundError when the model is not here,
    StoreMismatchError when it is here but its weights, tokenizer or settings are not those of the card, and
    CapabilityError for a card of an embedder that ragkit did not make. A card holds no key and no tokenizer: an
    OpenAIEmbedder takes its key from OPENAI_API_KEY and leaves the judgement of lengths to the server. A context adapter
    is found by its digest among the .safetensors files in the folders of RAGKIT_ADAPTERS, else in the current one.
    """
    if "queries" in card.settings:
        settings = {name: value for name, value in card.settings.items() if name != "queries"}
        return AsymmetricEmbedder(
            documents=load_embedder(replace(card, settings=settings), allow_download=allow_download),
            queries=load_embedder(ModelCard.from_dict(json.loads(card.settings["queries"])), allow_download=allow_download),
        )
    if "bridge" in card.settings:
        raise CapabilityError(
            f"Questions by {card.name!r} came over the bridge {card.settings['bridge']}, which a card does not hold. Pass "
            "embedder=BridgedEmbedder(embedder, Bridge.from_bytes(...))."
        )
    if "adapter" in card.settings:
        settings = {name: value for name, value in card.settings.items() if name != "adapter"}
        base = load_embedder(replace(card, settings=settings), allow_download=allow_download)
        return AdaptedEmbedder(base, path=find_adapter(card.settings["adapter"]))
    engine = card.settings.get("engine")
    if engine == "openai":
        return OpenAIEmbedder(
            card.name,
            dim=card.dim,
            base_url=card.settings["base_url"],
            window=card.window,
            query_prompt=card.query_prompt,
            document_prompt=card.document_prompt,
        )
    if engine != "transformers":
        raise CapabilityError(
            f"The vectors were made by {card.name!r} with the engine {engine!r}, which ragkit cannot rebuild. Pass embedder= yourself."
        )
    dims, layers = card.settings.get("dims", "all"), card.settings.get("layers", "all")
    extend, temperature = card.settings.get("extend"), card.settings.get("temperature")
    embedder = TransformerEmbedder(
        card.name,
        pooling=card.pooling,
        query_prompt=card.query_prompt,
        document_prompt=card.document_prompt,
        dims=None if dims == "all" else int(dims),
        layers=None if layers == "all" else int(layers),
        dtype=card.settings.get("dtype", "float32"),
        window=card.window,
        extend=None if extend is None else extend_from_text(extend),
        temperature=None if temperature is None else float(temperature),
        allow_download=allow_download,
    )
    try:
        here = embedder.card
    except (InvalidInputError, CapabilityError) as error:
        raise StoreMismatchError(
            f"The model {card.name!r} on this machine is not the one these vectors were made with: {error}"
        ) from error
    differences = card_differences(card, here)
    if differences:
        raise StoreMismatchError(
            f"The model {card.name!r} on this machine is not the one these vectors were made with: {'; '.join(differences)}. "
            "Put back the model's old files, or index again with this model into a new store."
        )
    return embedder


def card_differences(stored: ModelCard, given: ModelCard) -> list[str]:
    """Each field in which two cards differ, in words; empty when their vectors may be compared."""
    old, new = stored.to_dict(), given.to_dict()
    old |= {f"settings[{key!r}]": value for key, value in old.pop("settings").items()}
    new |= {f"settings[{key!r}]": value for key, value in new.pop("settings").items()}
    return [
        f"{key} was {old.get(key)!r} and is {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
