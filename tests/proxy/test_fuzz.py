"""Requests as a schema fuzzer makes them: right, nearly right and absurd. RAGKIT_FUZZ asks for more than the usual 120, each sent twice.

The upstream answers with a digest of everything that decides an answer, so that a wrong one that was served shows.
"""

from __future__ import annotations

import asyncio
import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import CHAT, Reply, completion, inside

from ragkit.cache import normalised

ROUNDS = int(os.environ.get("RAGKIT_FUZZ", "120"))
#: What OpenAI documents as changing no answer.
LABELS = ("stream", "stream_options", "metadata", "user", "store")

ASKED = st.sampled_from(["What is a chunk?", "what is a chunk", "Who wrote part 7?", "Who wrote part 8?", "And why is that?"])
WORDS = st.sampled_from(["hello there", "what is it", "and then?", "", "größe", "\ud83d", "a" * 5000, "0"]) | st.text(max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
PART = st.fixed_dictionaries({"type": st.sampled_from(["text", "input_text", "image_url"]), "text": WORDS}) | JSON
MESSAGE = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "user", "user", "system", "assistant", "tool", "developer"]),
        "content": WORDS | st.lists(PART, max_size=2),
    },
    optional={"name": WORDS, "tool_calls": JSON, "type": st.just("message")},
)
TURNS = st.lists(MESSAGE, min_size=1, max_size=3)
SETTINGS: dict[str, Any] = {
    "temperature": st.sampled_from([0, 0.5, 1, 2, -1, 1e999, "hot"]),
    "n": st.sampled_from([1, 2, 0, None, "1"]),
    "stream": st.booleans(),
    "stream_options": JSON,
    "tools": JSON,
    "response_format": JSON,
    "logprobs": JSON,
    "metadata": JSON,
    "user": WORDS,
    "max_tokens": JSON,
    "seed": JSON,
    "something_new": JSON,
}
MODEL = st.sampled_from(["m", "m", "m", "n", ""]) | JSON
INPUTS = {
    CHAT: ("messages", TURNS | TURNS | JSON),
    "/v1/responses": ("input", WORDS | TURNS | JSON),
    "/v1/embeddings": ("input", WORDS | st.lists(WORDS, max_size=3) | JSON),
}
HEADERS = st.sampled_from(
    [
        (),
        (("authorization", "Bearer a"),),
        (("authorization", "Bearer b"),),
        (("x-ragkit-scope", "s"),),
        (("cache-control", "max-age=9, no-store"),),
    ]
)


#: A request as people make it, but for one setting that is anything.
USUAL = st.tuples(
    st.sampled_from([(CHAT, "messages"), ("/v1/responses", "input")]),
    ASKED,
    st.sampled_from([{}, *({name: one} for name, one in SETTINGS.items())]),
)


@st.composite
def requests(draw: Any) -> tuple[str, bytes, Any]:
    """A path, a body that is nearly always JSON, and headers."""
    if draw(st.booleans()):
        (path, name), text, odd = draw(USUAL)
        body = {"model": "m", "temperature": 0, name: [{"role": "user", "content": text}]}
        return path, json.dumps(body | {one: draw(values) for one, values in odd.items()}).encode(), draw(HEADERS)
    path = draw(st.sampled_from([CHAT, CHAT, *INPUTS]))
    name, given = INPUTS[path]
    body = {"model": draw(MODEL), name: draw(given)}
    body |= {one: draw(SETTINGS[one]) for one in draw(st.lists(st.sampled_from(list(SETTINGS)), max_size=2))}
    data = json.dumps(body).encode()
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=4)) + data[at + draw(st.integers(0, 3)) :]
    return path, data, draw(HEADERS)


def meant(path: str, data: bytes, sender: str) -> str:
    """A digest of all that may decide the answer to a body."""
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return sha256(data).hexdigest()
    if isinstance(body, dict):
        body = {name: value for name, value in body.items() if name not in LABELS}
        name = "messages" if "messages" in body else "input"
        turns = body.get(name)
        if name == "input" and isinstance(turns, str):
            # As OpenAI documents it: a text is one message of the user's.
            turns = body[name] = [{"role": "user", "content": turns}]
        last = turns[-1] if isinstance(turns, list) and turns else None
        if isinstance(last, dict):
            if name == "input" and last.get("type") == "message":
                del last["type"]
            content = last.get("content")
            texts = (
                [one.get("text") if isinstance(one, dict) else None for one in content]
                if isinstance(content, list)
                else [content]
            )
            if texts and all(isinstance(text, str) for text in texts):
                last["content"] = normalised("\n".join(texts))
    return sha256(json.dumps([path, sender, body], sort_keys=True).encode()).hexdigest()


async def upstream(request: httpx2.Request) -> httpx2.Response:
    said = meant(request.url.path, request.content, request.headers.get("authorization", ""))
    if request.url.path.endswith("embeddings"):
        return httpx2.Response(200, json={"object": "list", "data": [{"index": 0, "embedding": [1.0], "said": said}]})
    if request.url.path.endswith("responses"):
        part = {"type": "output_text", "text": said, "annotations": []}
        item = {"id": "i", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        return httpx2.Response(200, json={"id": "r", "object": "response", "status": "completed", "output": [item]})
    return httpx2.Response(200, json=completion(said))


def test_whatever_is_sent_no_wrong_answer_comes_back(tmp_path: Path) -> None:
    hits = 0

    def right(path: str, data: bytes, headers: Any, reply: Reply) -> None:
        nonlocal hits
        assert reply.status in (200, 400, 404), (reply.status, reply.body)
        assert all(" " <= char <= "~" for _, value in reply.headers for char in value)
        if reply.header("x-ragkit-cache").startswith("HIT") and not path.endswith("embeddings"):
            hits += 1
            assert meant(path, data, dict(headers).get("authorization", "")) in reply.body.decode()

    with asyncio.Runner() as runner:
        opened = inside(tmp_path, upstream)
        app = runner.run(opened.__aenter__())
        try:

            @settings(max_examples=ROUNDS)
            @given(requests())
            def ask(request: tuple[str, bytes, Any]) -> None:
                path, data, headers = request

                async def twice() -> None:
                    for _ in range(2):
                        right(path, data, headers, await app.ask(path, data, headers=headers))
                        await app.settled()

                runner.run(twice())

            ask()
        finally:
            runner.run(opened.__aexit__(None, None, None))
    assert hits > ROUNDS / 20  # Else nothing was tested.
