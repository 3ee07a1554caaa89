"""Codecs as bytes: a header that says what follows, the learned arrays, a checksum."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ragkit.errors import StoreCorruptError, StoreFormatError
from ragkit.vec.codecs.bits import Binary, ResidualBinary
from ragkit.vec.codecs.fitted import FITTED
from ragkit.vec.codecs.graded import Graded
from ragkit.vec.codecs.integers import Int2, Int4, Int8
from ragkit.vec.codecs.quantizers import Float8, Float16, Float32, Quantizer
from ragkit.vec.codecs.trellis import Trellis2

if TYPE_CHECKING:
    from ragkit.vec.codecs.codec import Codec

#: Rises when the same settings give other codes, or the bytes mean something else.
VERSION = 1
_MAGIC = b"ragkit-codec"
_HEAD = struct.Struct("<HI")
_SUM = 16
_QUANTIZERS: Mapping[str, Any] = {
    one.kind: one for one in (Float32, Float16, Float8, Int8, Int4, Int2, Trellis2, Binary, ResidualBinary, Graded)
}


def _described(codec: Codec) -> tuple[dict[str, Any], bytes]:
    """What decides a code: settings as JSON values, learned arrays as bytes."""
    steps, data = [], []
    for step in codec.steps:
        settings, arrays = step.state()
        shapes: list[Any] = [
            [name, array.dtype.newbyteorder("<").str, list(array.shape)] for name, array in sorted(arrays.items())
        ]
        steps.append({"kind": step.kind, "settings": settings, "arrays": shapes})
        data += [np.ascontiguousarray(arrays[name], dtype).tobytes() for name, dtype, _ in shapes]
    quantizer = {"kind": codec.quantizer.kind, "settings": asdict(codec.quantizer)}  # type: ignore[call-overload]
    return {"dim": codec.dim, "steps": steps, "quantizer": quantizer}, b"".join(data)


def fingerprint_of(codec: Codec) -> str:
    """32 hexadecimal digits."""
    described, data = _described(codec)
    head = json.dumps(described, sort_keys=True).encode()
    return blake2b(b"%d\n%d\n" % (VERSION, len(head)) + head + data, digest_size=16).hexdigest()


def seal(header: Mapping[str, Any], data: bytes) -> bytes:
    """Bytes that ``unseal`` opens."""
    head = json.dumps(header, sort_keys=True).encode()
    body = _MAGIC + _HEAD.pack(VERSION, len(head)) + head + data
    return body + blake2b(body, digest_size=_SUM).digest()


def unseal(data: bytes, *, what: str = "codec") -> tuple[dict[str, Any], bytes]:
    """The header and what follows it. Raises StoreFormatError for a newer version, StoreCorruptError for damage."""
    data = bytes(data)
    start = len(_MAGIC) + _HEAD.size
    if not data.startswith(_MAGIC) or len(data) < start + _SUM:
        raise StoreCorruptError(f"These {len(data)} bytes are no {what} of ragkit; it would begin with {_MAGIC.decode()!r}.")
    version, length = _HEAD.unpack_from(data, len(_MAGIC))
    if version > VERSION:
        raise StoreFormatError(
            f"This {what} is in format {version}; this version of ragkit reads up to {VERSION}. Upgrade ragkit."
        )
    if blake2b(data[:-_SUM], digest_size=_SUM).digest() != data[-_SUM:]:
        raise StoreCorruptError(
            f"The checksum of this {what} is wrong: bytes were changed or lost. Restore it, or fit a new one."
        )
    header: dict[str, Any] = json.loads(data[start : start + length])
    return header, data[start + length : -_SUM]


def dump(codec: Codec) -> bytes:
    """``Codec.to_bytes``."""
    described, data = _described(codec)
    return seal({"codec": described, "name": codec.name, "fit": asdict(codec.fit)}, data)


def load(data: bytes) -> Codec:
    """``Codec.from_bytes``."""
    from ragkit.vec.codecs.codec import Codec, FitRecord

    header, rest = unseal(data)
    if "codec" not in header:
        raise StoreCorruptError("These bytes hold two codecs, coarse and fine: read them with Rescored.from_bytes.")
    described, steps, at = header["codec"], [], 0
    for one in described["steps"]:
        arrays = {}
        for name, dtype, shape in one["arrays"]:
            array = np.frombuffer(rest, dtype, count=int(np.prod(shape)), offset=at).reshape(shape)
            at += array.nbytes
            arrays[name] = array.astype(array.dtype.newbyteorder("="))
        steps.append(FITTED[one["kind"]].from_state(one["settings"], arrays))
    quantizer: Quantizer = _QUANTIZERS[described["quantizer"]["kind"]](**described["quantizer"]["settings"])
    return Codec(tuple(steps), quantizer, described["dim"], header["name"], FitRecord(**header["fit"]))
