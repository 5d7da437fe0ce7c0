"""Binaries load as what was written, and nothing altered, foreign or hostile loads at all."""

import copyreg
import gc
import hashlib
import hmac
import json
import os
import pickle
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import zstandard
from structlog.testing import capture_logs

from app.domain import new_id
from app.errors import ArtifactRefused, TooLarge
from app.keys import key_id
from models_store import codec
from models_store.codec import KIND, Artifact, Owner, decode, encode

KEY = b"the key of the tests"
OWNER = Owner(user_id=new_id(), model_id=new_id())
MODEL = {"weights": [0.25, -1.5], "laps": 12, "notes": "x" * 200}
LIMIT = 10_000
BOMB = bytes(1 << 26)


def written(model: Any, *, key: bytes = KEY) -> Artifact:
    return encode(model, owner=OWNER, key=key, max_size=LIMIT)


def load(artifact: Artifact, *, owner: Owner = OWNER, keys: tuple[bytes, ...] = (KEY,)) -> Any:
    return decode(artifact, owner=owner, keys=keys, max_size=LIMIT)


def sealed(data: bytes, *, size: int) -> Artifact:
    """Any bytes, rightly signed: what somebody who has the key could store."""
    sha256 = hashlib.sha256(data).hexdigest()
    context = json.dumps([f"{KIND}-1", OWNER.user_id, OWNER.model_id, sha256, size, version("river")])
    return Artifact(
        data=data,
        size=size,
        compressed_size=len(data),
        sha256=sha256,
        hmac=hmac.new(KEY, context.encode(), "sha256").hexdigest(),
        river_version=version("river"),
    )


def sealed_pickle(pickled: bytes) -> Artifact:
    return sealed(zstandard.ZstdCompressor().compress(pickled), size=len(pickled))


def test_a_model_loads_as_it_was_written() -> None:
    artifact = written(MODEL)
    assert load(artifact) == MODEL
    assert artifact.size == len(pickle.dumps(MODEL, protocol=5))
    assert artifact.compressed_size == len(artifact.data) < artifact.size
    assert artifact == replace(sealed(artifact.data, size=artifact.size), key_id=key_id(KEY))


def test_a_key_that_was_replaced_still_opens_what_it_signed() -> None:
    assert load(written(MODEL, key=b"old"), keys=(KEY, b"old")) == MODEL


@pytest.mark.parametrize("keys", [(b"another key",), ()])
def test_a_binary_signed_with_another_key_is_refused(keys: tuple[bytes, ...]) -> None:
    with pytest.raises(ArtifactRefused, match="not signed"):
        load(written(MODEL), keys=keys)


@pytest.mark.parametrize("owner", [replace(OWNER, user_id=new_id()), replace(OWNER, model_id=new_id())])
def test_a_binary_copied_to_another_driver_or_version_is_refused(owner: Owner) -> None:
    with pytest.raises(ArtifactRefused, match="not signed"):
        load(written(MODEL), owner=owner)


def test_a_flipped_bit_anywhere_is_refused() -> None:
    artifact = written(MODEL)
    for place in range(len(artifact.data)):
        flipped = bytearray(artifact.data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(ArtifactRefused, match="digest"):
            load(replace(artifact, data=bytes(flipped)))


def test_a_flipped_bit_that_was_signed_again_is_refused_or_harmless() -> None:
    pickled = pickle.dumps(MODEL, protocol=5)
    refused = 0
    for place in range(len(pickled)):
        flipped = bytearray(pickled)
        flipped[place] ^= 1 << place % 8
        try:
            load(sealed_pickle(bytes(flipped)))
        except ArtifactRefused:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("length", [0, 1, 9, -1])
def test_a_truncated_binary_is_refused_signed_or_not(length: int) -> None:
    artifact = written(MODEL)
    cut = artifact.data[:length]
    with pytest.raises(ArtifactRefused, match="bytes instead of"):
        load(replace(artifact, data=cut))
    with pytest.raises(ArtifactRefused, match="decompress"):
        load(sealed(cut, size=artifact.size))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": 1}, "not signed"),
        ({"size": 0}, "not between"),
        ({"size": LIMIT + 1}, "not between"),
        ({"compressed_size": 3}, "bytes instead of 3"),
        ({"sha256": "0" * 64}, "digest"),
        ({"hmac": "0" * 64}, "not signed"),
        ({"hmac": "ü"}, "not signed"),
        ({"river_version": "0.1"}, "not signed"),
    ],
)
def test_a_binary_that_differs_from_its_description_is_refused(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ArtifactRefused, match=reason):
        load(replace(written(MODEL), **change))


