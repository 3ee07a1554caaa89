"""What a body asks: which part is compared by meaning, what must match exactly, and when the cache keeps out of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.proxy.requests import read_chat, read_responses

CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is a chunk?"},
        {"role": "assistant", "content": "A span."},
        {"role": "user", "content": "And a window?"},
    ],
    "temperature": 0.2,
}
RESPONSES: dict[str, Any] = {"model": "m", "instructions": "Be brief.", "input": "What is a chunk?"}


def digest(body: dict[str, Any]) -> str:
    return read_chat(body).scope(tenant="t", extra={}).digest


def test_the_last_user_text_alone_is_compared_by_meaning() -> None:
    asked = read_chat(CHAT)
    assert (asked.prompt, asked.system, len(asked.history), asked.bypass) == ("And a window?", "Be brief.", 2, "")
    other = {**CHAT, "messages": [*CHAT["messages"][:-1], {"role": "user", "content": "Something else entirely?"}]}
    assert digest(other) == digest(CHAT)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"temperature": 0.3},
        {"seed": 1},
        {"max_tokens": 5},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"reasoning_effort": "low"},
        {"a_field_of_tomorrow": True},
        {"messages": [{"role": "user", "content": "And a window?"}]},
        {"messages": [{"role": "system", "content": "Be long."}, *CHAT["messages"][1:]]},
        {"messages": [*CHAT["messages"][:-1], {"role": "user", "content": "And a window?", "name": "bob"}]},
    ],
)
def test_everything_else_is_scope(change: dict[str, Any]) -> None:
    assert digest(CHAT | change) != digest(CHAT)


@pytest.mark.parametrize(
    "change",
    [{"stream": True}, {"stream_options": {"include_usage": True}}, {"user": "u"}, {"metadata": {"a": "b"}}, {"store": True}],
)
def test_transport_and_labels_are_not(change: dict[str, Any]) -> None:
    assert digest(CHAT | change) == digest(CHAT)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"n": 2}, "answers are wanted"),
        ({"logprobs": True}, "log probabilities"),
        ({"modalities": ["text", "audio"]}, "more than text"),
        ({"web_search_options": {"a": 1}}, "the web"),
        ({"temperature": 10**400}, "beyond all bounds"),
        ({"messages": []}, "no list of messages"),
        ({"messages": "hello"}, "no list of messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "not the user's"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "not the user's"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]}, "more than text"),
        ({"messages": [{"role": "user", "content": None}]}, "more than text"),
        ({"model": ""}, "no model"),
        ({"model": 3}, "no model"),
    ],
)
def test_what_cannot_be_replayed_is_passed_by(change: dict[str, Any], reason: str) -> None:
    assert reason in read_chat(CHAT | change).bypass


def test_offered_tools_allow_repetitions_only() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert read_chat(CHAT | {"tools": tools}).exact
    assert not read_chat(CHAT | {"tools": []}).exact


def test_text_in_parts_is_text() -> None:
    parts = [{"type": "text", "text": "And a"}, {"type": "text", "text": "window?"}]
    body = {**CHAT, "messages": [*CHAT["messages"][:-1], {"role": "user", "content": parts}]}
    assert read_chat(body).prompt == "And a\nwindow?"


def test_responses_in_their_text_form() -> None:
    asked = read_responses(RESPONSES)
    assert (asked.prompt, asked.system, asked.history, asked.bypass) == ("What is a chunk?", "Be brief.", (), "")
    turns = [{"role": "user", "content": "Hi"}, {"role": "user", "content": [{"type": "input_text", "text": "What is a chunk?"}]}]
    asked = read_responses(RESPONSES | {"input": turns})
    assert (asked.prompt, len(asked.history), asked.bypass) == ("What is a chunk?", 1, "")


@pytest.mark.parametrize(
    "change",
    [
        {"previous_response_id": "r"},
        {"conversation": "c"},
        {"prompt": {"id": "p"}},
        {"background": True},
        {"include": ["message.output_text.logprobs"]},
        {"input": []},
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "u"}]}]},
    ],
)
def test_responses_that_continue_something_are_passed_by(change: dict[str, Any]) -> None:
    assert read_responses(RESPONSES | change).bypass


def test_both_endpoints_never_share_an_answer() -> None:
    chat = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a chunk?"}],
    }
    assert digest(chat) != read_responses(RESPONSES).scope(tenant="t", extra={}).digest


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ["model", "messages", "input", "role", "content", "type", "text", "tools", "n", "stream", "temperature", "prompt"]
)


@given(st.dictionaries(NAMES, JSON | st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=3), max_size=6))
def test_no_body_is_too_odd(body: dict[str, Any]) -> None:
    for read in (read_chat, read_responses):
        asked = read(body)
        if not asked.bypass:
            assert asked.scope(tenant="t", extra={}).digest


def test_instructions_differ_by_role_name_and_number() -> None:
    asked = {"role": "user", "content": "What is a chunk?"}
    leading: list[list[dict[str, Any]]] = [
        [],
        [{"role": "system", "content": "Be brief."}],
        [{"role": "developer", "content": "Be brief."}],
        [{"role": "system", "content": "Be brief.", "name": "editor"}],
        [{"role": "system", "content": "Be"}, {"role": "system", "content": "brief."}],
        [{"role": "system", "content": '[{"content":"Be brief.","role":"developer"}]'}],
        [{"role": "system", "content": [{"type": "text", "text": "Be brief."}]}],
    ]
    assert len({digest({"model": "m", "messages": [*some, asked]}) for some in leading}) == len(leading)
    apart = [None, "Be brief.", ["Be brief."], {"text": "Be brief."}]
    bodies = [{"model": "m", "input": "What is a chunk?", "instructions": one} for one in apart]
    assert len({read_responses(body).scope(tenant="t", extra={}).digest for body in bodies}) == len(apart)
