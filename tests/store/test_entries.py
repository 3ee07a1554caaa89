"""The log of a cache: rows are read once, wherever they lie and whoever moves them; kills, damage and old folders."""

from __future__ import annotations

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Barrier, Timer

import lancedb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragkit.errors import StoreCorruptError, StoreError, StoreFormatError, StoreFullError
from ragkit.store import entries, journal
from ragkit.store.entries import EntryLog
from ragkit.store.journal import Journal
from ragkit.store.log_rows import LogRow, fields, from_arrow, row_from, to_arrow, values_of


def opened(path: Path) -> EntryLog:
    return EntryLog.open(path, card=lambda: None)


def read(log: EntryLog) -> list[int]:
    return [row.row for row in log.unread()[0]]


class Killed(BaseException):
    """The end of a process, as far as the files can tell."""


def fold_and_die(log: EntryLog, monkeypatch: pytest.MonkeyPatch, *, before: bool) -> None:
    """Fold, killed before or behind the first batch that the journal forgets."""
    journal = log._journal
    forget = journal.forget

    def killed(place: int) -> None:
        if not before:
            forget(place)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(journal, "forget", killed)
        with pytest.raises(Killed):
            log.fold()


STEPS = st.lists(
    st.sampled_from(["append", "append 3", "read", "read", "fold", "die", "die late", "remove", "anew"]), max_size=14
)


