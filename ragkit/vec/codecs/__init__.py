"""Fewer bytes for every stored vector: fit, encode, score float queries against the codes. Numpy alone.

    codec = named("rotated+int4").fit(vectors)       # or Pipeline((Rotation(),), Int4())
    codes = codec.encode(vectors)                    # Codes: uint8 rows and the codec's fingerprint
    found = codec.search(queries, codes, k=10)       # rows and scores

docs/codecs.md has what each costs and keeps.
"""

from __future__ import annotations

from ragkit.vec.codecs.bits import Binary, ResidualBinary
from ragkit.vec.codecs.codec import Codec, Drift, FitRecord
from ragkit.vec.codecs.codes import Codes, Found
from ragkit.vec.codecs.graded import Graded
from ragkit.vec.codecs.integers import Int2, Int4, Int8
from ragkit.vec.codecs.pipeline import Pipeline, named
from ragkit.vec.codecs.quantizers import Float8, Float16, Float32
from ragkit.vec.codecs.rescored import Rescored, RescoredCodec
from ragkit.vec.codecs.steps import PCA, Center, Matryoshka, Rotation, TruncatedSVD
from ragkit.vec.codecs.trellis import Trellis2

__all__ = [
    "PCA",
    "Binary",
    "Center",
    "Codec",
    "Codes",
    "Drift",
    "FitRecord",
    "Float8",
    "Float16",
    "Float32",
    "Found",
    "Graded",
    "Int2",
    "Int4",
    "Int8",
    "Matryoshka",
    "Pipeline",
    "Rescored",
    "RescoredCodec",
    "ResidualBinary",
    "Rotation",
    "Trellis2",
    "TruncatedSVD",
    "named",
]