def test_a_bomb_is_refused_before_it_is_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zstandard.ZstdCompressor().compress(BOMB)
    assert len(bomb) < LIMIT
    monkeypatch.delattr(zstandard, "ZstdDecompressor")
    with pytest.raises(ArtifactRefused, match="another size than declared"):
        load(sealed(bomb, size=LIMIT))


def test_a_bomb_that_declares_a_small_size_is_refused() -> None:
    bomb = bytearray(zstandard.ZstdCompressor().compress(BOMB))
    bomb[6:10] = LIMIT.to_bytes(4, "little")  # its place in RFC 8878: after magic, descriptor and window
    assert zstandard.frame_content_size(bytes(bomb)) == LIMIT
    with pytest.raises(ArtifactRefused, match="cannot be decompressed"):
        load(sealed(bytes(bomb), size=LIMIT))


@pytest.mark.parametrize("content_size", [True, False])
def test_a_frame_that_hides_its_size_or_is_followed_by_another_is_refused(content_size: bool) -> None:
    frame = zstandard.ZstdCompressor(write_content_size=content_size).compress(pickle.dumps(MODEL))
    with pytest.raises(ArtifactRefused, match=r"another size than declared|unused data"):
        load(sealed(frame + frame, size=len(pickle.dumps(MODEL))))


def test_a_model_that_could_not_be_loaded_again_is_not_written() -> None:
    with pytest.raises(ArtifactRefused, match=r"it names pathlib.PosixPath, which no model needs"):
        written({"weights": Path()})


def test_a_model_that_has_grown_too_large_is_not_written() -> None:
    with pytest.raises(TooLarge, match=f"more than {LIMIT}"):
        written(bytes(LIMIT))


def test_a_refusal_is_logged_with_the_model_and_the_reason_only() -> None:
    with capture_logs() as logs, pytest.raises(ArtifactRefused):
        load(replace(written(MODEL), hmac="0" * 64))
    reason = "it is not signed for this version with a key of this platform"
    assert logs == [
        {
            "event": "artifact_refused",
            "log_level": "warning",
            "model_id": OWNER.model_id,
            "reason": reason,
        }
    ]


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def attacks(marker: Path) -> dict[str, bytes]:
    """Pickles that make the file when they are unpickled plainly."""
    shell, code = f"touch {marker}", f"open({str(marker)!r}, 'w').close()"
    command = shell.encode()
    system = Call(os.system, shell)
    return {
        "os.system": pickle.dumps(system, 5),
        "builtins.eval": pickle.dumps(Call(eval, code), 5),
        "builtins.exec": pickle.dumps(Call(exec, code), 5),
        "in a value": pickle.dumps({"a": [1, (system,)]}, 5),
        "in a set": pickle.dumps({1, 2, Call(os.system, shell)}, 5),
        "as an argument": pickle.dumps(Call(str, Call(os.system, shell)), 5),
        "by getattr": b"cbuiltins\ngetattr\n(cimportlib\nimport_module\n(Vos\ntRVsystem\ntR(V"
        + command
        + b"\ntR.",
        "in a pickle in a pickle": pickle.dumps(Call(pickle.loads, pickle.dumps(system)), 5),
        "by the old names of Python 2": pickle.dumps(Call(eval, code), 2),
        "in protocol 0": b"cos\nsystem\n(V" + command + b"\ntR.",
        "by INST": b"(V" + command + b"\nios\nsystem\n.",
        "by OBJ": b"(cos\nsystem\nV" + command + b"\no.",
        "by names from the memo": b"\x80\x04Vsystem\nq\x00Vos\nq\x010h\x01h\x00\x93(V" + command + b"\ntR.",
        "by a dotted name": b"\x80\x04Vshutil\nVos.system\n\x93(V" + command + b"\ntR.",
        "by an extension code": b"\x80\x02\x82\x2a(V" + command + b"\ntR.",
    }


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "harmed"


