"""Finished recipes on disk, by content: a study that was stopped goes on where it stopped."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path

from ragkit.evaluate.study_run import Outcome


class OutcomeStore:
    """One JSON file per finished recipe in ``folder``; None keeps nothing. A damaged file is measured again, with a warning."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, key: str) -> Outcome | None:
        """The outcome kept under ``key``."""
        if self._folder is None:
            return None
        file = self._folder / f"{key}.json"
        if not file.is_file():
            return None
        try:
            return Outcome.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            warnings.warn(f"{file} is damaged and is measured again: {error}", RuntimeWarning, stacklevel=2)
            return None

    def put(self, key: str, outcome: Outcome) -> None:
        """Keep an outcome; the file appears whole or not at all."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{key}.json"
        part = file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(outcome.to_dict()), encoding="utf-8")
        part.replace(file)
