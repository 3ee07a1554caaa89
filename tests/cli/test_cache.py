"""``ragkit cache`` on files and on a cache with answers in it."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ragkit import SemanticCache
from ragkit.cache import Certified, CertifiedSettings, Scope, Static
from ragkit.cache.pairs import LabelledPair, load_pairs, score_pairs
from ragkit.cli import caching_pairs
from ragkit.cli.app import app
from ragkit.errors import LoadError
from ragkit.testing.embedders import HashEmbedder

SCOPE = Scope("acme", "m")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder of its own, and an embedder without weights in place of the model, also where a card is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(caching_pairs, "_embedder", lambda model, adapter: HashEmbedder())
    for place in ("ragkit.embed.load_embedder", "ragkit.cache.opening.load_embedder"):
        monkeypatch.setattr(place, lambda card: HashEmbedder())
    return tmp_path


def ragkit(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["cache", *arguments])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in arguments else done.output


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def labelled(many: int = 400) -> list[dict[str, Any]]:
    """Paraphrases that share most words, and questions that share few."""
    rows: list[dict[str, Any]] = []
    for number in range(many):
        topic = f"thing{number} part{number} tool{number}"
        other = f"what helps against rust{number} on wheels{number}"
        rows.append({"a": f"how to clean the {topic}", "b": f"how to clean the {topic} well", "same": True})
        rows.append({"a": f"how to clean the {topic}", "b": other, "same": False})
    return rows


@pytest.fixture
def filled(small: Path) -> Path:
    with SemanticCache(small / "c.lance", embedder=HashEmbedder(), policy=Static(0.8)) as cache:
        cache.put("how do I reset my password", "By mail.", scope=SCOPE, tags=["help"], sources=["handbook.md"])
        cache.put("how do I reset my phone", "Hold it.", scope=SCOPE)
        cache.put("how do I reset my password", "Never.", scope=Scope("other", "m"))
    return small / "c.lance"


def test_stats_and_export(filled: Path) -> None:
    stats = ragkit("stats", "--cache", "c.lance", "--json")
    assert (stats["entries"], stats["tenants"], stats["threshold"]) == (3, 2, None)
    assert "3 answers" in ragkit("stats", "--cache", "c.lance")
    rows = [json.loads(line) for line in ragkit("export", "--cache", "c.lance").splitlines()]
    assert [row["answer"] for row in rows] == ["By mail.", "Hold it.", "Never."]
    assert ragkit("export", "--cache", "c.lance", "--json") == rows
    ragkit("export", "--cache", "c.lance", "--out", "e.jsonl")
    assert [json.loads(line) for line in Path("e.jsonl").read_text().splitlines()] == rows


def test_errors_over_time(small: Path) -> None:
    settings = CertifiedSettings(budget=0.3, edges=(0.5,), block=5, probation=5.0)
    with SemanticCache(small / "c.lance", embedder=HashEmbedder(), policy=Certified(settings)) as cache:
        cache.put("how do I reset my password", "By mail.", scope=SCOPE)
        assert "first point" in ragkit("stats", "--cache", "c.lance", "--png", "p.png", code=1)
        for _ in range(40):
            verdict = cache.lookup("how can I reset my password", scope=SCOPE)
            if verdict.judge:
                cache.judged(verdict, same=True)
        cache.adopt(cache.policy)
    told = ragkit("stats", "--cache", "c.lance", "--html", "p.html", "--png", "p.png", "--json")["policy"]
    assert told["trail"]["points"][-1][:2] == [40, told["total"]]
    page = Path("p.html").read_text()
    assert "error over time against budget" in page
    assert "budget of 30" in page
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    assert "learns nothing" in ragkit("stats", "--cache", "c.lance", "--policy", "exact", "--png", "p.png", code=1)
    assert ragkit("stats", "--cache", "c.lance", "--budget", "0.1", "--json")["policy"]["settings"]["budget"] == 0.1
    ragkit("stats", "--cache", "c.lance", "--policy", "static", "--budget", "0.1", code=1)


def test_explain(filled: Path) -> None:
    scope = ["--cache", "c.lance", "--tenant", "acme", "--model", "m", "--policy", "static"]
    asked = "how do I reset my password please"
    said = ragkit("explain", asked, *scope, "--json")
    assert said["kind"] == "near"
    assert "how do I reset my password" in said["prompts"].values()
    assert re.search(r"0\.\d+  'how do I reset my (password|phone)': (guard|policy)", ragkit("explain", asked, *scope))
    Path("scope.json").write_text('{"tenant": "acme", "model": "m"}')
    exact = ragkit("explain", "how do I reset my phone", "--cache", "c.lance", "--scope", "scope.json", "--json")
    assert (exact["kind"], exact["answer"]) == ("hit", "Hold it.")
    assert (
        ragkit("explain", "how do I reset my phone", "--cache", "c.lance", "--tenant", "else", "--model", "m", "--json")["kind"]
        == "miss"
    )
    ragkit("explain", "x", "--cache", "c.lance", code=2)


@pytest.mark.parametrize(
    ("named", "left"),
    [
        (["--tag", "help"], 2),
        (["--document", "handbook.md"], 2),
        (["--tenant", "acme"], 1),
        (["--older-than", "7d"], 3),
        (["--older-than", "0s"], 0),
        (["--everything"], 0),
    ],
)
def test_invalidate(filled: Path, named: list[str], left: int) -> None:
    assert ragkit("invalidate", "--cache", "c.lance", *named, "--json") == {"removed": 3 - left}
    assert ragkit("stats", "--cache", "c.lance", "--json")["entries"] == left


def test_invalidate_one_entry(filled: Path) -> None:
    name = ragkit("export", "--cache", "c.lance", "--json")[0]["id"]
    assert "1 answers removed" in ragkit("invalidate", "--cache", "c.lance", "--entry", name)
    ragkit("invalidate", "--cache", "c.lance", code=2)
    ragkit("invalidate", "--cache", "c.lance", "--older-than", "soon", code=1)
    assert "no cache at" in ragkit("stats", "--cache", "nowhere", code=1)


def test_eval(small: Path) -> None:
    write(small / "p.jsonl", labelled(60))
    report = ragkit("eval", "p.jsonl", "--html", "p.html", "--json")
    plain = report["scorers"]["cosine"]
    assert plain["average_precision"]["value"] > 0.95
    assert plain["average_precision"]["low"] <= plain["average_precision"]["value"]
    assert set(plain["recall_at"]) == {"0.90", "0.95", "0.98"}
    assert report["traps"][0]["traps"] > 200
    assert report["policy"]["policy"] in ("calibrated", "certified")
    page = (small / "p.html").read_text()
    assert page.count("<svg") == 1
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+|https?://matplotlib\.org/?", "", page)
    assert "Recommended: " in ragkit("eval", "p.jsonl")


def test_calibrate_adopts_or_refuses(small: Path) -> None:
    write(small / "p.jsonl", labelled())
    found = ragkit("calibrate", "p.jsonl", "--cache", "new.lance", "--budget", "0.05", "--json")
    assert found["adopted"]
    with SemanticCache(small / "new.lance", embedder=HashEmbedder(), policy="calibrated") as cache:
        assert cache.policy.threshold == found["certified"]
    write(small / "few.jsonl", labelled(5))
    assert "Refused" in ragkit("calibrate", "few.jsonl", "--cache", "new.lance", code=1)
    assert ragkit("stats", "--cache", "new.lance", "--policy", "calibrated", "--json")["threshold"] == found["certified"]


def test_files_of_pairs(small: Path) -> None:
    rows = [{"id": "1", "text_a": "a b", "text_b": "c", "label": 1}, {"a": "d", "b": "e", "same": False}]
    (small / "folder").mkdir()
    write(small / "folder" / "pairs.jsonl.gz", rows)
    expected = [LabelledPair("a b", "c", True), LabelledPair("d", "e", False)]
    assert load_pairs(small / "folder") == load_pairs(small / "folder" / "pairs.jsonl.gz") == expected
    scores = score_pairs([LabelledPair("is the 5 on", "is the 6 on", False), LabelledPair("yes", "yes", True)], HashEmbedder())
    assert scores.allowed.tolist() == [False, False]
    for text in ('{"a": "x"}', '{"a": "x", "b": "y", "same": 2}', "{", '{"a": 1, "b": "y", "same": true}', ""):
        (small / "bad.jsonl").write_text(text)
        with pytest.raises(LoadError, match=r"bad\.jsonl"):
            load_pairs(small / "bad.jsonl")
