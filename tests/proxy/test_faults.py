"""What goes wrong between a client and an upstream: nothing is poisoned, lost, leaked or waited for in vain."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import httpx2
import pytest

from ragkit.proxy import check_settings, load


def chat(server: Any, text: str, *, key: str = "sk-one", headers: dict[str, str] | None = None, **body: Any) -> httpx2.Response:
    return httpx2.post(
        f"{server.v1}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": text}], **body},
        headers={"authorization": f"Bearer {key}", **(headers or {})},
        timeout=30,
        trust_env=False,
    )


def said(response: httpx2.Response) -> str:
    return str(response.headers["x-ragkit-cache"]).split(";")[0]


def content(response: httpx2.Response) -> str:
    return str(response.json()["choices"][0]["message"]["content"])


def settled(server: Any, text: str, **options: Any) -> httpx2.Response:
    """The response once the cache serves it, or the last one."""
    for _ in range(60):
        response = chat(server, text, **options)
        if response.headers.get("x-ragkit-cache", "").startswith("HIT"):
            return response
        time.sleep(0.05)
    return response


@pytest.mark.parametrize("order", ["status 500", "status 429", "status 401", "garbage", "length", "tool", "refuse"])
def test_what_is_no_good_answer_is_passed_on_and_not_stored(server: Any, upstream: Any, order: str) -> None:
    text = f"Please write the report about {order.split()[0]} of the week [{order}]"
    first, again = chat(server, text), chat(server, text)
    time.sleep(0.2)
    last = chat(server, text)
    assert {said(first), said(again), said(last)} <= {"MISS", "NEAR"}
    assert upstream.asked(text) == 3
    if order.startswith("status"):
        assert first.status_code == int(order.split()[1])
        assert first.json()["error"]["message"] == f"ordered {order.split()[1]}"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_breaks_off_is_never_stored(server: Any, upstream: Any, stream: bool) -> None:
    text = f"Tell me about broken bridges, {'streamed' if stream else 'plain'} [break]"
    for _ in range(2):
        try:
            response = chat(server, text, stream=stream)
            assert response.status_code == 502
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    assert upstream.asked(text) == 2


def test_high_temperatures_are_not_stored(server: Any, upstream: Any) -> None:
    text = "Write a limerick about a lighthouse keeper."
    for _ in range(3):
        assert said(chat(server, text, temperature=1.5)) == "MISS"
        time.sleep(0.1)


def test_several_answers_and_tools(server: Any, upstream: Any) -> None:
    text = "Give two names for a boat."
    response = chat(server, text, n=2)
    assert said(response) == "BYPASS"
    assert len(response.json()["choices"]) == 2
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    first = settled(server, "Which boats are in the harbour today at noon?", tools=tools)
    assert said(first) == "HIT"
    assert said(chat(server, "Which boats are in the harbour at noon today?", tools=tools)) == "BYPASS"


def test_keys_never_share(server: Any, upstream: Any) -> None:
    text = "What did we decide about the harbour extension?"
    mine = content(settled(server, text, key="sk-one"))
    theirs = chat(server, text, key="sk-two")
    assert said(theirs) == "MISS"
    assert content(theirs) != mine
    assert said(chat(server, text, key="sk-one", headers={"x-ragkit-scope": "night shift"})) == "MISS"
    assert said(chat(server, text, key="sk-one", headers={"openai-project": "p2"})) == "MISS"
    stored = b"".join(file.read_bytes() for file in server.folder.rglob("*") if file.is_file())
    assert b"sk-one" not in stored


def test_request_controls(server: Any, upstream: Any) -> None:
    text = "When does the museum open on public holidays?"
    answer = content(settled(server, text))
    asked = upstream.asked(text)
    for control in ({"cache-control": "no-cache"}, {"cache-control": "no-store"}, {"x-ragkit-cache": "bypass"}):
        response = chat(server, text, headers=control)
        assert said(response) == "BYPASS"
    assert upstream.asked(text) == asked + 3
    dry = chat(server, text, headers={"x-ragkit-cache": "dry-run"})
    assert dry.headers["x-ragkit-cache"].startswith("DRY-RUN HIT")
    assert content(dry) != answer
    assert said(chat(server, text, headers={"cache-control": "max-age=3600"})) == "HIT"
    time.sleep(1.1)
    assert said(chat(server, text, headers={"cache-control": "max-age=1"})) != "HIT" or upstream.asked(text) > asked + 4
    only = chat(server, "Nobody has ever asked this about the museum.", headers={"cache-control": "only-if-cached"})
    assert only.status_code == 504
    assert chat(server, text, headers={"cache-control": "max-age=x"}).status_code == 400
    assert not {"x-ragkit-cache", "cache-control", "x-ragkit-scope"} & set(upstream.log()[-1]["headers"])


def test_a_client_that_leaves_loses_nothing(server: Any, upstream: Any) -> None:
    text = "Tell the long story of the slow river [slow]"
    with (
        httpx2.Client(timeout=30, trust_env=False) as client,
        client.stream(
            "POST",
            f"{server.v1}/chat/completions",
            json={"model": "m", "stream": True, "messages": [{"role": "user", "content": text}]},
            headers={"authorization": "Bearer sk-one"},
        ) as response,
    ):
        next(response.iter_raw())
    time.sleep(2.5)
    found = chat(server, text)
    assert said(found) == "HIT"
    assert upstream.asked(text) == 1
    assert content(found).endswith("[slow]")


def test_stopping_finishes_what_has_begun(serving: Any, upstream: Any) -> None:
    server = serving("--policy", "exact")
    text = "A slow answer while the server stops [delay 1.5]"
    found: list[httpx2.Response] = []
    asking = threading.Thread(target=lambda: found.append(chat(server, text)))
    asking.start()
    time.sleep(0.7)
    server.process.send_signal(signal.SIGTERM)
    asking.join(20)
    assert found[0].status_code == 200
    server.process.wait(20)
    again = serving("--policy", "exact", folder=server.folder)
    assert said(chat(again, text)) == "HIT"
    assert upstream.asked(text) == 1


def test_two_servers_over_one_store(serving: Any, upstream: Any) -> None:
    one = serving("--policy", "exact")
    two = serving("--policy", "exact", folder=one.folder)
    text = "Do replicas know of each other's answers?"
    answer = content(settled(one, text))
    found = chat(two, text)
    assert said(found) == "HIT"
    assert content(found) == answer
    assert upstream.asked(text) <= 2


def test_what_the_log_holds(serving: Any) -> None:
    server = serving("--policy", "exact", url="http://127.0.0.1:9", env={"RAGKIT_SERVE_RETRIES": "0"})
    chat(server, "My secret question about payroll", key="sk-very-secret")
    server.process.terminate()
    told = server.process.communicate(timeout=30)[1]
    assert "sk-very-secret" not in told
    assert "payroll" not in told


def test_models_choose_upstreams() -> None:
    settings = load(upstreams=[{"url": "http://a/v1", "models": ["a-*"]}])
    assert settings.upstream_for("b-1") is None


def test_check(upstream: Any, tmp_path: Any) -> None:
    told = ["--policy", "exact", "--cache", str(tmp_path / "c.lance"), "--upstream", f"m={upstream.url}/v1"]
    command = [sys.executable, "-m", "ragkit", "serve", "--check", "--json", *told, "--upstream", "http://127.0.0.1:9/v1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [good for _, good, _ in json.loads(done.stdout)["parts"]] == [True, True, True, False]
    settings = load(policy="exact", cache=tmp_path / "c.lance", upstreams=[{"url": f"{upstream.url}/v1"}])
    assert check_settings(settings).ok
