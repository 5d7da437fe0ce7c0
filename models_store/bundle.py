"""The file a version travels in: a zip of `manifest.json` and `model.bin`, signed as a whole.

A bundle has one form only: whatever differs in a single byte from what `pack` writes is refused.
"""

import hashlib
import hmac
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.domain import ModelType
from app.errors import BundleRefused
from app.keys import key_id
from app.mongo import from_document, to_document
from models_store.codec import Artifact

FORMAT = "lapwise-bundle-1"
MANIFEST, BINARY = "manifest.json", "model.bin"
MAX_MANIFEST = 16 << 20  # bytes; a version's document is no larger
_END = struct.Struct("<4s4H2LH")  # what a zip file ends with
_LOCATOR = 20  # bytes of what would stand before it in a larger format of zip
_DAMAGED = (BadZipFile, NotImplementedError, RuntimeError, OSError, ValueError, EOFError, struct.error)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A version as its bundle tells of it; its owner and sessions are ids."""

    model_id: str
    user_id: str
    track_name: str
    model_type: ModelType
    model_name: str
    model_version: str
    algorithm: str
    description: str
    model_metadata: Mapping[str, Any]
    training_session_ids: tuple[str, ...]
    validation_results: Mapping[str, Any] | None
    feature_importance: Mapping[str, float]
    training_duration: float
    created_at: str
    exported_at: str


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A version and its binary."""

    exported: Exported
    artifact: Artifact


def pack(bundle: Bundle, file: IO[bytes], *, key: bytes) -> None:
    """Writes a bundle, signed with the platform's key."""
    artifact = bundle.artifact
    binary = {name: value for name, value in to_document(artifact).items() if name not in ("data", "keyId")}
    unsigned = {
        "format": FORMAT,
        "keyId": key_id(key),
        "model": to_document(bundle.exported),
        "binary": binary,
    }
    _write(file, _text(unsigned | {"signature": _signature(key, unsigned)}), artifact.data)


def unpack(file: IO[bytes], *, keys: Sequence[bytes]) -> Bundle:
    """The bundle in a file; the binary's own signature is still to be checked, as by `codec.decode`.

    Raises
    ------
    BundleRefused
        Saying what is wrong: damaged, altered, not a bundle, or another platform's.
    """
    text, data = _members(file)
    manifest = _manifest(text, keys)
    binary = manifest["binary"]
    if len(data) != binary["compressedSize"] or hashlib.sha256(data).hexdigest() != binary["sha256"]:
        raise refused(f"its {BINARY} is not the one that was exported with this {MANIFEST}")
    _check_form(file, text, data)
    artifact = replace(from_document(Artifact, binary | {"data": b""}), data=data)
    return Bundle(exported=from_document(Exported, manifest["model"]), artifact=artifact)


def refused(reason: str) -> BundleRefused:
    """The error that says why a file cannot be imported."""
    return BundleRefused(f"the file cannot be imported: {reason}", file=[f"{reason[0].upper()}{reason[1:]}."])


def _text(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def _signature(key: bytes, unsigned: Mapping[str, Any]) -> str:
    # begins unlike what is signed of a binary, so that neither signature stands for the other
    return hmac.new(key, f"{FORMAT}\n".encode() + _text(unsigned), hashlib.sha256).hexdigest()


def _write(file: IO[bytes], manifest: bytes, data: bytes) -> None:
    """The one form of a bundle: both members stored as they are, nothing that depends on time or machine."""
    with ZipFile(file, "w") as archive:
        for name, content in ((MANIFEST, manifest), (BINARY, data)):
            member = ZipInfo(name)  # of the first moment that zip knows
            member.create_system, member.external_attr = 3, 0o600 << 16
            archive.writestr(member, content, ZIP_STORED)


def _members(file: IO[bytes]) -> tuple[bytes, bytes]:
    """Both members' contents; nothing is read before names, number and sizes are what they must be."""
    try:
        _check_end(file)
        with ZipFile(file) as archive:
            members = archive.infolist()
            _check_members(members)
            return archive.read(members[0]), archive.read(members[1])
    except _DAMAGED as exc:
        raise refused(f"it is damaged ({exc})") from exc


def _check_end(file: IO[bytes]) -> None:
    """Refuses a long directory before it is read, and whatever stands around the zip."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _END.size - _LOCATOR))
    tail = file.read()
    if len(tail) < _END.size + _LOCATOR or tail[_LOCATOR : _LOCATOR + 4] != b"PK\x05\x06":
        raise refused("it is not a zip file as the export makes them, or its end is missing")
    _, _, _, here, count, length, start, comment = _END.unpack(tail[_LOCATOR:])
    if here != count or count != 2:
        raise refused(f"it has {count} members instead of {MANIFEST} and {BINARY}")
    if start + length != size - _END.size or comment or tail.startswith(b"PK\x06\x07"):
        raise refused("something stands before, behind or between its members")


def _check_members(members: Sequence[ZipInfo]) -> None:
    names = [member.filename for member in members]
    if names != [MANIFEST, BINARY]:
        shown = ", ".join(repr(name[:100]) for name in names)
        raise refused(f"its members are {shown} instead of {MANIFEST} and {BINARY}")
    for member in members:
        if member.flag_bits & 1:
            raise refused(f"its {member.filename} is encrypted")
        if member.compress_type != ZIP_STORED or member.compress_size != member.file_size:
            raise refused(f"its {member.filename} is compressed; import the file as it was exported")
    if members[0].file_size > MAX_MANIFEST:
        raise refused(f"its {MANIFEST} has {members[0].file_size} bytes, more than {MAX_MANIFEST}")


def _manifest(text: bytes, keys: Sequence[bytes]) -> dict[str, Any]:
    """What the manifest says, once its signature holds; before that nothing in it is believed."""
    try:
        manifest = json.loads(text)
        json.dumps(manifest)  # nested so deeply that it could not be signed?
    except (ValueError, RecursionError) as exc:
        raise refused(f"its {MANIFEST} is not JSON") from exc
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise refused(f"its {MANIFEST} does not say that the format is {FORMAT}")
    key = next((key for key in keys if manifest.get("keyId") == key_id(key)), None)
    if key is None:
        raise refused("it was signed with the key of another platform")
    given = str(manifest.pop("signature", ""))
    signature = _signature(key, manifest)
    if not hmac.compare_digest(signature.encode(), given.encode()):
        raise refused(f"the signature does not hold: {MANIFEST} was altered")
    if _text(manifest | {"signature": signature}) != text:
        raise refused(f"its {MANIFEST} was written anew")
    return manifest


def _check_form(file: IO[bytes], text: bytes, data: bytes) -> None:
    with TemporaryFile() as expected:
        _write(expected, text, data)
        digests = []
        for one in (file, expected):
            one.seek(0)
            digests.append(hashlib.file_digest(one, "sha256").digest())  # type: ignore[arg-type]  # a file
    if digests[0] != digests[1]:
        raise refused("something besides its members was altered")
