"""Laws that every codec keeps, on any vectors."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ragkit.vec.codecs import (
    Binary,
    Codec,
    Codes,
    Int2,
    Int4,
    Int8,
    Pipeline,
    Rescored,
    RescoredCodec,
    Rotation,
    TruncatedSVD,
    named,
    trellis,
)
from ragkit.vec.codecs.arrays import fixed_point, gram, project

PLAIN = [
    "float32", "float16", "float8-e4m3", "float8-e5m2", "float8-e4m3-scaled", "float8-e5m2-scaled", "int8", "int4", "int2", "trellis2",
    "binary", "binary-unbiased", "residual1", "residual3",
]  # fmt: skip
STEPPED = [
    "rotated+int4", "rotated+int2", "rotated+trellis2", "rotated+binary-unbiased", "rotated+residual2", "svd3+int8", "pca3+rotated+int8", "first3+float16",
    "centred+rotated+int4", "centred+rotated+binary-unbiased", "banded+graded", "svd3+banded+graded",
]  # fmt: skip
ENTRIES = st.floats(-100, 100, width=32).map(lambda x: 0.0 if abs(x) < 1e-3 else x)


@st.composite
def matrices(draw, least: int = 1, most: int = 12):
    """Rows that are no zero vectors, of 3 to 19 dimensions: mostly no multiple of eight."""
    shape = (draw(st.integers(least, most)), draw(st.integers(3, 19)))
    found = draw(arrays(np.float32, shape, elements=ENTRIES))
    found[:, 0] += np.where(np.abs(found).max(axis=1) > 0, 0, 1).astype(np.float32)
    return found


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    """Unit rows around a common direction, as embeddings are."""
    rows = np.random.default_rng(seed).standard_normal((n, dim)) * np.linspace(2, 0.3, dim) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("name", PLAIN + STEPPED)
@settings(max_examples=10)
@given(data=st.data())
def test_no_row_depends_on_others_and_scores_are_those_of_the_decoded(name, data):
    """Batches, order and repetition change no byte; score is the dot product with decode."""
    vectors = data.draw(matrices(least=4))
    codec = named(name).fit(vectors)
    codes = codec.encode(vectors)
    assert codes.rows.shape == (len(vectors), codec.size_bytes)
    order = data.draw(st.permutations(range(len(vectors))))
    assert np.array_equal(codec.encode(vectors[list(order)]).rows, codes.rows[list(order)])
    assert all(np.array_equal(codec.encode(vectors[at : at + 1]).rows[0], codes.rows[at]) for at in range(len(vectors)))
    decoded = codec.decode(codes)
    assert decoded.shape == vectors.shape
    assert decoded.dtype == np.float32
    queries = vectors[:2]
    expected = queries.astype(np.float64) @ decoded.T.astype(np.float64)
    bound = 1e-4 * np.linalg.norm(queries, axis=1)[:, None] * (np.linalg.norm(decoded, axis=1) + 1) + 1e-6
    assert (np.abs(codec.score(queries, codes) - expected) <= bound).all()


@pytest.mark.parametrize("name", PLAIN + STEPPED)
def test_big_batches_encode_like_small_ones(name):
    """Matrix products round by their shape; codes must not."""
    vectors = unit(1300, 37)
    codec = named(re.sub(r"(svd|pca|first)\d+", r"\g<1>24", name)).fit(vectors)
    whole = codec.encode(vectors).rows
    for size in (1, 7, 511, 1025):
        assert np.array_equal(codec.encode(vectors[:size]).rows, whole[:size])


def test_sums_are_exact_in_any_order():
    """Bit for bit: other orders of the dimensions, of the rows, and other batch sizes."""
    vectors, random = unit(1100, 96), np.random.default_rng(4)
    basis = fixed_point(np.linalg.qr(random.standard_normal((96, 40)))[0])
    whole, order = project(vectors, basis), random.permutation(96)
    assert np.array_equal(project(np.ascontiguousarray(vectors[:, order]), basis[order]), whole)
    assert np.array_equal(np.concatenate([project(vectors[:3], basis), project(vectors[3:], basis)]), whole)
    assert np.allclose(whole, vectors.astype(np.float64) @ np.ldexp(basis.astype(np.float64), -26), atol=1e-7)
    assert np.array_equal(gram(vectors[random.permutation(1100)].astype(np.float64)), gram(vectors.astype(np.float64)))


@pytest.mark.parametrize("name", ["svd5+int8", "pca5+int4", "centred+int2", "binary"])
def test_fit_does_not_look_at_the_order(name):
    vectors = unit(60, 12)
    shuffled = vectors[np.random.default_rng(1).permutation(60)]
    one, other = named(name).fit(vectors), named(name).fit(shuffled)
    assert one.to_bytes() == other.to_bytes()


@settings(max_examples=20)
@given(matrices())
def test_int8_is_off_by_half_a_step(vectors):
    codec = Pipeline((), Int8()).fit(vectors)
    step = np.abs(vectors).max(axis=1, keepdims=True) / 127
    assert (np.abs(codec.decode(codec.encode(vectors)) - vectors) <= step * 0.50001).all()


def angle(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    left, right = left.astype(np.float64), right.astype(np.float64)
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


@settings(max_examples=20)
@given(matrices())
def test_int4_is_no_farther_than_the_plain_scale(vectors):
    codec = Pipeline((), Int4()).fit(vectors)
    decoded = codec.decode(codec.encode(vectors))
    step = np.abs(vectors).max(axis=1, keepdims=True) / 7.5
    plain = (np.clip(np.floor(vectors / step), -8, 7) + 0.5) * step
    assert (angle(vectors, decoded) >= angle(vectors, plain) - 1e-6).all()


@settings(max_examples=20)
@given(matrices(most=3))
def test_int2_is_the_best_of_all_scales(vectors):
    codec = Pipeline((), Int2()).fit(vectors)
    found = angle(vectors, codec.decode(codec.encode(vectors)))
    for row, near in zip(vectors, found, strict=True):
        size = np.abs(row)
        for edge in (*size, np.inf):
            codes = np.where(np.signbit(row), -1, 1) * np.where(size >= edge, 1.5, 0.5)
            assert near >= angle(row[None], codes[None])[0] - 1e-6


@pytest.mark.parametrize("name", ["int4", "int2", "trellis2", "binary-unbiased", "rotated+int2"])
@settings(max_examples=20)
@given(vectors=matrices())
def test_unbiased_codes_keep_the_dot_product_with_the_vector_itself(name, vectors):
    codec = named(name).fit(vectors)
    own = (codec.decode(codec.encode(vectors)).astype(np.float64) * vectors).sum(axis=1)
    square = (vectors.astype(np.float64) ** 2).sum(axis=1)
    assert np.allclose(own, square, rtol=1e-4)


def test_a_trellis_finds_the_nearest_of_all_its_paths():
    """Six entries have 256 * 4^5 paths: no other is nearer, and none is among the values that its bits do not reach."""
    rows = np.random.default_rng(2).standard_normal((5, 6)).astype(np.float32)
    values, states = trellis._values(), np.arange(256)[:, None]
    for _ in range(5):
        newest = states[:, -1:] >> 2 | np.arange(4)[None, :] * 64
        states = np.concatenate([np.repeat(states, 4, axis=0), newest.reshape(-1, 1)], axis=1)
    lost = np.stack([((values[states] - row) ** 2).sum(axis=1) for row in rows])
    found = trellis._best_path(rows)
    assert np.allclose(((values[found] - rows) ** 2).sum(axis=1), lost.min(axis=1), rtol=1e-4)
    assert (found[:, 1:] & 63 == found[:, :-1] >> 2).all()


def test_a_trellis_loses_two_thirds_of_what_int2_loses():
    rows = np.random.default_rng(3).standard_normal((40, 128)).astype(np.float32)
    lost = {
        name: 1 - angle(rows, (codec := named(name).fit(rows)).decode(codec.encode(rows))).mean() ** 2
        for name in ("int2", "trellis2")
    }
    assert lost["trellis2"] < 0.68 * lost["int2"]


@pytest.mark.parametrize("quantizer", [Binary(unbiased=True), Int2()])
def test_estimates_are_unbiased_over_rotations(quantizer):
    """RaBitQ's claim: the mean over random rotations is the true dot product."""
    vectors, query = unit(20, 64), unit(1, 64, seed=5)
    found = np.stack(
        [
            (codec := Pipeline((Rotation(seed),), quantizer).fit(vectors)).score(query, codec.encode(vectors))[0]
            for seed in range(150)
        ]
    )
    noise = found.std(axis=0) / np.sqrt(len(found))
    assert (np.abs(found.mean(axis=0) - (query @ vectors.T)[0]) < 4.5 * noise).all()


