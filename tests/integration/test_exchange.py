"""Models as files, through HTTP: what is exported comes in again as it was, and nothing else comes in."""

import io
import json
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from zipfile import ZipFile

import numpy as np
import onnxruntime
import pytest
import zstandard
from structlog.testing import capture_logs
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from app.container import Container, build_container
from app.domain import ModelType, Version
from app.services import exchange
from models_store import bundle, codec
from models_store.bundle import Bundle, pack, unpack
from models_store.codec import Owner, encode
from models_store.store import Draft
from tests.factories import TRACK
from tests.integration.drivers import LAP_TIME, Driver, NewDriver

FORMATS = ("lapwise", "json", "onnx")


@pytest.fixture
def ann(new_driver: NewDriver) -> Driver:
    return new_driver("ann")


@pytest.fixture
def bob(new_driver: NewDriver) -> Driver:
    return new_driver("bob")


@pytest.fixture
def version(ann: Driver) -> Version:
    """The newer of two versions."""
    ann.grow(1)
    return ann.grow(2)


def export(driver: Driver, version: Version, kind: str = "lapwise") -> TestResponse:
    return driver.ask("GET", f"/ai-model/{version.id}/export?format={kind}")


def bundle_of(driver: Driver, version: Version) -> bytes:
    answer = export(driver, version)
    assert answer.status_code == 200, answer.text
    return answer.data


def bring(driver: Driver, data: bytes, query: str = "") -> TestResponse:
    boundary, body = encode_multipart(
        {"file": FileStorage(io.BytesIO(data), "model.lapwise")}
    )  # whole, in memory
    kind = f"multipart/form-data; boundary={boundary}"
    return driver.client.post(f"/ai-model/import{query}", data=body, content_type=kind)


def imported(driver: Driver, data: bytes, query: str = "") -> dict[str, Any]:
    answer = bring(driver, data, query)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json
    assert answer.headers["Location"] == f"/ai-model/{document['id']}"
    return document


def numbers(driver: Driver) -> list[str]:
    return sorted(item["modelVersion"] for item in driver.get(f"/ai-model/user/{TRACK}")["items"])


def test_a_model_comes_to_another_driver_as_it_was(ann: Driver, bob: Driver, version: Version) -> None:
    original = ann.get(f"/ai-model/{version.id}")
    copy = imported(bob, bundle_of(ann, version))
    same = ("trackName", "modelType", "modelName", "algorithm", "featureImportance", "sha256", "modelSize")
    assert [copy[name] for name in same] == [original[name] for name in same]
    origin = copy["modelMetadata"].pop("importedFrom")
    assert copy["modelMetadata"] == original["modelMetadata"]
    assert (origin["modelId"], origin["modelVersion"], origin["own"]) == (version.id, "1.0.1", False)
    assert copy["description"].startswith("Imported: version 1.0.1 of 20")
    assert (copy["modelVersion"], copy["parentId"], copy["isActive"]) == ("1.0.0", None, True)
    answers = [
        driver.predict(model_id)["predictions"] for driver, model_id in ((ann, version.id), (bob, copy["id"]))
    ]
    assert answers[0] == answers[1]
    metrics = [
        driver.get(f"/model/metrics/{model_id}")["performanceMetrics"]
        for driver, model_id in ((ann, version.id), (bob, copy["id"]))
    ]
    assert metrics[0] == metrics[1]


def test_an_imported_model_learns_on(ann: Driver, bob: Driver, version: Version) -> None:
    copy = imported(bob, bundle_of(ann, version))
    grown = bob.grow(3)
    assert (grown.model_version, grown.parent_id) == ("1.0.1", copy["id"])
    before, after = copy["modelMetadata"]["lapsLearned"], grown.model_metadata["lapsLearned"]
    assert before < after


