"""A chat endpoint that answers at once, for benchmarks/proxy.py: ``python benchmarks/upstream.py PORT``."""

from __future__ import annotations

import json
import sys
from typing import Any

import uvicorn

_FRAME = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "m"}
_WORDS = [f"word{number} " for number in range(40)]
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "".join(_WORDS)}, "logprobs": None, "finish_reason": "stop"}
_WHOLE = json.dumps(
    {
        **_FRAME,
        "object": "chat.completion",
        "choices": [_CHOICE],
        "usage": {"prompt_tokens": 20, "completion_tokens": 40, "total_tokens": 60},
    }
).encode()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({**_FRAME, "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


_STREAM = [
    _event({"role": "assistant", "content": ""}),
    *(_event({"content": word}) for word in _WORDS),
    _event({}, "stop"),
    b"data: [DONE]\n\n",
]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    if b'"stream":true' in body.replace(b" ", b""):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        for event in _STREAM:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_WHOLE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _WHOLE})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", access_log=False, lifespan="off")