@settings(max_examples=20)
@given(matrices())
def test_more_residual_bits_are_never_farther(vectors):
    errors = []
    for bits in range(1, 6):
        codec = named(f"residual{bits}").fit(vectors)
        errors.append(((codec.decode(codec.encode(vectors)) - vectors) ** 2).sum(axis=1))
    worst = (vectors**2).sum(axis=1) * 1e-5
    assert all((after <= before + worst).all() for before, after in pairwise(errors))


@settings(max_examples=20)
@given(matrices(), st.integers(0, 5))
def test_a_rotation_keeps_lengths_and_comes_back(vectors, seed):
    (step,) = Rotation(seed).fit(vectors)
    turned = step.forward(vectors)
    scale = np.linalg.norm(vectors, axis=1)
    assert np.allclose(np.linalg.norm(turned, axis=1), scale, rtol=1e-4)
    assert (np.abs(step.backward(turned) - vectors).max(axis=1) <= 1e-5 * scale).all()


def test_a_rotation_spreads_a_single_entry():
    """Every one of 384 entries: none may stay apart, or few-bit codes lose it."""
    (step,) = Rotation().fit(np.eye(384, dtype=np.float32))
    assert np.abs(step.forward(np.eye(384, dtype=np.float32))).max() < 0.3


@pytest.mark.parametrize("dim", [16, 24])
def test_svd_is_the_best_projection(dim):
    vectors = unit(200, dim)
    codec = Pipeline((TruncatedSVD(7),), named("float32").quantizer).fit(vectors)
    lost = np.linalg.norm(vectors - codec.decode(codec.encode(vectors)))
    assert lost == pytest.approx(np.sqrt((np.linalg.svd(vectors, compute_uv=False)[7:] ** 2).sum()), rel=1e-4)


