"""What codecs say to input that cannot be used, and to vectors that changed."""

from __future__ import annotations

import numpy as np
import pytest

from ragkit.errors import InvalidInputError, StoreCorruptError, StoreFormatError, StoreMismatchError
from ragkit.vec.codecs import (
    Codec,
    Codes,
    Float8,
    Pipeline,
    Rescored,
    RescoredCodec,
    ResidualBinary,
    Rotation,
    TruncatedSVD,
    named,
)

ALL = [
    "float32",
    "float16",
    "float8",
    "int8",
    "rotated+int4",
    "rotated+int2",
    "binary",
    "rotated+binary-unbiased",
    "rotated+trellis2",
    "residual2",
    "svd4+int8",
    "banded+graded",
]


def unit(n: int, dim: int, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("name", ALL)
def test_what_is_not_finite_is_named(name, bad):
    vectors = unit(20, 9)
    codec = named(name).fit(vectors)
    vectors[3, 5] = bad
    with pytest.raises(InvalidInputError, match=r"vectors\[3\]"):
        codec.encode(vectors)
    with pytest.raises(InvalidInputError, match=r"vectors\[3\]"):
        named(name).fit(vectors)
    with pytest.raises(InvalidInputError, match=r"queries\[3\]"):
        codec.score(vectors, codec.encode(unit(2, 9)))


@pytest.mark.parametrize("name", ALL)
def test_zero_vectors(name):
    """They decode to zeros, and score 0; binary codes without factors have no zero, and refuse."""
    vectors = unit(20, 9)
    codec = named(name).fit(vectors)
    vectors[4] = 0
    if name == "binary":
        with pytest.raises(InvalidInputError, match=r"vectors\[4\] is all zeros"):
            codec.encode(vectors)
        return
    codes = codec.encode(vectors)
    assert not codec.decode(codes)[4].any()
    assert (codec.score(vectors[:2], codes)[:, 4] == 0).all()


@pytest.mark.parametrize("name", ALL)
def test_no_rows_one_row_and_one_dimension(name):
    vectors = unit(20, 9)
    codec = named(name).fit(vectors)
    nothing = codec.encode(np.empty((0, 9), np.float32))
    assert nothing.rows.shape == (0, codec.size_bytes)
    assert codec.decode(nothing).shape == (0, 9)
    assert codec.score(vectors[:2], nothing).shape == (2, 0)
    assert codec.search(vectors[:2], nothing, k=3).rows.shape == (2, 0)
    assert codec.search(vectors[:0], codec.encode(vectors), k=3).rows.shape[0] == 0
    with pytest.raises(InvalidInputError, match="no vectors to fit on"):
        named(name).fit(vectors[:0])
    if not name.startswith("svd"):
        alone = named(name).fit(vectors[:1])
        assert alone.decode(alone.encode(vectors[:1])).shape == (1, 9)
        thin = named(name).fit(vectors[:, :1])
        assert thin.decode(thin.encode(vectors[:, :1])).shape == (20, 1)


def test_fewer_rows_than_dimensions():
    vectors = unit(10, 64)
    with pytest.raises(InvalidInputError, match=r"svd16 needs at least 16 vectors.*10 were given"):
        named("svd16+int8").fit(vectors)
    codec = named("svd10+float32").fit(vectors)  # ten directions hold ten vectors wholly
    assert np.allclose(codec.decode(codec.encode(vectors)), vectors, atol=1e-5)
    assert named("rotated+int4").fit(vectors).encode(vectors).rows.shape == (10, 36)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("first10+int8", "10 dimensions and the vectors have 9"),
        ("svd10+int8", "the vectors have 9"),
        ("pca10+int8", "the vectors have 9"),
    ],
)
def test_more_dimensions_than_there_are(name, told):
    with pytest.raises(InvalidInputError, match=told):
        named(name).fit(unit(20, 9))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: named("int3"), "'int3' in the codec 'int3' is not known"),
        (lambda: named(""), "'' in the codec"),
        (lambda: named("svd8"), "ends in no quantizer"),
        (lambda: named("svd0+int8"), "dims is 0"),
        (lambda: named("residual9"), "bits is 9"),
        (lambda: ResidualBinary(0), "bits is 0"),
        (lambda: Float8("e3m4"), "form is 'e3m4'"),
        (lambda: TruncatedSVD(2.5), "dims is 2.5"),
        (lambda: Rotation(-1), "seed is -1"),
        (lambda: Pipeline((Rotation(),), Rotation()), "quantizer is"),
        (lambda: Pipeline((Float8(),), Float8()), "steps holds"),
        (lambda: Rescored(named("binary"), named("int8"), 0.5), "oversample is 0.5"),
        (lambda: RescoredCodec(named("binary").fit(unit(9, 8)), named("int8").fit(unit(9, 9))), "8 dimensions and fine to 9"),
    ],
)
def test_settings_that_cannot_be(make, told):
    with pytest.raises(InvalidInputError, match=told):
        make()


