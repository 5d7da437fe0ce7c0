"""Turns models into signed binaries and back, so that nothing but a model of ours is ever unpickled."""

import gc
import hashlib
import hmac
import io
import json
import pickle  # read only by `_Unpickler`, behind a signature and an allow-list
from collections.abc import Sequence
from copyreg import clear_extension_cache
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from threading import Lock
from typing import Any

import structlog
import zstandard

from app.errors import ArtifactNotSigned, ArtifactRefused, TooLarge
from app.keys import key_id, with_id
from models_store import formats
from models_store.allowed import ALLOWED
from models_store.blanks import COPYING, Reading, stand_in
from models_store.program import check_program

KIND = "lapwise-model"  # what is signed begins with it, and with the format's number
_PICKLE_PROTOCOL = 5
_ZSTD_LEVEL = 3  # 6 takes three times as long for a fortieth less: see docs/performance.md
log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose binary it is: a binary signed for one version loads as no other."""

    user_id: str
    model_id: str


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A model's binary, and what must hold of it. Sizes are in bytes, digests in hexadecimal."""

    data: bytes = field(repr=False)
    size: int  # of the pickle
    compressed_size: int
    sha256: str  # of the data
    hmac: str
    river_version: str
    format: int = 1  # of binaries from before it was written down
    key_id: str | None = None  # of the key that signed; None in those of earlier releases


def encode(model: Any, *, owner: Owner, key: bytes, max_size: int) -> Artifact:
    """The model as pickle protocol 5 under zstd, signed for its owner.

    Parameters
    ----------
    max_size
        Of the pickle, in bytes.

    Raises
    ------
    TooLarge
    ArtifactRefused
        It would not load again, so no version must come to depend on it.
    """
    pickled = pickle.dumps(model, protocol=_PICKLE_PROTOCOL)
    if len(pickled) > max_size:
        raise TooLarge(f"the model has grown to {len(pickled)} bytes, more than {max_size}")
    _unpickled(pickled, max_size, formats.CURRENT)
    data = zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(pickled)
    artifact = Artifact(
        data=data,
        size=len(pickled),
        compressed_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        hmac="",
        river_version=_river_version(),
        format=formats.CURRENT,
    )
    return signed_for(artifact, owner, key=key)


def decode(artifact: Artifact, *, owner: Owner, keys: Sequence[bytes], max_size: int) -> Any:
    """The model that `encode` was given; nothing is unpickled before sizes, digest and signature hold.

    Parameters
    ----------
    keys
        Any of them may have signed, so that a key can be replaced; the artifact says which.
    max_size
        Of the pickle, in bytes.

    Raises
    ------
    ArtifactRefused
        Saying why; also logged.
    """
    try:
        check(artifact, owner=owner, keys=keys, max_size=max_size)
        formats.check(artifact.format)
        return _unpickled(_decompressed(artifact), max_size, artifact.format)
    except ArtifactRefused as exc:
        log.warning("artifact_refused", model_id=owner.model_id, reason=exc.message)
        raise


def check(artifact: Artifact, *, owner: Owner, keys: Sequence[bytes], max_size: int) -> None:
    """Makes sure of all that can be known of a binary without reading the model in it.

    Raises
    ------
    ArtifactRefused
        Sizes, digest or signature do not hold.
    """
    if len(artifact.data) != artifact.compressed_size:
        raise ArtifactRefused(f"it has {len(artifact.data)} bytes instead of {artifact.compressed_size}")
    if not 0 < artifact.size <= max_size:
        raise ArtifactRefused(f"its {artifact.size} bytes are not between 1 and {max_size}")
    if hashlib.sha256(artifact.data).hexdigest() != artifact.sha256:
        raise ArtifactRefused("its digest is not the declared one")
    signed = (_signature(artifact, owner, key) for key in with_id(keys, artifact.key_id))
    if not any(hmac.compare_digest(signature.encode(), artifact.hmac.encode()) for signature in signed):
        raise ArtifactNotSigned("it is not signed for this version with a key of this platform")


def signed_for(artifact: Artifact, owner: Owner, *, key: bytes) -> Artifact:
    """The same binary for another owner; only for one that `decode` has just opened."""
    return replace(artifact, hmac=_signature(artifact, owner, key), key_id=key_id(key))


@cache
def _river_version() -> str:
    return version("river")


def _signature(artifact: Artifact, owner: Owner, key: bytes) -> str:
    # JSON, so that no two different sets of values make the same text
    described = [artifact.sha256, artifact.size, artifact.river_version]
    context = json.dumps([f"{KIND}-{artifact.format}", owner.user_id, owner.model_id, *described])
    return hmac.new(key, context.encode(), hashlib.sha256).hexdigest()


def _decompressed(artifact: Artifact) -> bytes:
    try:
        # the frame's own size is what the decompressor allocates, and it writes no byte more
        if zstandard.frame_content_size(artifact.data) != artifact.size:
            raise ArtifactRefused("it decompresses to another size than declared")
        return zstandard.ZstdDecompressor().decompress(artifact.data, allow_extra_data=False)
    except zstandard.ZstdError as exc:
        raise ArtifactRefused(f"it cannot be decompressed: {exc}") from exc


def _unpickled(pickled: bytes, max_memory: int, number: int) -> Any:
    check_program(pickled, max_memory=max_memory)
    clear_extension_cache()  # else extension codes could name objects without asking find_class
    try:
        with _collector_paused:
            return formats.upgraded(_Unpickler(pickled, number).load(), number)
    except ArtifactRefused:
        raise
    except Exception as exc:  # a malformed pickle, __setstate__ or an upgrade may raise anything
        raise ArtifactRefused(f"it cannot be unpickled: {type(exc).__name__}: {exc}") from exc


class _Unpickler(pickle.Unpickler):
    """Finds the names of the allow-list, or what stands in for them; its base refuses persistent ids."""

    def __init__(self, pickled: bytes, number: int) -> None:
        super().__init__(io.BytesIO(pickled), fix_imports=False)
        self._format = number
        self._reading = Reading(at_most=len(pickled))

    def load(self) -> Any:
        try:
            return super().load()
        finally:
            self._reading.check_unchanged()

    def find_class(self, module: str, name: str, /) -> Any:
        found = formats.today((module, name), self._format)
        if found not in ALLOWED:
            raise ArtifactRefused(f"it names {module}.{name}, which no model needs")
        found_class = stand_in(super().find_class(*found), *found)
        self._reading.note(found_class)
        return self._reading.limited(found_class) if found in COPYING else found_class


class _CollectorPause:
    """No garbage collection while any thread is inside: for trees it is most of the time unpickling takes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._was_enabled = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._was_enabled:
                gc.enable()


_collector_paused = _CollectorPause()
