"""The operators' page, in a real browser."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser, Route, expect

from ragkit.cache import Certified
from ragkit.proxy.admin import policy_told

TOKEN = "operators-only"


def chat(server: Any, text: str) -> httpx2.Response:
    return httpx2.post(
        f"{server.v1}/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": text}]},
        headers={"authorization": "Bearer sk-one"},
        timeout=60,
        trust_env=False,
    )


@pytest.fixture(scope="module")
def busy(serving: Any) -> Any:
    """A server with hits, misses, near misses, entries, and a prompt that would like to be markup."""
    env = {"RAGKIT_SERVE_ADMIN_TOKEN": TOKEN, "RAGKIT_SERVE_SHOW_PROMPTS": "true", "RAGKIT_SERVE_JUDGE": "same-text"}
    server = serving("--policy", "certified", env=env)
    for _ in range(2):
        chat(server, "How do I reset the router to its factory settings?")
        time.sleep(0.5)
    chat(server, "How do I reset the router to its first factory settings?")
    chat(server, "<img src=x onerror=alert(1)> is this a question about markup?")
    time.sleep(0.5)
    return server


def admin(server: Any, path: str, *, token: str = TOKEN, **options: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.request(options.pop("method", "GET"), f"{server.admin}{path}", headers=headers, trust_env=False, **options)


def test_data_needs_the_token_and_pages_of_other_sites_get_nothing(busy: Any) -> None:
    for path in ("/ui/api/state", "/ui/api/entries", "/metrics"):
        assert admin(busy, path, token="").status_code == 401
        assert admin(busy, path, token="wrong").status_code == 401
        assert admin(busy, path).status_code == 200
    assert admin(busy, "/ui", token="").status_code == 200
    crossing = httpx2.get(f"{busy.admin}/ui/api/state", headers={"sec-fetch-site": "cross-site"}, trust_env=False)
    assert crossing.status_code == 403
    assert httpx2.get(f"{busy.url}/ui", trust_env=False).status_code == 404
    assert httpx2.get(f"{busy.url}/metrics", trust_env=False).status_code == 404


def test_the_page_loads_nothing_from_elsewhere(busy: Any) -> None:
    page = admin(busy, "/ui", token="")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("/ui", "/ui/style.css", "/ui/page.js"):
        text = admin(busy, name, token="").text
        assert "https://" not in text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")


def test_state_tells_what_happened(busy: Any) -> None:
    state = admin(busy, "/ui/api/state").json()
    assert state["totals"]["hits"] >= 1
    assert state["totals"]["misses"] >= 2
    assert state["policy"]["told"].startswith("certified, at most 2 wrong in 100 requests: shadow mode")
    near = state["near"][0]
    assert near["prompt"] == "How do I reset the router to its first factory settings?"
    assert near["stored"] == "How do I reset the router to its factory settings?"
    assert near["refused_by"] in ("policy", "guard")
    metrics = admin(busy, "/metrics").text
    assert "ragkit_cache_hits_total" in metrics
    assert "ragkit_certified_budget 0.02" in metrics
    assert "ragkit_certified_bound NaN" in metrics


def test_entries_are_found_and_removed(busy: Any) -> None:
    chat(busy, "Which entry will be marked as wrong by the operator?")
    time.sleep(0.5)
    found = admin(busy, "/ui/api/entries?search=MARKED").json()
    assert found["total"] == 1
    name = found["entries"][0]["id"]
    assert admin(busy, f"/ui/api/entries/{name}/wrong", method="POST").json() == {"wrong": name}
    assert admin(busy, f"/ui/api/entries/{name}/wrong", method="POST").status_code == 404
    assert admin(busy, "/ui/api/entries?search=MARKED").json()["total"] == 0
    assert admin(busy, "/ui/api/invalidate", method="POST", json={"tag": "none"}).json() == {"removed": 0}
    for wrong in ({}, {"tag": "a", "entry": "b"}, {"everything": "yes"}, {"nonsense": "a"}):
        assert admin(busy, "/ui/api/invalidate", method="POST", json=wrong).status_code == 400


def test_in_a_browser(busy: Any, tmp_path: Path, browser: Browser) -> None:
    """By keyboard alone, light and dark; the pictures stay in RAGKIT_ARTEFACTS where that is set."""
    shots = Path(os.environ.get("RAGKIT_ARTEFACTS", tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    backgrounds, requests, errors = set(), [], []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme, viewport={"width": 1100, "height": 1400})  # type: ignore[arg-type]
        page.on("request", lambda one: requests.append(one.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(f"{busy.admin}/ui")
        page.wait_for_selector("#login:not([hidden])")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.type(TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("#traffic svg")
        page.wait_for_selector("#entries tbody tr")
        assert "Hit rate" in page.inner_text("#numbers")
        assert "first factory settings" in page.inner_text("#near")
        assert "<img src=x" in page.inner_text("#entries")
        assert page.locator("#entries img, #near img").count() == 0
        assert page.evaluate(UNNAMED) == 0
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.screenshot(path=shots / f"ui-{scheme}.png", full_page=True)
    page.fill("#query", "router")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_have_text(re.compile("^[1-9]"))
    page.locator("#entries tbody button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_have_text(re.compile("^Marked wrong"))
    assert errors == []
    assert {url.split("/ui")[0] for url in requests if not url.startswith("data:")} == {busy.admin}
    assert len(backgrounds) == 2
    assert (shots / "ui-dark.png").stat().st_size > 10_000


def test_errors_over_time_are_drawn(busy: Any, browser: Browser, tmp_path: Path) -> None:
    """With what the server tells of a policy that has judged a while: the bound comes down to the budget."""
    policy = Certified()
    for place in range(8000):
        decision = policy.decide(0.97, (place % 100) / 100)
        policy.record(0.97, served=decision.serve)
        if decision.judge:
            policy.learn(0.97, wrong=False, weight=decision.weight, served=decision.serve)
    told = policy_told(policy)
    assert len(told["trail"]) > 10
    assert told["trail"][-1]["bound"] <= told["budget"]
    page = browser.new_page(viewport={"width": 1100, "height": 1800})

    def state(route: Route) -> None:
        route.fulfill(json={**admin(busy, "/ui/api/state").json(), "policy": told})

    page.route("**/ui/api/state", state)
    page.goto(f"{busy.admin}/ui")
    expect(page.locator("#trail-title")).to_be_visible()
    drawn = page.locator("#trail svg")
    assert "the budget is 2.0 %" in (drawn.get_attribute("aria-label") or "")
    assert drawn.locator("polyline").count() == 2
    assert page.locator("#curve svg").count() == 1
    page.screenshot(path=Path(os.environ.get("RAGKIT_ARTEFACTS", tmp_path)) / "ui-trail.png", full_page=True)


UNNAMED = """[...document.querySelectorAll("input, button")].filter(
  (one) => !(one.labels && one.labels.length) && !one.textContent.trim() && !one.getAttribute("aria-label")).length"""
