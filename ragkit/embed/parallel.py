"""Parallel windows: a long plain text is read in windows, and their vectors are averaged (LongEmbed, 2404.12096)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ragkit.embed.inputs import Reading
from ragkit.embed.passes import read_long
from ragkit.embed.tokens import Job, TokenPlanner
from ragkit.errors import TextTooLongError
from ragkit.seams import Vectors
from ragkit.types import Span


@dataclass(frozen=True, slots=True)
class Parts:
    """Jobs that fill ``n`` vectors: one for each of ``readings``, and behind them one for each window of ``windows[reading]``."""

    jobs: list[Job]
    readings: int
    n: int
    windows: dict[int, range]

    def mean(self, vectors: Vectors) -> Vectors:
        """``(readings, dim)`` unit rows from ``(n, dim)``: a reading in windows takes the mean of theirs."""
        rows = vectors[: self.readings].copy()
        for row, numbers in self.windows.items():
            mean = vectors[numbers.start : numbers.stop].mean(axis=0)
            rows[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return rows


def parallel_parts(
    planner: TokenPlanner, readings: Sequence[Reading], name: Callable[[int], str], *, longest: int, own: bool = False
) -> Parts:
    """Windows of ``planner.window`` tokens for plain texts of up to ``longest``; everything else as the planner plans it.

    ``own`` as in ``TokenPlanner.jobs``. Every window has special tokens and prompt, and the last is moved left until it is full. Raises TextTooLongError beyond
    ``longest``, and for a reading with a span that does not fit into one window.
    """
    jobs: list[Job] = []
    windows: dict[int, range] = {}
    n = len(readings)
    for kind, limit in ((True, longest), (False, planner.window)):
        rows = [row for row, reading in enumerate(readings) if (reading.span is None and reading.passes is None) is kind]
        try:
            planned = replace(planner, window=limit).jobs([readings[row] for row in rows], partial(_name, name, rows), own=own)
        except TextTooLongError as error:
            if kind:
                raise
            raise TextTooLongError(
                f"{error} With extend='parallel' only plain texts may be longer: leave the context out, or cut to {limit} tokens."
            ) from error
        for job in planned:
            wanted = [(rows[at], pool) for at, pool in job.pools]
            if len(job.ids) <= planner.window:
                jobs.append(Job(job.ids, wanted, [tokens._replace(row=rows[tokens.row]) for tokens in job.own]))
                continue
            first = wanted[0][0]
            text = readings[first].text
            read = read_long(planner.tokenizer, planner.prompt, text, planner.window, 0, partial(name, first))
            skipped = 0 if planner.pool_prompt or not planner.prompt else read.lead
            found = [Job(ids, [(n + at, np.arange(skipped, len(ids)) if skipped else None)]) for at, ids in enumerate(read.ids)]
            for row, _ in wanted if own else ():
                for place, tokens in read.own(row, Span(0, len(text))):
                    found[place].own.append(tokens)
            jobs += found
            windows |= dict.fromkeys((row for row, _ in wanted), range(n, n + len(read.ids)))
            n += len(read.ids)
    return Parts(jobs, len(readings), n, windows)


def _name(name: Callable[[int], str], rows: Sequence[int], at: int) -> str:
    return name(rows[at])
