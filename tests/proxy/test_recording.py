"""Streams are put together as they pass, and replayed as streams that mean the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.proxy.answers import events, outcome_of, replayed, tokens_of
from ragkit.proxy.recording import Recording
from ragkit.proxy.requests import Asked

ASKED = Asked(endpoint="chat", model="m", stream=True, include_usage=True)


def completion(text: str, **message: Any) -> dict[str, Any]:
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}},
    }


@given(st.text(min_size=1), st.lists(st.integers(1, 200), max_size=20), st.booleans())
def test_a_replayed_stream_records_as_the_answer_it_came_from(text: str, cuts: list[int], crlf: bool) -> None:
    whole = replayed(completion(text, reasoning_content="why"))
    data = b"".join(events(ASKED, whole))
    if crlf:
        data = data.replace(b"\n", b"\r\n")
    recording = Recording("chat", limit=10**7)
    at = 0
    for cut in [*cuts, len(data)]:
        assert recording.body is None or at >= len(data)
        recording.feed(data[at : at + cut])
        at += cut
    assert recording.body == whole
    assert whole["usage"] == {"prompt_tokens": 0, "completion_tokens": 0, "prompt_tokens_details": {"cached_tokens": 0}}


def test_what_is_no_text_in_a_message_is_replayed_too() -> None:
    details = [{"type": "reasoning.text", "text": "why"}]
    whole = replayed(completion("x", reasoning_details=details, annotations=[], refusal=None))
    sent = [json.loads(event[6:]) for event in events(ASKED, whole) if b"[DONE]" not in event]
    deltas = [one["choices"][0]["delta"] for one in sent if one["choices"]]
    assert deltas == [{"role": "assistant", "content": ""}, {"content": "x"}, {"reasoning_details": details}, {}]


def fed(*values: Any, done: bool = True, endpoint: Any = "chat") -> Recording:
    recording = Recording(endpoint, limit=10**6)
    for value in values:
        recording.feed(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")
    if done:
        recording.feed(b"data: [DONE]\n\n")
    return recording


def chunk(finish: str | None = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


@pytest.mark.parametrize(
    ("recording", "why"),
    [
        (fed(chunk(content="a"), done=False), "broke off"),
        (fed(chunk(content="a"), {"error": {"message": "x"}}), "reported an error"),
        (fed(chunk(content="a"), b"{half"), "no JSON"),
        (fed(chunk(tool_calls=[{"index": 0}]), chunk("tool_calls")), "tool calls"),
        (fed(chunk(content="a"), chunk(content="b", index=1)), "more than one choice"),
        (fed(chunk(content={"odd": 1})), "no text"),
        (fed({"choices": 3}), "unknown shape"),
        (fed({"type": "response.failed"}, endpoint="responses"), "response.failed"),
        (fed({"type": "response.completed", "response": "ab"}, endpoint="responses"), "unknown shape"),
    ],
)
def test_what_is_not_whole_is_no_answer(recording: Recording, why: str) -> None:
    assert recording.body is None
    assert why in recording.why


def test_a_stream_longer_than_an_entry_is_let_go() -> None:
    recording = Recording("chat", limit=100)
    for _ in range(50):
        recording.feed(b"data: " + json.dumps(chunk(content="word ")).encode() + b"\n\n")
    recording.feed(b"data: [DONE]\n\n")
    assert recording.body is None
    assert "longer" in recording.why


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (completion("x") | {"choices": []}, "not one choice"),
        ([], "no JSON object"),
        ({"error": {"message": "no"}}, "reported an error"),
        (completion("x") | {"choices": [{"index": 0, "message": None}]}, "no message"),
    ],
)
def test_odd_bodies_are_errors(body: Any, part: str) -> None:
    assert part in outcome_of("chat", body, asked=ASKED).error


@pytest.mark.parametrize("told", [-5, 10**400, True, "7", None, 2.5])
def test_an_absurd_usage_counts_as_none(told: Any) -> None:
    assert tokens_of({"usage": {"prompt_tokens": told, "completion_tokens": 7}}) == (int(told is True), 7)


def test_outcomes_tell_what_must_not_be_stored() -> None:
    odd = completion("x")
    odd["choices"][0]["message"]["tool_calls"] = 5
    assert outcome_of("chat", odd, asked=ASKED).tool_calls
    assert outcome_of("chat", completion("x"), asked=ASKED).text == "x"
    assert outcome_of("chat", completion("x", tool_calls=[{}]), asked=ASKED).tool_calls == 1
    assert outcome_of("chat", completion("x", refusal="no"), asked=ASKED).refusal
    part = {"type": "output_text", "text": "x"}
    message = {"type": "message", "content": [part]}
    assert outcome_of("responses", {"status": "completed", "output": [message]}, asked=ASKED).text == "x"
    assert outcome_of("responses", {"status": "incomplete", "output": [message]}, asked=ASKED).finish == "incomplete"
    assert outcome_of("responses", {"status": "completed", "output": [{"type": "web_search_call"}]}, asked=ASKED).tool_calls == 1


def test_what_events_are_wrapped_in_does_not_count() -> None:
    recording = Recording("chat", limit=2000)
    for _ in range(300):
        recording.feed(b"data: " + json.dumps(chunk(content="word ") | {"tool_calls": []}).encode() + b"\n\n")
    recording.feed(
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": []}, "finish_reason": "stop"}]}).encode()
    )
    recording.feed(b"\n\ndata: [DONE]\n\n")
    assert recording.body is not None
    assert recording.body["choices"][0]["message"]["content"] == "word " * 300


@pytest.mark.parametrize("event", [b"[" * 100_000, b'{"choices": "' + b"x" * 5000 + b'"}', b"x" * 5000])
def test_huge_and_deep_events_are_let_go(event: bytes) -> None:
    recording = Recording("chat", limit=200_000 if event.startswith(b"[") else 2000)
    for at in range(0, len(event), 1000):
        recording.feed((b"data: " if at == 0 else b"") + event[at : at + 1000])
    recording.feed(b"\n\n")
    assert recording.body is None


@pytest.mark.parametrize("output", [["no item"], [{"type": "message", "content": [{"type": "output_text", "text": None}]}]])
def test_what_could_not_be_replayed_is_an_error(output: Any) -> None:
    assert outcome_of("responses", {"status": "completed", "output": output}, asked=ASKED).error
