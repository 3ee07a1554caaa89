"""The package says what ragkit.langchain says, and nothing else."""

from __future__ import annotations

import langchain_ragkit

import ragkit.langchain


def test_it_re_exports_everything() -> None:
    assert langchain_ragkit.__all__ == ragkit.langchain.__all__
    for name in langchain_ragkit.__all__:
        assert getattr(langchain_ragkit, name) is getattr(ragkit.langchain, name)