def test_fingerprints_differ_when_anything_does():
    vectors = unit(60, 16)
    made = [named(name).fit(vectors) for name in PLAIN + STEPPED]
    made += [Pipeline((Rotation(seed),), Int4()).fit(vectors) for seed in (1, 2)]
    made += [named("svd4+int8").fit(vectors), named("svd3+int8").fit(vectors[:50]), named("int8").fit(vectors[:, :15])]
    assert len({codec.fingerprint for codec in made}) == len(made)
    pairs = [(one, other) for one in made[:3] for other in made[:3]]
    assert len({RescoredCodec(*pair).fingerprint for pair in pairs}) == len(pairs)


def test_graded_bits_follow_the_spectrum():
    """As many bytes as two bits an entry, and a far smaller error where few directions hold most of the length."""
    vectors = unit(900, 96) * np.geomspace(1, 0.02, 96, dtype=np.float32)
    graded, even = named("svd96+banded+graded").fit(vectors), named("rotated+int2").fit(vectors)
    assert graded.size_bytes <= even.size_bytes + 8
    assert graded.fit.held_out
    assert graded.fit.error < even.fit.error / 3


def test_what_learns_nothing_has_one_fingerprint():
    assert named("rotated+int4").fit(unit(3, 16)).fingerprint == named("rotated+int4").fit(unit(99, 16, seed=2)).fingerprint


IN_ANOTHER_PROCESS = """
import sys
import numpy as np
from ragkit.vec.codecs import Codec, Codes
folder = sys.argv[1]
codec = Codec.from_bytes(open(folder + "/codec", "rb").read())
vectors = np.load(folder + "/vectors.npy")
codes = codec.encode(vectors)
assert codec.to_bytes() == open(folder + "/codec", "rb").read()
np.save(folder + "/again.npy", codes.rows)
print(codec.fingerprint)
"""


@pytest.mark.parametrize("name", ["pca5+rotated+int4", "binary"])
def test_another_process_writes_the_same_bytes(name, tmp_path):
    vectors = unit(50, 13)
    codec = named(name).fit(vectors)
    np.save(tmp_path / "vectors.npy", vectors)
    (tmp_path / "codec").write_bytes(codec.to_bytes())
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == codec.fingerprint
    assert np.array_equal(np.load(tmp_path / "again.npy"), codec.encode(vectors).rows)