def test_shapes_and_arguments():
    vectors = unit(20, 9)
    codec = named("int8").fit(vectors)
    codes = codec.encode(vectors)
    with pytest.raises(InvalidInputError, match=r"must be \(n, dim\)"):
        codec.encode(vectors[0])
    with pytest.raises(InvalidInputError, match="8 dimensions; this codec was fitted to 9"):
        codec.encode(vectors[:, :8])
    with pytest.raises(InvalidInputError, match="k is 0"):
        codec.search(vectors, codes, k=0)
    with pytest.raises(InvalidInputError, match="mask of 19 and there are 20 rows"):
        codec.search(vectors, codes, k=1, keep=np.ones(19, bool))
    with pytest.raises(InvalidInputError, match="keep holds 20"):
        codec.search(vectors, codes, k=1, keep=[3, 20])
    with pytest.raises(InvalidInputError, match="keep holds -1"):
        codec.score(vectors, codes, rows=[-1])
    with pytest.raises(InvalidInputError, match="keep is float64"):
        codec.search(vectors, codes, k=1, keep=[0.5])
    with pytest.raises(InvalidInputError, match="wrap stored bytes as Codes"):
        codec.decode(codes.rows)
    with pytest.raises(InvalidInputError, match="codes are a uint8 array"):
        Codes(vectors, codec.fingerprint)
    assert codec.search(vectors, codes, k=5, keep=[]).rows.shape == (20, 0)
    assert np.array_equal(codec.score(vectors, codes, rows=[7, 2]), codec.score(vectors, codes)[:, [2, 7]])


def test_codes_of_another_codec_are_refused():
    vectors = unit(20, 9)
    one, other = (
        Pipeline((Rotation(1),), named("int8").quantizer).fit(vectors),
        Pipeline((Rotation(2),), named("int8").quantizer).fit(vectors),
    )
    codes = one.encode(vectors)
    for use in (other.decode, lambda codes: other.score(vectors, codes), lambda codes: other.search(vectors, codes, k=1)):
        with pytest.raises(StoreMismatchError, match=f"written by the codec {one.fingerprint}"):
            use(codes)
    with pytest.raises(StoreCorruptError, match=r"12 bytes a vector; rotated\(1\) \+ int8 writes 13"):
        one.decode(Codes(codes.rows[:, 1:], one.fingerprint))
    pair = RescoredCodec(named("binary").fit(vectors), one)
    coarse, fine = pair.encode(vectors)
    with pytest.raises(StoreMismatchError):
        pair.search(vectors, fine, coarse, k=1)
    with pytest.raises(InvalidInputError, match="20 coarse and 19 fine"):
        pair.search(vectors, coarse, Codes(fine.rows[1:], one.fingerprint), k=1)
    with pytest.raises(StoreCorruptError, match="gave uint8"):
        pair.search(vectors, coarse, lambda rows: fine.rows[:1], k=3)
    with pytest.raises(InvalidInputError, match="fine is a ndarray"):
        pair.search(vectors, coarse, fine.rows, k=1)