def test_anothers_sessions_do_not_count_as_learned_and_ones_own_do(
    ann: Driver, bob: Driver, version: Version
) -> None:
    data = bundle_of(ann, version)
    first, second = version.training_session_ids
    foreign = imported(bob, data)
    assert (foreign["trainingSessionIds"], foreign["validationResults"]) == ([], None)
    assert first not in json.dumps(foreign)
    assert ann.status("DELETE", f"/ai-model/{version.id}") == 204
    assert ann.status("DELETE", f"/racing-session/{first}") == 204
    back = imported(ann, data, "?activate=true")
    assert back["trainingSessionIds"] == [second]
    assert back["modelMetadata"]["importedFrom"]["own"] is True
    body = {"modelId": back["id"], "newSessionIds": [second]}
    job = ann.run(ann.call("POST", "/model/incremental-training", body, status=202))
    assert job["result"]["skippedSessionIds"] == [second]


def test_an_import_waits_to_be_activated_where_something_is_active(
    ann: Driver, bob: Driver, version: Version
) -> None:
    own = bob.grow(5)
    beside = imported(bob, bundle_of(ann, version))
    assert (beside["modelVersion"], beside["isActive"]) == ("1.0.1", False)
    assert bob.get(f"/ai-model/active/{TRACK}/{LAP_TIME}")["id"] == own.id
    older = ann.container.models.history(ann.id, TRACK, version.model_type)[0]
    chosen = imported(bob, bundle_of(ann, older), "?activate=true")
    assert (chosen["modelVersion"], chosen["isActive"]) == ("1.0.2", True)
    newest = bob.get(f"/ai-model/activations/{TRACK}/{LAP_TIME}")["items"][0]
    assert (newest["cause"], newest["by"], newest["modelId"]) == ("imported", "driver", chosen["id"])
    assert newest["previousId"] == own.id


def test_the_same_model_is_not_imported_twice(ann: Driver, bob: Driver, version: Version) -> None:
    data = bundle_of(ann, version)
    answer = bring(ann, data)
    assert answer.status_code == 409
    assert answer.json["error"]["code"] == "model_exists"  # type: ignore[index]
    assert answer.json["error"]["details"] == {  # type: ignore[index]
        "modelId": version.id,
        "modelVersion": "1.0.1",
    }
    copy = imported(bob, data)
    again = bring(bob, data)
    assert (again.status_code, again.json["error"]["details"]["modelId"]) == (409, copy["id"])  # type: ignore[index]
    assert numbers(bob) == ["1.0.0"]
    assert binaries(bob) == binaries_of_versions(bob), "a refused import leaves no binary"


def binaries(driver: Driver) -> set[str]:
    container = driver.container
    database = container.mongo_client[container.settings.database]
    return set(database["models.files"].distinct("_id"))


def binaries_of_versions(driver: Driver) -> set[str]:
    container = driver.container
    return set(container.mongo_client[container.settings.database]["aimodels"].distinct("_id"))


def test_of_many_imports_at_once_one_wins(ann: Driver, bob: Driver, version: Version) -> None:
    data, start = bundle_of(ann, version), threading.Barrier(4)

    def once(_: int) -> int:
        start.wait()
        return bring(bob, data).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(once, range(4))) == [201, 409, 409, 409]
    assert numbers(bob) == ["1.0.0"]
    assert binaries(bob) == binaries_of_versions(bob)


