"""Kill writers at random moments, again and again, and count what is lost: the answer should be nothing.

    python benchmarks/durability.py --kills 200 --seed 1 [--json]

A process adds, replaces, deletes and optimizes documents; after a random time it is killed with SIGKILL. Then the database is read: every
document is whole and of one version that was written, none is there twice, none that was committed before is missing, and every search
answers. At the end the work is finished by a writer that nobody kills, and nothing may be left over.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "index"))

import writers as work  # noqa: E402

from ragkit import Index  # noqa: E402

DOCUMENTS, GENERATIONS = 40, 4


@dataclass(slots=True)
class Account:
    """What happened in so many ``rounds``: ``killed`` of the writers were still at work, ``moved`` had committed something."""

    rounds: int = 0
    killed: int = 0
    moved: int = 0
    lost: int = 0
    doubled: int = 0
    half: int = 0
    strange: int = 0
    unanswered: int = 0
    seconds: float = 0.0

    @property
    def faults(self) -> int:
        """Everything that must not happen."""
        return self.lost + self.doubled + self.half + self.strange + self.unanswered


def read(index: Index, account: Account, texts: list[dict[str, str]]) -> dict[str, int]:
    """The generation of each stored document; faults go into the account."""
    found: dict[str, int] = {}
    ids: list[str] = []
    for doc_id in index.document_ids():
        chunks = index.chunks_of(doc_id)
        ids += [chunk.id for chunk in chunks]
        generations = {chunk.metadata["generation"] for chunk in chunks}
        generation = min(generations)
        whole = "".join(chunk.text for chunk in chunks) == texts[generation].get(doc_id)
        account.half += len(generations) > 1 or not whole
        found[doc_id] = generation
    account.doubled += sum(count - 1 for count in Counter(ids).values()) + abs(index.stats().chunks - len(ids))
    return found


def answers(index: Index) -> bool:
    """Every mode of search answers, with chunks that are there."""
    for mode in ("dense", "bm25", "hybrid"):
        chunks = [hit.chunk for hit in index.search("alpha beta g0w1 g1w1 g2w2", k=5, mode=mode)]
        stored = index.get_chunks([chunk.id for chunk in chunks])
        if not chunks or stored != chunks:
            waiting = index.stats().unindexed
            print(f"{mode}: {len(chunks)} hits, {len(stored)} of them stored; {waiting} chunks not indexed", file=sys.stderr)
            return False
    return True


def run(kills: int, seed: int, *, longest: float = 0.6) -> Account:
    """So many kills of writers at work on one database, from the seed on."""
    rng, account, begun = random.Random(seed), Account(), time.monotonic()
    texts = [{one.id: one.text for one in work.documents(generation, DOCUMENTS)} for generation in range(GENERATIONS)]
    with tempfile.TemporaryDirectory() as folder, work.writing() as write:
        path = str(Path(folder) / "kb")
        reader = work.open_index(path)
        reader.add(work.documents(0, DOCUMENTS))
        before = read(reader, account, texts)
        while account.killed < kills:
            generation = rng.randrange(GENERATIONS)
            deleted = rng.sample(sorted(texts[0]), 6) if rng.random() < 0.5 else []
            ended = write(
                path=path, generations=[generation], documents=DOCUMENTS, batch_chunks=rng.choice([8, 32, 4096]), delete=deleted,
                optimize=rng.random() < 0.5, kill_after=rng.uniform(0.0, longest),
            )  # fmt: skip
            account.rounds += 1
            account.killed += ended["codes"] == [-9]
            index = reader if account.rounds % 2 else work.open_index(path)
            after = read(index, account, texts)
            # The writer deletes first and adds all of them again, so only what it deletes may be away.
            account.lost += len(before.keys() - after.keys() - set(deleted))
            account.strange += sum(now not in (generation, before.get(doc_id)) for doc_id, now in after.items())
            account.unanswered += not answers(index)
            account.moved += after != before
            if len(after) < DOCUMENTS // 2:
                # Writers killed between their deletes and their adds empty the database bit by bit, and then nothing answers.
                reader.add(work.documents(generation, DOCUMENTS))
                after = read(reader, account, texts)
            before = after
        reader.add(work.documents(1, DOCUMENTS))
        account.lost += sum(now != 1 for now in read(reader, account, texts).values())
        account.lost += DOCUMENTS - len(reader.document_ids())
        account.unanswered += not answers(reader)
    account.seconds = round(time.monotonic() - begun, 1)
    return account


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of writers at work; those that were done earlier do not count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=0.6, help="seconds until the latest kill; more on a busy machine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    account = run(options.kills, options.seed, longest=options.longest)
    if options.json:
        print(json.dumps(asdict(account)))
    else:
        for name, value in asdict(account).items():
            print(f"{name:<12}{value:>8}")
    sys.exit(1 if account.faults else 0)


if __name__ == "__main__":
    main()
