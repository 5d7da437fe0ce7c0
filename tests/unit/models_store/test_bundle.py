"""A bundle opens as what was packed; a file that differs from it in anything is refused with the reason."""

import hashlib
import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import ModelType
from app.errors import BundleRefused
from models_store import bundle as bundles
from models_store.bundle import BINARY, MANIFEST, Bundle, Exported, pack, unpack
from models_store.codec import Artifact

KEY = b"the key of the tests"
DATA = bytes(range(64))
EXPORTED = Exported(
    model_id="6655f0c2a4b1c2d3e4f50617",
    user_id="6655f0c2a4b1c2d3e4f50618",
    track_name="bahrain",
    model_type=ModelType.LAP_TIME_PREDICTION,
    model_name="My Bahrain",
    model_version="1.0.3",
    algorithm="linear",
    description="Dry laps only.",
    model_metadata={"mae": 0.31, "accuracy": None, "performanceMetrics": {"50": {"mae": 0.31}}},
    training_session_ids=("6655f0c2a4b1c2d3e4f50619",),
    validation_results=None,
    feature_importance={"speed": 0.4},
    training_duration=2.5,
    created_at="2026-02-11T09:30:00.000Z",
    exported_at="2026-02-12T09:30:00.000Z",
)


def artifact(data: bytes = DATA) -> Artifact:
    return Artifact(
        data=data,
        size=200,
        compressed_size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        hmac="0" * 64,
        river_version="0.26.1",
    )


def packed(data: bytes = DATA, *, key: bytes = KEY, **fields: Any) -> bytes:
    file = io.BytesIO()
    pack(Bundle(exported=replace(EXPORTED, **fields), artifact=artifact(data)), file, key=key)
    return file.getvalue()


def opened(data: bytes, *, keys: tuple[bytes, ...] = (KEY,)) -> Bundle:
    return unpack(io.BytesIO(data), keys=keys)


def reason(data: bytes) -> str:
    """Why a file is refused."""
    with pytest.raises(BundleRefused) as refused:
        opened(data)
    (said,) = refused.value.details["file"]
    assert refused.value.message == f"the file cannot be imported: {said[0].lower()}{said[1:-1]}"
    return str(said)


def zipped(*members: tuple[str, bytes], kind: int = ZIP_STORED, **fields: Any) -> bytes:
    """A sound zip file of any members."""
    file = io.BytesIO()
    with ZipFile(file, "w") as archive:
        for name, content in members:
            member = ZipInfo(name)
            member.create_system, member.external_attr = 3, 0o600 << 16
            for field, value in fields.items():
                setattr(member, field, value)
            archive.writestr(member, content, kind)
    return file.getvalue()


def manifest_of(data: bytes) -> bytes:
    with ZipFile(io.BytesIO(data)) as archive:
        return archive.read(MANIFEST)