@pytest.fixture
def extension() -> Iterator[None]:
    """A registered extension code, already looked up, so that it would be found without asking."""
    copyreg.add_extension("os", "system", 42)
    pickle.loads(b"\x80\x02\x82\x2a.")  # noqa: S301  # what another reader in this process might do
    yield
    copyreg.remove_extension("os", "system", 42)


ATTACKS = sorted(attacks(Path()))


@pytest.fixture
def allow_list_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the look at the instructions, so that what comes after it must hold by itself."""
    monkeypatch.setattr(codec, "check_program", lambda *_, **__: None)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.usefixtures("extension")
def test_an_attack_is_refused_and_does_nothing(attack: str, marker: Path) -> None:
    with pytest.raises(ArtifactRefused, match="no model needs"):
        load(sealed_pickle(attacks(marker)[attack]))
    assert not marker.exists()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.usefixtures("extension", "allow_list_alone")
def test_the_allow_list_alone_refuses_an_attack(attack: str, marker: Path) -> None:
    with pytest.raises(ArtifactRefused, match="which no model needs"):
        load(sealed_pickle(attacks(marker)[attack]))
    assert not marker.exists()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.usefixtures("extension")
def test_the_attacks_do_harm_when_unpickled_plainly(attack: str, marker: Path) -> None:
    pickle.loads(attacks(marker)[attack])  # noqa: S301  # makes an empty file, nothing else
    assert marker.exists()


@pytest.mark.parametrize(
    "pickled",
    [
        b"Pan id\n.",
        b"\x80\x05\x8c\x05an idQ.",
        b"\x80\x05\x97.",
        b"\x80\x05h\x07.",
        b"\x80\x09N.",
        b"\x80\x05\x82\x07.",
        b"\x80\x05N",
        b"not a pickle",
    ],
    ids=["persistent id", "persistent id by stack", "buffer", "memo", "protocol", "extension", "end", "text"],
)
def test_what_no_model_of_ours_contains_is_refused(pickled: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArtifactRefused):
        load(sealed_pickle(pickled))
    monkeypatch.setattr(codec, "check_program", lambda *_, **__: None)
    with pytest.raises(ArtifactRefused, match="cannot be unpickled"):
        load(sealed_pickle(pickled))


class Probe:
    """Tells, while it is unpickled, whether the garbage collector runs."""

    seen: bool | None = None
    meeting = threading.Barrier(1)

    def __getstate__(self) -> int:
        return 1

    def __setstate__(self, state: int) -> None:
        Probe.seen = gc.isenabled()
        Probe.meeting.wait(timeout=5)
        if state != 1:
            raise ValueError


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Artifact:
    monkeypatch.setattr(codec, "ALLOWED", frozenset({(Probe.__module__, "Probe")}))
    return written(Probe())


def test_the_garbage_collector_rests_while_a_model_loads(probe: Artifact) -> None:
    assert isinstance(load(probe), Probe)
    assert Probe.seen is False
    assert gc.isenabled()


def test_the_garbage_collector_runs_again_after_a_refusal() -> None:
    with pytest.raises(ArtifactRefused):
        load(sealed_pickle(b"not a pickle"))
    assert gc.isenabled()


def test_a_garbage_collector_that_was_off_stays_off(probe: Artifact) -> None:
    gc.disable()
    try:
        load(probe)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_garbage_collector_runs_again_after_the_last_of_many_threads(
    probe: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probe, "meeting", threading.Barrier(4))  # all four are inside at one time
    threads = [threading.Thread(target=load, args=(probe,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Probe.seen is False
    assert not Probe.meeting.broken
    assert gc.isenabled()
