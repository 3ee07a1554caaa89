"""What a request asks, as far as a cache is concerned: pure reading of JSON bodies, nothing is sent or stored here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ragkit.cache import Scope
from ragkit.proxy.reading import read_json
from ragkit.types import canonical_json

Endpoint = Literal["chat", "responses"]

#: Fields that do not change what a model answers: transport, accounting and labels.
_NEUTRAL = frozenset(
    {
        "background", "include", "metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "stream",
        "stream_options", "user",
    }
)  # fmt: skip
_SAMPLING = frozenset(
    {
        "frequency_penalty", "logit_bias", "max_completion_tokens", "max_output_tokens", "max_tokens", "min_p", "presence_penalty", "reasoning",
        "reasoning_effort", "repetition_penalty", "seed", "stop", "temperature", "top_k", "top_p", "truncation", "verbosity",
    }
)  # fmt: skip
_TOOLS = frozenset({"function_call", "functions", "max_tool_calls", "parallel_tool_calls", "tool_choice", "tools"})
_FORMAT = frozenset({"response_format", "text"})
#: A temperature beyond which no endpoint has any.
_HOTTEST = 9
_INSTRUCTING = ("system", "developer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as the cache sees it.

    ``bypass`` says why the cache must keep out of it, "" where it may serve; ``exact`` why only a repetition may be served, ""
    where meaning may be compared. ``prompt`` is the last user text. ``history`` and ``settings`` are everything else that
    decides the answer; ``scope`` makes them, with who asks, what must match exactly.
    """

    endpoint: Endpoint
    model: str
    prompt: str = ""
    system: str = ""
    history: tuple[Any, ...] = ()
    tools: Mapping[str, Any] | None = None
    response_format: Mapping[str, Any] | None = None
    sampling: Mapping[str, Any] | None = None
    rest: Mapping[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    temperature: float | None = None
    bypass: str = ""
    exact: str = ""

    def scope(self, *, tenant: str, extra: Mapping[str, Any]) -> Scope:
        """The scope of this request for a tenant; ``extra`` is what the operator or the client adds to it."""
        return Scope(
            tenant,
            self.model,
            self.system,
            self.history,
            tools=self.tools,
            response_format=self.response_format,
            sampling=self.sampling,
            extra={"endpoint": self.endpoint, "rest": self.rest, **extra},
        )


def read_request(endpoint: Endpoint, data: bytes) -> Asked:
    """A body as it came; what is no JSON object is left to the upstream, which says what is wrong."""
    body = read_json(data)
    if not isinstance(body, dict):
        return Asked(endpoint=endpoint, model="", bypass="the body is no JSON object")
    return read_chat(body) if endpoint == "chat" else read_responses(body)


def read_chat(body: Mapping[str, Any]) -> Asked:
    """A body of ``POST /v1/chat/completions``; what is no such body is left to the upstream, which says what is wrong."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, Mapping) for one in messages):
        return _asked("chat", body, bypass="no list of messages")
    instructions = _leading(messages)
    turns = messages[len(instructions) :]
    last = turns[-1] if turns else {}
    prompt = _text(last.get("content"), "text")
    reason = (
        "the last message is not the user's"
        if last.get("role") != "user"
        else "the last message is more than text"
        if prompt is None or last.keys() - {"role", "content", "name"}
        else _unsafe(body)
    )
    history = [*turns[:-1], {"name": last["name"]}] if last.get("name") else turns[:-1]
    return _asked(
        "chat",
        body,
        prompt=prompt or "",
        system=_instructions(instructions),
        history=tuple(history),
        bypass=reason,
        used=("messages", "store"),
    )


def read_responses(body: Mapping[str, Any]) -> Asked:
    """A body of ``POST /v1/responses``, in its text form; anything that continues a stored conversation is bypassed."""
    given = body.get("input")
    items: list[Any] = (
        [{"role": "user", "content": given}] if isinstance(given, str) else given if isinstance(given, list) else []
    )
    if not items or not all(isinstance(one, Mapping) for one in items):
        return _asked("responses", body, bypass="no input")
    instructions = _leading(items)
    turns = items[len(instructions) :]
    last = turns[-1] if turns else {}
    prompt = _text(last.get("content"), "input_text")
    reason = (
        "the last item is not the user's"
        if last.get("role") != "user" or last.get("type", "message") != "message"
        else "the last item is more than text"
        if prompt is None or last.keys() - {"role", "content", "type"}
        else next(
            (
                f"{name} continues something stored elsewhere"
                for name in ("previous_response_id", "conversation", "prompt")
                if body.get(name)
            ),
            "",
        )
        or ("it runs in the background" if body.get("background") else "")
        or ("it asks for extra output" if body.get("include") else "")
        or _unsafe(body)
    )
    given_apart = [] if body.get("instructions") is None else [{"role": "system", "content": body["instructions"]}]
    return _asked(
        "responses",
        body,
        prompt=prompt or "",
        system=_instructions([*given_apart, *instructions]),
        history=tuple(turns[:-1]),
        bypass=reason,
        used=("input", "instructions", "conversation", "previous_response_id", "prompt"),
    )


def _asked(endpoint: Endpoint, body: Mapping[str, Any], *, bypass: str, used: Sequence[str] = (), **facts: Any) -> Asked:
    model, temperature = body.get("model"), body.get("temperature")
    options = body.get("stream_options")
    named = _SAMPLING | _TOOLS | _FORMAT | _NEUTRAL | {"model", *used}
    return Asked(
        endpoint=endpoint,
        model=model if isinstance(model, str) else "",
        tools=_part(body, _TOOLS),
        response_format=_part(body, _FORMAT),
        sampling=_part(body, _SAMPLING),
        # A field nobody here has heard of may change the answer, so it counts.
        rest={name: value for name, value in body.items() if name not in named} or None,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, Mapping) and options.get("include_usage") is True,
        # Within bounds: JSON has integers that no double holds.
        temperature=float(max(-_HOTTEST, min(temperature, _HOTTEST))) if isinstance(temperature, (int, float)) else None,
        bypass=bypass or ("" if isinstance(model, str) and model else "no model is named"),
        exact="tools are offered" if _offers_tools(body) else "",
        **facts,
    )


def _unsafe(body: Mapping[str, Any]) -> str:
    """Why an answer to this could not be replayed, or would not be what was asked for."""
    many = body.get("n")
    if many not in (None, 1):
        return f"{many!r} answers are wanted"
    if body.get("logprobs") or body.get("top_logprobs"):
        return "log probabilities are wanted"
    if body.get("audio") or body.get("modalities") not in (None, [], ["text"]):
        return "more than text is wanted"
    if body.get("web_search_options"):
        return "the web is searched"
    if isinstance(body.get("temperature"), int) and abs(body["temperature"]) > _HOTTEST:
        return "the temperature is beyond all bounds"
    return ""


def _offers_tools(body: Mapping[str, Any]) -> bool:
    return bool(body.get("tools") or body.get("functions"))


def _part(body: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any] | None:
    return {name: body[name] for name in names & body.keys()} or None


def _leading(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The instructions that come before the first turn."""
    end = next((place for place, message in enumerate(messages) if message.get("role") not in _INSTRUCTING), len(messages))
    return list(messages[:end])


def _instructions(messages: Sequence[Mapping[str, Any]]) -> str:
    """One text for all instructions; different lists never give the same."""
    if not messages:
        return ""
    only = messages[0].get("content") if len(messages) == 1 else None
    if isinstance(only, str) and not only.startswith("[{") and messages[0] == {"role": "system", "content": only}:
        return only
    return canonical_json([dict(message) for message in messages])


def _text(content: Any, kind: str) -> str | None:
    """The text of a message's content, parts joined by line ends; None where it holds anything else."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        return None
    texts: list[str] = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") not in ("text", kind) or not isinstance(part.get("text"), str):
            return None
        texts.append(part["text"])
    return "\n".join(texts)