def test_an_import_in_the_midst_of_a_training_costs_neither(
    ann: Driver, bob: Driver, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, bobs = bundle_of(ann, version), bob.grow(6)
    draft, attempts = bob.container.runs._models.draft, []

    def with_an_import_between(model: Any, training: Any) -> Draft:
        attempts.append(training.number)
        if len(attempts) == 1:
            assert imported(bob, data)["modelVersion"] == "1.0.1"
        return draft(model, training)

    monkeypatch.setattr(bob.container.runs._models, "draft", with_an_import_between)
    uploaded = bob.upload(7)
    (job,) = uploaded["jobs"]
    bob.run(job)
    assert bob.run(job)["status"] == "succeeded"
    assert attempts == ["1.0.1", "1.0.2"], "the import came between"
    active = bob.get(f"/ai-model/active/{TRACK}/{LAP_TIME}")
    assert (active["modelVersion"], active["parentId"]) == ("1.0.2", bobs.id)
    assert active["trainingSessionIds"] == [*bobs.training_session_ids, uploaded["session"]["id"]]
    assert numbers(bob) == ["1.0.0", "1.0.1", "1.0.2"]


def test_an_import_that_a_training_overtakes_takes_the_next_number(
    ann: Driver, bob: Driver, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, registry = bundle_of(ann, version), bob.container.exchange._registry
    find, trained = registry.find_lineage, []

    def then_train(key: Any) -> Any:
        found = find(key)
        if not trained:
            trained.append(None)
            trained.append(bob.grow(6))
        return found

    monkeypatch.setattr(registry, "find_lineage", then_train)
    copy = imported(bob, data)
    assert trained[1].model_version == "1.0.0"
    assert (copy["modelVersion"], copy["isActive"]) == ("1.0.1", False)


def test_an_import_that_is_overtaken_again_and_again_gives_up_and_leaves_nothing(
    ann: Driver, bob: Driver, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob.grow(5)
    data, registry = bundle_of(ann, version), bob.container.exchange._registry
    find, asked = registry.find_lineage, []

    def one_behind(key: Any) -> Any:
        asked.append(key)
        found = find(key)
        assert found is not None
        return replace(found, revision=found.revision - 1)

    monkeypatch.setattr(registry, "find_lineage", one_behind)
    answer = bring(bob, data)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "lineage_changed")  # type: ignore[index]
    assert len(asked) == exchange._ATTEMPTS
    assert binaries(bob) == binaries_of_versions(bob)


def refusal(driver: Driver, data: bytes) -> str:
    """Why a file is refused."""
    answer = bring(driver, data)
    assert answer.status_code == 422, answer.text
    error = answer.json["error"]  # type: ignore[index]
    assert error["code"] == "bundle_refused"
    message: str = error["message"]
    return message.removeprefix("the file cannot be imported: ")


def places(data: bytes) -> list[int]:
    """Where one part of a bundle ends and another begins: headers, names, contents, directory, end."""
    starts = [match.start() for match in re.finditer(rb"PK(\x03\x04|\x01\x02|\x05\x06)", data)]
    names = [match.end() for match in re.finditer(rb"manifest\.json|model\.bin", data)]
    return sorted({*starts, *names, *(start + 4 for start in starts), len(data)})


def test_a_file_altered_in_any_part_or_broken_off_anywhere_is_refused(
    ann: Driver, bob: Driver, version: Version
) -> None:
    data = bundle_of(ann, version)
    ends = [place for place in places(data) if place < len(data)]
    assert len(ends) >= 10
    for end in ends:
        refusal(bob, data[:end])
        refusal(bob, data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :])
    assert numbers(bob) == []
    assert imported(bob, data)["modelVersion"] == "1.0.0", "the file itself is sound"


def test_the_binaries_of_two_bundles_cannot_be_exchanged(ann: Driver, bob: Driver, version: Version) -> None:
    older = ann.container.models.history(ann.id, TRACK, version.model_type)[0]
    bundles = [ZipFile(io.BytesIO(bundle_of(ann, one))) for one in (older, version)]
    text, binary = bundles[0].read("manifest.json"), bundles[1].read("model.bin")
    file = io.BytesIO()
    bundle._write(file, text, binary)
    said = "its model.bin is not the one that was exported with this manifest.json"
    assert refusal(bob, file.getvalue()) == said


class Hostile:
    """Would run a command as it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def test_a_hostile_pickle_is_refused_even_with_the_platforms_own_signatures(
    ann: Driver, bob: Driver, version: Version, container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = unpacked(container, bundle_of(ann, version))
    monkeypatch.setattr(codec, "_unpickled", lambda *_: None)  # else it could not even be signed
    data = repacked(container, sound, Hostile())
    monkeypatch.undo()
    with capture_logs() as logs:
        said = refusal(bob, data)
    river = version.model_metadata["riverVersion"]
    name = f"{os.system.__module__}.system"
    assert said == f"its model, made with River {river}, is refused: it names {name}, which no model needs"
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["artifact_refused"]


def test_what_is_no_model_or_another_one_than_told_is_refused(
    ann: Driver, bob: Driver, version: Version, container: Container
) -> None:
    sound = unpacked(container, bundle_of(ann, version))
    told = "it holds something else than the model it tells of"
    assert refusal(bob, repacked(container, sound, {"speed": 1.0})) == told
    lying = replace(sound, exported=replace(sound.exported, model_type=ModelType.SECTOR_ANALYSIS))
    model = container.runs._models.load_copy(version)
    assert refusal(bob, repacked(container, lying, model)) == told


def test_a_model_larger_than_this_platform_takes_is_refused(ann: Driver, version: Version) -> None:
    data = bundle_of(ann, version)
    small = replace(ann.container.settings, max_model_bytes=version.model_size - 1)
    with build_container(small) as container:
        bob = Driver(container, ann.folder, "bob")
        assert f"its {version.model_size} bytes are not between 1 and" in refusal(bob, data)
    narrow = replace(ann.container.settings, max_upload_bytes=len(data) - 1)
    with build_container(narrow) as container:
        assert bring(Driver(container, ann.folder, "eve"), data).status_code == 413


def test_a_bundle_of_another_platform_is_refused(ann: Driver, version: Version) -> None:
    data = bundle_of(ann, version)
    settings = replace(ann.container.settings, model_key="the key of another platform")
    with build_container(settings) as other:
        stranger = Driver(other, ann.folder, "zoe")
        answer = bring(stranger, data)
    assert answer.status_code == 422
    assert answer.json == {
        "error": {
            "code": "bundle_refused",
            "message": "the file cannot be imported: it was signed with the key of another platform",
            "details": {"file": ["It was signed with the key of another platform."]},
        }
    }


def test_what_was_altered_in_the_store_is_not_signed_anew(
    ann: Driver, version: Version, container: Container
) -> None:
    chunks = container.mongo_client[container.settings.database]["models.chunks"]
    chunk = chunks.find_one({"files_id": version.id})
    assert chunk is not None
    altered = bytes(chunk["data"][:-1]) + bytes([chunk["data"][-1] ^ 1])
    chunks.update_one({"_id": chunk["_id"]}, {"$set": {"data": altered}})
    answer = export(ann, version)
    assert answer.status_code == 409
    assert answer.json["error"]["code"] == "model_unreadable"  # type: ignore[index]


def test_other_files_and_forms_are_refused(ann: Driver) -> None:
    refusals = [
        bring(ann, data).status_code for data in (b"", b"PK\x05\x06" + bytes(18), b"lap,lapTime\n1,90")
    ]
    assert refusals == [422, 422, 422]
    assert ann.client.post("/ai-model/import", json={}).status_code == 415
    text = ann.client.post("/ai-model/import", data={"file": "text"}, content_type="multipart/form-data")
    assert text.json["error"]["details"] == {"file": ["Not a file."]}  # type: ignore[index]
    assert bring(ann, b"", "?activate=perhaps").status_code == 422


def test_a_file_has_a_name_that_every_system_takes(
    new_driver: NewDriver, ann: Driver, version: Version
) -> None:
    named = [export(ann, version, kind).headers["Content-Disposition"] for kind in FORMATS]
    stem = f"attachment; filename={TRACK}-lap_time_prediction-1.0.1"
    assert named == [f"{stem}.lapwise", f"{stem}.json", f"{stem}.onnx"]
    media = [export(ann, version, kind).content_type for kind in FORMATS]
    assert media == ["application/zip", "application/json", "application/octet-stream"]
    database = ann.container.mongo_client[ann.container.settings.database]
    name = '../../etc/pass"wd\r\nX: ü/東京'
    database["aimodels"].update_one({"_id": version.id}, {"$set": {"trackName": name}})
    hostile = export(ann, version)
    assert hostile.headers["Content-Disposition"] == (
        "attachment; filename=etc_pass_wd_X-lap_time_prediction-1.0.1.lapwise"
    )
    assert int(hostile.headers["Content-Length"]) == len(hostile.data)


def test_nobody_but_the_owner_exports(ann: Driver, bob: Driver, version: Version) -> None:
    unknown = [export(bob, version, kind) for kind in FORMATS]
    assert [(one.status_code, one.json["error"]["code"]) for one in unknown] == [  # type: ignore[index]
        (404, "model_not_found")
    ] * 3
    assert ann.status("POST", f"/ai-model/{version.id}/share", {"email": bob.email}) == 201
    assert bob.status("GET", f"/ai-model/{version.id}") == 200
    assert [export(bob, version, kind).status_code for kind in FORMATS] == [404, 404, 404]
    bob.client.environ_base.pop("HTTP_AUTHORIZATION")
    assert [export(bob, version, kind).status_code for kind in FORMATS] == [401, 401, 401]
    assert bring(bob, b"").status_code == 401


def test_a_bundle_tells_of_its_driver_by_ids_only(new_driver: NewDriver) -> None:
    driver = new_driver("annabella")
    version = driver.grow(1)
    with ZipFile(io.BytesIO(bundle_of(driver, version))) as archive:
        assert archive.namelist() == ["manifest.json", "model.bin"]
        text, pickled = archive.read("manifest.json"), zstandard.decompress(archive.read("model.bin"))
    told = json.loads(text)["model"]
    assert (told["userId"], told["trainingSessionIds"]) == (driver.id, list(version.training_session_ids))
    session = driver.get(f"/racing-session/{version.training_session_ids[0]}")
    private = (driver.email, "nnabella", session["sessionName"], session["sha256"])
    assert [one for one in private if one.encode() in text + pickled] == []


def test_a_model_over_16_megabytes_goes_out_and_in(
    ann: Driver, bob: Driver, version: Version, container: Container
) -> None:
    model = container.runs._models.load_copy(version)
    model.ballast = np.random.default_rng(0).integers(0, 256, 17 << 20, dtype=np.uint8).tobytes()
    data = repacked(container, unpacked(container, bundle_of(ann, version)), model)
    assert len(data) > 17 << 20
    copy = imported(bob, data)
    assert copy["compressedSize"] > 17 << 20
    again = bob.ask("GET", f"/ai-model/{copy['id']}/export")
    assert again.status_code == 200
    assert again.data[-100:].find(b"PK\x05\x06") > 0
    assert bob.predict(copy["id"])["predictions"] == ann.predict(version.id)["predictions"]


def unpacked(container: Container, data: bytes) -> Bundle:
    return unpack(io.BytesIO(data), keys=[container.settings.model_key.encode()])


def repacked(container: Container, bundle: Bundle, model: Any) -> bytes:
    """A bundle of another model, rightly signed."""
    key = container.settings.model_key.encode()
    owner = Owner(user_id=bundle.exported.user_id, model_id=bundle.exported.model_id)
    artifact = encode(model, owner=owner, key=key, max_size=container.settings.max_model_bytes)
    file = io.BytesIO()
    pack(replace(bundle, artifact=artifact), file, key=key)
    return file.getvalue()


def test_a_description_says_what_a_model_is_and_has_learned(ann: Driver, version: Version) -> None:
    told = export(ann, version, "json").json
    assert told is not None
    document = ann.get(f"/ai-model/{version.id}")
    assert told["model"]["id"] == version.id
    assert told["algorithm"]["name"] == "expert_mixture"
    window = told["algorithm"]["hyperparameters"]["window"]
    assert window == {"value": 64, "description": "laps at pace remembered"}
    assert told["features"]["speed"]["description"] == "km/h"
    assert list(told["features"]) == document["modelMetadata"]["features"]
    assert told["metrics"]["mae"] == document["modelMetadata"]["mae"]
    assert told["featureImportance"] == document["featureImportance"]
    learned = told["learned"]
    assert (learned["sessions"], learned["laps"]) == (2, document["modelMetadata"]["lapsLearned"])
    (context,) = learned["contexts"]
    sessions = [ann.get(f"/racing-session/{one}") for one in version.training_session_ids]
    assert context["bestLapTime"] == pytest.approx(min(one["bestLapTime"] for one in sessions), abs=1e-3)
    assert re.fullmatch(r"\d+ laps of .+ on a dry track", context["summary"])
    assert 0.9 < context["nextLap"]["lap_time"] / context["bestLapTime"] < 1.2


@pytest.mark.parametrize("model_type", ["sector_analysis", "setup_optimization"])
def test_every_type_of_model_goes_out_and_in_and_is_described(
    ann: Driver, bob: Driver, model_type: str
) -> None:
    session = ann.upload(1, setup={"rear_wing": 5.0, "front_wing": 4.0}, auto_train=False)["session"]
    model_id = ann.train([session["id"]], modelType=model_type)
    version = ann.container.models.get(ann.id, model_id)
    told = export(ann, version, "json").json
    assert told is not None
    assert told["learned"]["contexts"][0]["nextLap"]["lap_time"] > 0
    copy = imported(bob, bundle_of(ann, version))
    answers = [
        driver.predict(model, inputData={})["predictions"]
        for driver, model in ((ann, model_id), (bob, copy["id"]))
    ]
    assert answers[0] == answers[1]
    refusal = export(ann, version, "onnx")
    assert (refusal.status_code, refusal.json["error"]["code"]) == (422, "export_not_supported")  # type: ignore[index]
    assert "lap_time_prediction" in refusal.json["error"]["message"]  # type: ignore[index]


def test_an_onnx_file_answers_as_the_platform_does(ann: Driver, version: Version) -> None:
    model = onnxruntime.InferenceSession(export(ann, version, "onnx").data)
    told = model.get_modelmeta().custom_metadata_map
    names = ("modelId", "trackName", "modelType", "modelVersion", "algorithm")
    assert [told[name] for name in names] == [version.id, TRACK, LAP_TIME, "1.0.1", "expert_mixture"]
    shapes = {
        one.name: [size if isinstance(size, int) else 1 for size in one.shape] for one in model.get_inputs()
    }
    feed = {name: np.full(shape, np.nan) for name, shape in shapes.items()}
    feed |= {"speed": np.array([200.0]), "track_position": np.array([0.5])}  # all that moves it in FRAME
    (answer,) = model.run(["lap_time"], feed)[0]
    expected = ann.predict(version.id)["predictions"]["lap_time"]
    assert answer == pytest.approx(expected, abs=1e-4)
    unknown = export(ann, version, "onnx&carModel=nobodys")
    assert (unknown.status_code, list(unknown.json["error"]["details"])) == (422, ["carModel"])  # type: ignore[index]


def test_without_the_extra_onnx_the_answer_says_what_is_missing(
    ann: Driver, version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "learning.export_onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "learning.onnx_graph", raising=False)
    monkeypatch.delitem(sys.modules, "learning.onnx_mixture", raising=False)
    monkeypatch.delitem(sys.modules, "learning.onnx_linear", raising=False)
    answer = export(ann, version, "onnx")
    assert (answer.status_code, answer.json["error"]["details"]) == (503, {"dependency": "onnx"})  # type: ignore[index]
    assert "extra `onnx`" in answer.json["error"]["message"]  # type: ignore[index]


def test_an_unknown_format_or_a_car_without_onnx_is_refused(ann: Driver, version: Version) -> None:
    answer = export(ann, version, "pickle")
    assert (answer.status_code, list(answer.json["error"]["details"])) == (422, ["format"])  # type: ignore[index]
    answer = export(ann, version, "json&carModel=x")
    assert (answer.status_code, list(answer.json["error"]["details"])) == (422, ["carModel"])  # type: ignore[index]