@pytest.mark.parametrize("name", PLAIN + STEPPED)
def test_bytes_come_back(name):
    vectors = unit(60, 13)
    codec = named(name).fit(vectors)
    again = Codec.from_bytes(codec.to_bytes())
    assert again.fingerprint == codec.fingerprint
    assert (again.name, again.fit, again.size_bytes) == (codec.name, codec.fit, codec.size_bytes)
    assert np.array_equal(again.decode(codec.encode(vectors)), codec.decode(codec.encode(vectors)))
    assert named(codec.name) == named(name)


def test_both_codecs_of_a_pair_come_back():
    vectors = unit(60, 13)
    pair = Rescored(named("svd4+binary"), named("int8"), 7).fit(vectors)
    again = RescoredCodec.from_bytes(pair.to_bytes())
    assert (again.fingerprint, again.oversample, again.name) == (pair.fingerprint, 7, pair.name)
    assert (again.hot_bytes, again.cold_bytes) == (1, 17)


def brute(codec: Codec, query: np.ndarray, codes: Codes, rows: np.ndarray, k: int) -> list[int]:
    scores = codec.decode(codes).astype(np.float64)[rows] @ query.astype(np.float64)
    return rows[np.argsort(-scores, kind="stable")[:k]].tolist()


@given(st.integers(1, 12), st.lists(st.booleans(), min_size=300, max_size=300))
@settings(max_examples=15)
def test_search_is_the_scan_of_what_a_filter_lets_through(k, mask):
    vectors, queries = unit(300, 21), unit(3, 21, seed=9)
    codec = named("rotated+int4").fit(vectors)
    codes, kept = codec.encode(vectors), np.flatnonzero(mask)
    by_mask, by_rows = codec.search(queries, codes, k=k, keep=mask), codec.search(queries, codes, k=k, keep=kept[::-1])
    assert by_mask.rows.shape == (3, min(k, len(kept)))
    assert np.array_equal(by_mask.rows, by_rows.rows)
    assert by_mask.rows.tolist() == [brute(codec, query, codes, kept, k) for query in queries]


def test_queries_asked_alone_or_together_get_the_same_answer():
    vectors, queries = unit(700, 40), unit(30, 40, seed=9)
    codec = named("svd20+int8").fit(vectors)
    codes = codec.encode(vectors)
    together = codec.search(queries, codes, k=10)
    alone = [codec.search(query[None], codes, k=10) for query in queries]
    assert np.array_equal(together.rows, np.concatenate([one.rows for one in alone]))
    assert np.array_equal(together.scores, np.concatenate([one.scores for one in alone]))


def test_a_rare_filter_costs_a_rescored_search_nothing():
    """Filtering after the candidate cut would lose nearly all of them."""
    vectors, queries = unit(2000, 48), unit(5, 48, seed=9)
    pair = Rescored(named("binary"), named("int8"), 2).fit(vectors)
    coarse, fine = pair.encode(vectors)
    kept = np.arange(0, 2000, 100)
    found = pair.search(queries, coarse, fine, k=10, keep=kept)
    assert found.rows.tolist() == [brute(pair.fine, query, fine, kept, 10) for query in queries]


def test_fine_codes_are_read_from_disk_and_only_the_candidates(tmp_path):
    vectors, queries = unit(500, 24), unit(4, 24, seed=9)
    pair = Rescored(named("binary"), named("int8"), 5).fit(vectors)
    coarse, fine = pair.encode(vectors)
    fine.rows.tofile(tmp_path / "fine")
    mapped = Codes(np.memmap(tmp_path / "fine", np.uint8, "r", shape=fine.rows.shape), pair.fine.fingerprint)
    asked: list[int] = []

    def fetch(rows):
        asked.append(len(rows))
        return fine.rows[rows]

    expected = pair.search(queries, coarse, fine, k=6)
    assert np.array_equal(pair.search(queries, coarse, mapped, k=6).rows, expected.rows)
    assert np.array_equal(pair.search(queries, coarse, fetch, k=6).rows, expected.rows)
    assert asked == [30, 30, 30, 30]
    everything = pair.with_oversample(100).search(queries, coarse, fine, k=6)
    assert np.array_equal(everything.rows, pair.fine.search(queries, fine, k=6).rows)
