"""Request directives, response headers, tenants and settings."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragkit.cache import Verdict
from ragkit.errors import InvalidInputError, StoreError
from ragkit.proxy.controls import BadControlError, read_controls, status_headers
from ragkit.proxy.settings import load
from ragkit.proxy.tenancy import load_secret, tenant_of


def test_directives() -> None:
    assert read_controls({}).lookup
    assert read_controls({}).store
    plain = read_controls({"cache-control": "no-cache, something-new=3"})
    assert (plain.lookup, plain.store) == (False, True)
    assert (read_controls({"cache-control": "NO-STORE"}).lookup, read_controls({"cache-control": "no-store"}).store) == (
        False,
        False,
    )
    assert read_controls({"cache-control": 'only-if-cached, max-age="60"'}).max_age == 60
    assert read_controls({"cache-control": "only-if-cached"}).only_cached
    assert not read_controls({"x-ragkit-cache": "bypass"}).store
    assert read_controls({"x-ragkit-cache": "Dry-Run"}).dry_run


@pytest.mark.parametrize(
    "headers", [{"cache-control": "max-age=soon"}, {"cache-control": "max-age=-1"}, {"x-ragkit-cache": "maybe"}]
)
def test_directives_that_cannot_be_read(headers: dict[str, str]) -> None:
    with pytest.raises(BadControlError):
        read_controls(headers)


@given(st.text())
def test_any_cache_control_is_read_or_refused(text: str) -> None:
    with suppress(BadControlError):
        read_controls({"cache-control": text})


def test_status_says_what_happened() -> None:
    hit = Verdict(kind="hit", answer="a", similarity=0.93, tier="semantic", entry="e1", reason='near "enough"')
    told = status_headers(hit, age=12.7, ttl=88.2)
    assert told["cache-status"] == 'ragkit; hit; ttl=88; detail="near \\"enough\\""'
    assert told["age"] == "12"
    assert told["x-ragkit-cache"].startswith("HIT; tier=semantic; similarity=0.9300; entry=e1")
    assert status_headers(Verdict(kind="miss", reason="r"))["cache-status"].startswith("ragkit; fwd=uri-miss")
    assert status_headers(None, reason="r")["cache-status"].startswith("ragkit; fwd=bypass")
    dry = status_headers(hit, dry_run=True)
    assert "fwd=miss" in dry["cache-status"]
    assert dry["x-ragkit-cache"].startswith("DRY-RUN HIT")


@given(st.text())
def test_headers_are_always_printable_ascii(reason: str) -> None:
    for value in status_headers(None, reason=reason).values():
        assert all(" " <= char <= "~" for char in value)


def test_tenants_are_apart_and_keys_are_not_told() -> None:
    one = tenant_of({"authorization": "Bearer sk-1"}, b"s" * 32)
    assert one == tenant_of({"authorization": "Bearer sk-1"}, b"s" * 32)
    others = [
        tenant_of({"authorization": "Bearer sk-2"}, b"s" * 32),
        tenant_of({"authorization": "Bearer sk-1"}, b"t" * 32),
        tenant_of({"authorization": "Bearer sk-1", "openai-project": "p"}, b"s" * 32),
        tenant_of({"x-api-key": "Bearer sk-1"}, b"s" * 32),
        tenant_of({}, b"s" * 32),
        tenant_of({}, b"s" * 32, shared="everyone"),
    ]
    assert len({one, *others}) == 7
    assert "sk-1" not in one
    assert tenant_of({"authorization": "a"}, b"s" * 32, shared="x") == tenant_of({}, b"s" * 32, shared="x")


def test_one_secret_for_all_who_start_together(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(load_secret, [path] * 32))
    assert len(found) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_secrets_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("abc")
    with pytest.raises(InvalidInputError, match="3 bytes"):
        load_secret(tmp_path / "short")
    with pytest.raises(StoreError, match="cannot be read"):
        load_secret(tmp_path)


UPSTREAM = [{"url": "http://127.0.0.1:9/v1/"}]


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        ({}, "upstreams"),
        ({"upstreams": []}, "upstreams"),
        ({"upstreams": [{"url": "127.0.0.1"}]}, "no http"),
        ({"upstreams": [{"url": "http://me:secret@host/v1"}]}, "password"),
        ({"upstreams": UPSTREAM, "ports": 1}, "ports"),
        ({"upstreams": UPSTREAM, "port": 70_000}, "port"),
        ({"upstreams": UPSTREAM, "threshold": 0.9}, "static"),
        ({"upstreams": UPSTREAM, "admin_host": "0.0.0.0"}, "admin_token"),
        ({"upstreams": UPSTREAM, "port": 8081}, "address of their own"),
    ],
)
def test_settings_that_cannot_be_used(flags: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidInputError, match=part) as caught:
        load(**flags)
    assert "secret@" not in str(caught.value)


def test_flags_come_before_the_environment_and_that_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "serve.toml"
    file.write_text(
        'port = 1\nhost = "0.0.0.0"\nretries = 5\n[[upstreams]]\nurl = "http://a/v1"\nmodels = ["gpt-*"]\n'
        '[[upstreams]]\nurl = "http://b/v1"\napi_key = "sk-b"\n'
    )
    monkeypatch.setenv("RAGKIT_SERVE_PORT", "2")
    monkeypatch.setenv("RAGKIT_SERVE_HOST", "::1")
    settings = load(file=file, host="127.0.0.1", port=None)
    assert (settings.host, settings.port, settings.retries) == ("127.0.0.1", 2, 5)
    assert settings.upstream_for("gpt-9").url == "http://a/v1"  # type: ignore[union-attr]
    assert settings.upstream_for("other").url == "http://b/v1"  # type: ignore[union-attr]
    assert "sk-b" not in repr(settings)
    file.write_text("port = [")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load(file=file)