@settings(max_examples=12)
@given(steps=STEPS)
def test_every_reader_gets_every_row_once(steps: list[str]) -> None:
    """A writer, a reader that looks now and then, and one that comes last, while rows wander into the table."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        writer, reader = opened(Path(folder) / "c"), opened(Path(folder) / "c")
        read(writer), read(reader)
        patch.setattr(entries, "_BATCH", 2)
        written, gone, seen, last = [], set(), [], 0
        for step in steps:
            if step.startswith("append"):
                rows = [LogRow(kind="put", at=1, row=(last := last + 1)) for _ in range(int(step[7:] or 1))]
                writer.append(rows)
                written += [row.row for row in rows]
                assert reader.changed()
            elif step == "read":
                seen += read(reader)
                assert sorted(seen) == [row for row in written if row in seen or row not in gone]
                assert not reader.changed()
            elif step.startswith("die"):
                if writer._journal.oldest(1)[0]:
                    fold_and_die(writer, patch, before=step == "die")
            elif step == "remove":
                writer.fold()
                writer.remove(written[:1])
                gone |= set(written[:1])
            elif step == "anew":
                writer.close()
                writer = opened(Path(folder) / "c")
                assert set(read(writer)) >= set(written) - gone
            else:
                writer.fold()
        living = [row for row in written if row not in gone]
        assert sorted(read(opened(Path(folder) / "c"))) == living
        writer.fold()
        assert sorted(writer._table.to_arrow().column("row").to_pylist()) == living


@given(
    st.builds(
        LogRow,
        kind=st.text(max_size=3),
        at=st.integers(0, 2**62),
        prompt=st.text(st.characters(), max_size=20) | st.just("\ud800\x00\ue000"),
        vector=st.binary(max_size=8),
        detail=st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=3),
        row=st.integers(0, 2**62),
    )
)
@settings(max_examples=60)
def test_rows_come_back_as_they_were_from_both_stores(row: LogRow) -> None:
    assert row_from(values_of(row)) == row
    assert from_arrow(to_arrow([values_of(row)])) == [row]
    with sqlite3.connect(":memory:") as connection:
        found = connection.execute(f"SELECT {', '.join('?' * 11)}", values_of(row)).fetchone()
    assert row_from(found) == row


def test_one_keeps_at_a_time(tmp_path: Path) -> None:
    one, other = opened(tmp_path / "c"), opened(tmp_path / "c")
    with one.keeping() as first, other.keeping() as second:
        assert (first, second) == (True, False)
    with other.keeping() as second:
        assert second


def test_a_folder_of_format_1_goes_on(tmp_path: Path) -> None:
    header = {"cache": True, "format": 1, "born": 5, "card": None}
    schema = pa.schema(fields(), metadata={"ragkit": json.dumps(header)})
    old = [LogRow(kind="put", at=number, row=number) for number in range(3)]
    table = lancedb.connect(tmp_path / "c").create_table("entries", schema=schema)
    table.add(to_arrow(map(values_of, old)))
    log = opened(tmp_path / "c")
    assert log.unread()[0] == old
    log.append([LogRow(kind="put", at=9, row=9)])
    log.fold()
    assert sorted(read(opened(tmp_path / "c"))) == [0, 1, 2, 9]


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    header = {"cache": True, "format": 99, "born": 5, "card": None}
    lancedb.connect(tmp_path / "c").create_table("entries", schema=pa.schema(fields(), metadata={"ragkit": json.dumps(header)}))
    with pytest.raises(StoreFormatError, match="99"):
        opened(tmp_path / "c")


def test_a_folder_that_was_removed_and_made_anew_is_noticed(tmp_path: Path) -> None:
    log = opened(tmp_path / "c")
    log.append([LogRow(kind="put", at=1, row=1)])
    read(log)
    shutil.rmtree(tmp_path / "c")
    with pytest.raises(StoreError):
        log.append([LogRow(kind="put", at=2, row=2)])
    assert log.changed()
    with pytest.raises(StoreError):
        log.unread()
    other = opened(tmp_path / "c")
    other.append([LogRow(kind="put", at=3, row=3)])
    rows, anew = log.unread()
    assert ([row.row for row in rows], anew) == ([3], True)
    log.append([LogRow(kind="put", at=4, row=4)])
    assert sorted(read(opened(tmp_path / "c"))) == [3, 4]


def test_a_journal_that_was_removed_alone_is_an_error(tmp_path: Path) -> None:
    log = opened(tmp_path / "c")
    for file in (tmp_path / "c").glob("journal*"):
        file.unlink()
    with pytest.raises(StoreError, match="removed"):
        log.append([LogRow(kind="put", at=1)])
    with pytest.raises(StoreError, match="journal"):
        log.unread()


@pytest.mark.parametrize("whole", [True, False])
def test_a_damaged_journal_says_what_to_do(tmp_path: Path, whole: bool) -> None:
    log = opened(tmp_path / "c")
    for _ in range(40):
        log.append([LogRow(kind="put", at=1, answer="a" * 3000)])
    log.close()
    (file,) = (tmp_path / "c").glob("journal*.sqlite")
    data = file.read_bytes()
    file.write_bytes(b"no" * 4000 if whole else data[:8192] + b"no" * ((len(data) - 8192) // 2))

    def use() -> None:
        log = opened(tmp_path / "c")
        log.unread()
        log.fold()

    with pytest.raises(StoreCorruptError, match="fills again"):
        use()


def test_what_is_refused_is_not_written(tmp_path: Path) -> None:
    log = opened(tmp_path / "c")
    log.append([LogRow(kind="put", at=1, row=1)])
    with log._journal._writer.connection() as connection:
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0] + 1}")
    rows = [LogRow(kind="put", at=2, row=2), LogRow(kind="put", at=3, row=3, answer="a" * 50_000)]
    with pytest.raises(StoreFullError, match="space"):
        log.append(rows)
    assert read(opened(tmp_path / "c")) == [1]
    log.append([LogRow(kind="put", at=4, row=4)])
    assert read(opened(tmp_path / "c")) == [1, 4]


def test_the_log_of_the_journal_does_not_grow_while_writers_never_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, sizes = opened(tmp_path / "c"), []
    monkeypatch.setattr(journal, "_LONG", 50)
    keeper = log._journal._keeper.connection()
    for _ in range(4):
        for _ in range(30):
            log.append([LogRow(kind="put", at=1, answer="a" * 9000)])
        with closing(sqlite3.connect(log._journal.path, isolation_level=None)) as other:

            def meanwhile(said: str, other: sqlite3.Connection = other) -> None:
                if "PASSIVE" in said:
                    # What is written now cannot be moved: somebody reads what was before.
                    other.execute("BEGIN").execute("SELECT count(*) FROM waiting").fetchone()
                    log.append([LogRow(kind="put", at=2)])
                elif "RESTART" in said:
                    other.execute("COMMIT")

            keeper.set_trace_callback(meanwhile)
            log.fold()
        sizes.append(next((tmp_path / "c").glob("journal*-wal")).stat().st_size)
    assert sizes[-1] < 2 * sizes[0]


def test_keeping_tells_a_folder_that_is_gone(tmp_path: Path) -> None:
    log = opened(tmp_path / "c")
    log.append([LogRow(kind="put", at=1)])
    shutil.rmtree(tmp_path / "c")
    with pytest.raises(StoreError, match="shape"), log.keeping():
        pass
    with pytest.raises(StoreCorruptError, match="removed"):
        log.fold()


def test_news_are_not_waited_for_while_another_thread_reads(tmp_path: Path) -> None:
    log = opened(tmp_path / "c")
    read(log)
    assert not log.changed(wait=False)
    with log._journal._read_lock:
        assert log.changed(wait=False)


def test_a_new_file_that_others_are_opening_too_is_waited_for(tmp_path: Path) -> None:
    """SQLite refuses at once to change the mode of a file that somebody writes to."""
    path = tmp_path / "j.sqlite"
    with closing(sqlite3.connect(path, check_same_thread=False, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = Timer(0.1, other.execute, ["COMMIT"])
        done.start()
        Journal(path).close()
        done.join()


def test_a_log_that_many_create_at_once_is_one(tmp_path: Path) -> None:
    for attempt in range(4):
        gate = Barrier(4)

        def made(number: int, path: Path = tmp_path / f"c{attempt}", gate: Barrier = gate) -> EntryLog:
            gate.wait()
            log = opened(path)
            log.append([LogRow(kind="put", at=1, row=number)])
            return log

        with ThreadPoolExecutor(4) as pool:
            logs = list(pool.map(made, range(4)))
        assert len({log._born for log in logs}) == 1
        for number, log in enumerate(logs):
            assert sorted([number, *read(log)]) == [0, 1, 2, 3]