def edited(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A bundle whose manifest was changed by somebody without the key."""
    manifest = json.loads(manifest_of(packed()))
    change(manifest)
    return zipped((MANIFEST, json.dumps(manifest, sort_keys=True).encode()), (BINARY, DATA))


def test_a_bundle_opens_as_what_was_packed() -> None:
    assert opened(packed()) == Bundle(exported=EXPORTED, artifact=artifact())


def test_a_key_that_was_replaced_still_opens_what_it_signed() -> None:
    assert opened(packed(key=b"old"), keys=(KEY, b"old")).exported == EXPORTED


def test_bundles_are_written_the_same_by_every_release() -> None:
    digest = hashlib.sha256(packed()).hexdigest()
    assert digest == "f06eb9891f747f41ea492564eb0d59169ce371eb81915702e0b4f470d8325124", (
        "bundles that are out there would be refused"
    )
    assert zipped((MANIFEST, manifest_of(packed())), (BINARY, DATA)) == packed()


def test_no_byte_can_be_altered() -> None:
    whole = packed()
    accepted = []
    for place in range(len(whole)):
        altered = whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :]
        try:
            accepted.append((place, opened(altered)))
        except BundleRefused:
            continue
    assert accepted == []


@given(st.data())
def test_no_bytes_can_be_altered_removed_or_inserted(data: st.DataObject) -> None:
    whole = packed()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    inserted = data.draw(st.binary(max_size=30).filter(lambda new: new != whole[start:end]))
    reason(whole[:start] + inserted + whole[end:])


def test_a_file_that_breaks_off_anywhere_is_refused() -> None:
    whole = packed()
    reasons = {reason(whole[:length]) for length in range(len(whole))}
    assert reasons == {"It is not a zip file as the export makes them, or its end is missing."}


@pytest.mark.parametrize("around", [b"\x00", b"PK\x05\x06", b"x" * 100])
def test_nothing_may_stand_around_a_bundle(around: bytes) -> None:
    whole = packed()
    reason(around + whole)
    reason(whole + around)


def test_a_foreign_key_is_told_from_an_altered_manifest() -> None:
    assert reason(packed(key=b"another key")) == "It was signed with the key of another platform."

    def rename(manifest: dict[str, Any]) -> None:
        manifest["model"]["userId"] = "0" * 24

    assert reason(edited(rename)) == "The signature does not hold: manifest.json was altered."
    assert reason(edited(lambda manifest: manifest.pop("signature"))).startswith("The signature does not")
    assert reason(edited(lambda manifest: manifest.update(more=1))).startswith("The signature does not")
    named = edited(lambda manifest: manifest.update(keyId="0" * 16))
    assert reason(named) == "It was signed with the key of another platform."


def test_the_binary_of_another_bundle_is_refused() -> None:
    other = packed(bytes(64), model_version="1.0.4")
    swapped = zipped((MANIFEST, manifest_of(other)), (BINARY, DATA))
    assert reason(swapped) == "Its model.bin is not the one that was exported with this manifest.json."


def test_a_bundle_that_was_unpacked_and_packed_again_is_told_so() -> None:
    again = zipped((MANIFEST, manifest_of(packed())), (BINARY, DATA), kind=ZIP_DEFLATED)
    assert reason(again) == "Its manifest.json is compressed; import the file as it was exported."
    touched = zipped((MANIFEST, manifest_of(packed())), (BINARY, DATA), date_time=(2026, 1, 1, 0, 0, 0))
    assert reason(touched) == "Something besides its members was altered."
    spaced = json.dumps(json.loads(manifest_of(packed())), sort_keys=True, indent=1).encode()
    assert reason(zipped((MANIFEST, spaced), (BINARY, DATA))) == "Its manifest.json was written anew."


def test_members_have_the_names_and_the_number_they_must_have() -> None:
    text = manifest_of(packed())
    assert reason(zipped((MANIFEST, text))) == "It has 1 members instead of manifest.json and model.bin."
    more = zipped((MANIFEST, text), (BINARY, DATA), ("x", b""))
    assert reason(more) == "It has 3 members instead of manifest.json and model.bin."
    assert "'../model.bin'" in reason(zipped((MANIFEST, text), (f"../{BINARY}", DATA)))
    assert "'model.bin', 'manifest.json'" in reason(zipped((BINARY, DATA), (MANIFEST, text)))
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = zipped((BINARY, DATA), (BINARY, DATA))
    assert "'model.bin', 'model.bin'" in reason(twice)


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ZipFile, "read", lambda *_: pytest.fail("something was unpacked"))
    bomb = zipped((MANIFEST, b"{}"), (BINARY, bytes(1 << 24)), kind=ZIP_DEFLATED)
    assert len(bomb) < 1 << 16
    assert "is compressed" in reason(bomb)
    monkeypatch.setattr(bundles, "MAX_MANIFEST", 1000)
    large = zipped((MANIFEST, bytes(1001)), (BINARY, b""))
    assert reason(large) == "Its manifest.json has 1001 bytes, more than 1000."


def test_a_directory_of_countless_members_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = zipped(*((str(number), b"") for number in range(2000)))
    whole = packed()
    modern = bytearray(whole[:-22] + b"PK\x06\x07" + bytes(16) + whole[-22:])
    length = struct.unpack_from("<L", whole, len(whole) - 10)[0]
    struct.pack_into("<L", modern, len(modern) - 10, length + 20)  # it seems to be part of the directory
    monkeypatch.setattr(bundles, "ZipFile", lambda *_: pytest.fail("the directory was read"))
    assert reason(many) == "It has 2000 members instead of manifest.json and model.bin."
    assert reason(bytes(modern)) == "Something stands before, behind or between its members."


@pytest.mark.parametrize("place", ["local", "directory"])
@pytest.mark.parametrize("declared", [0, 1, 63, 65, 1 << 31, (1 << 32) - 1])
def test_sizes_that_are_declared_must_be_the_real_ones(place: str, declared: int) -> None:
    whole = bytearray(packed())
    header = whole.rindex(b"PK\x01\x02" if place == "directory" else b"PK\x03\x04")
    first = 20 if place == "directory" else 18
    for field in (first, first + 4):
        struct.pack_into("<L", whole, header + field, declared)
    reason(bytes(whole))


def test_an_encrypted_member_is_refused() -> None:
    whole = bytearray(packed())
    for header in (whole.index(b"PK\x03\x04") + 6, whole.index(b"PK\x01\x02") + 8):
        whole[header] |= 1
    assert reason(bytes(whole)) == "Its manifest.json is encrypted."


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{}",
        b"{",
        b"[" * 100_000,
        b'{"format": ' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    assert MANIFEST in reason(zipped((MANIFEST, text), (BINARY, DATA))).lower()


def test_a_bundle_of_a_later_format_says_which_this_platform_reads() -> None:
    later = edited(lambda manifest: manifest.update(format="lapwise-bundle-2"))
    assert reason(later) == "Its manifest.json does not say that the format is lapwise-bundle-1."