def test_damaged_and_newer_bytes():
    vectors = unit(30, 9)
    codec = named("svd4+int8").fit(vectors)
    data = codec.to_bytes()
    for broken in (b"", b"nonsense", data[:-1], data[: len(data) // 2], data[:60] + b"?" + data[61:]):
        with pytest.raises(StoreCorruptError):
            Codec.from_bytes(broken)
    at = len(b"ragkit-codec")
    with pytest.raises(StoreFormatError, match="format 999"):
        Codec.from_bytes(data[:at] + (999).to_bytes(2, "little") + data[at + 2 :])
    pair = Rescored(named("binary"), named("int8")).fit(vectors)
    with pytest.raises(StoreCorruptError, match=r"Rescored"):
        Codec.from_bytes(pair.to_bytes())
    with pytest.raises(StoreCorruptError, match=r"Codec\.from_bytes"):
        RescoredCodec.from_bytes(data)


def test_values_beyond_a_format_are_refused_unless_scaled():
    big = unit(5, 9)
    big[2] *= 1e5
    with pytest.raises(InvalidInputError, match=r"vectors\[2\].*ends at 448"):
        named("float8").fit(unit(5, 9)).encode(big)
    with pytest.raises(InvalidInputError, match=r"vectors\[2\].*ends at 57344"):
        named("float8-e5m2").fit(unit(5, 9)).encode(big * 10)
    with pytest.raises(InvalidInputError, match=r"vectors\[2\].*ends at 65504"):
        named("float16").fit(unit(5, 9)).encode(big * 10)
    for name in ("int8", "float8-e4m3-scaled", "float8-e5m2-scaled"):
        codec = named(name).fit(big)
        assert np.abs(codec.decode(codec.encode(big)) - big).max() <= 0.13 * np.abs(big).max()


def test_half_of_an_ulp_below_overflow_is_kept():
    edge = np.array([[448, 464, -464, 1]], np.float32)
    codec = named("float8").fit(edge)
    assert codec.decode(codec.encode(edge)).tolist() == [[448, 448, -448, 1]]
    with pytest.raises(InvalidInputError, match="ends at 448"):
        codec.encode(np.nextafter(edge, np.float32(1e9)))


@pytest.mark.parametrize("form", ["e4m3", "e5m2"])
def test_float8_is_that_of_torch_bit_for_bit(form):
    """Every float16 number that has a code, subnormal ones and ties included."""
    torch = pytest.importorskip("torch")
    every = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    most = 448 if form == "e4m3" else 57344
    every = every[np.isfinite(every) & (np.abs(every) <= most)]
    every = np.concatenate([every, np.random.default_rng(0).standard_normal(20_000).astype(np.float32)])[:, None]
    codec = Pipeline((), Float8(form)).fit(np.ones((1, 1), np.float32))
    dtype = torch.float8_e4m3fn if form == "e4m3" else torch.float8_e5m2
    expected = torch.from_numpy(every[:, 0]).to(dtype)
    codes = codec.encode(every)
    assert np.array_equal(codes.rows[:, 0], expected.view(torch.uint8).numpy())
    assert np.array_equal(codec.decode(codes)[:, 0], expected.to(torch.float32).numpy())


def clustered(n: int, seed: int, directions: int = 0) -> np.ndarray:
    """Unit rows that lie near eight of forty directions, from ``directions`` on."""
    random = np.random.default_rng(seed)
    rows = random.standard_normal((n, 40)) * 0.05
    rows[:, directions : directions + 8] += random.standard_normal((n, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("name", ["svd8+int8", "pca8+rotated+int4"])
def test_drift_is_seen_and_more_of_the_same_is_not(name):
    codec = named(name).fit(clustered(400, 1))
    same, other = codec.drift(clustered(300, 2)), codec.drift(clustered(300, 3, directions=20))
    assert same.verdict == "steady"
    assert other.verdict == "refit"
    assert other.error > 10 * same.error
    assert "Fit a new codec" in other.reason


def test_drift_knows_what_it_cannot_know():
    codec = named("svd8+int8").fit(clustered(400, 1))
    assert codec.drift(clustered(5, 2)).verdict == "unknown"
    few = named("svd8+int8").fit(clustered(12, 1))  # cannot be measured on rows it has not seen
    assert few.drift(clustered(300, 2)).verdict == "unknown"
    assert "too few to hold some out" in few.drift(clustered(300, 2)).reason
    with pytest.raises(InvalidInputError, match="tolerance is -1"):
        codec.drift(clustered(30, 2), tolerance=-1)


def test_an_outlier_dimension_is_drift_for_a_scale_per_vector():
    vectors = clustered(200, 1)
    codec = named("int8").fit(vectors)
    assert codec.drift(clustered(200, 2)).verdict == "steady"
    vectors[:, 3] = 20
    assert codec.drift(vectors).error > 0
