"""HTTP for models as files: export and import."""

import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from flask import Response, json, url_for
from flask_smorest.fields import Upload
from marshmallow import ValidationError, fields, validates_schema
from marshmallow.validate import OneOf

from app.api.blueprint import Blueprint
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Flag, Text
from app.api.model_schemas import VersionSchema
from app.api.sessions import check_file
from app.domain import Version

bp = Blueprint("exchange", __name__, url_prefix="/ai-model", description="Models as files.")

MEDIA: dict[str, tuple[str, str]] = {  # by format: the media type and how the file's name ends
    "lapwise": ("application/zip", "lapwise"),
    "onnx": ("application/octet-stream", "onnx"),
    "json": ("application/json", "json"),
}
_PART = 1 << 16  # bytes sent at a time
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class ExportQuery(CamelSchema):
    format = fields.String(load_default="lapwise", validate=OneOf(list(MEDIA)), metadata={"example": "onnx"})
    car_model = Text(100, "ferrari_296_gt3")

    @validates_schema
    def _check_car(self, data: dict[str, Any], **_: Any) -> None:
        if "car_model" in data and data.get("format") != "onnx":
            raise ValidationError({"carModel": ["Only an onnx export is of one car."]})


class ImportQuery(CamelSchema):
    activate = Flag(load_default=False)


class ImportForm(CamelSchema):
    file = Upload(required=True, validate=check_file)


@bp.operation(
    "GET",
    "/<id:id>/export",
    query=ExportQuery,
    errors=(422,),
    files=[media for media, _ in MEDIA.values()],
)
def export(query: dict[str, Any], id: str) -> Response:
    """A version as a file: `lapwise` to import again, `onnx` to predict elsewhere, `json` to read."""
    kind, car_model = query["format"], query.get("car_model")
    if kind == "lapwise":
        return _bundle(id)
    if kind == "json":
        version, description = services().exchange.describe(user_id(), id)
        return _attached(version, kind, json.dumps(description, indent=2).encode())
    version, graph = services().exchange.export_onnx(user_id(), id, car_model)
    return _attached(version, kind, graph)


@bp.operation(
    "POST",
    "/import",
    query=ImportQuery,
    multipart=ImportForm,
    answer=VersionSchema,
    status=201,
    errors=(409,),
)
def import_bundle(query: dict[str, bool], form: dict[str, Any]) -> tuple[Version, dict[str, str]]:
    """Make a version of a `lapwise` file that this platform exported, the signed-in driver's own.

    It becomes active where nothing is, or with `activate`.
    """
    with Path(form["file"].stream.name).open("rb") as file:
        version = services().exchange.import_bundle(user_id(), file, **query)
    return version, {"Location": url_for("models.get_version", id=version.id)}


def _bundle(model_id: str) -> Response:
    file = TemporaryFile()  # open until the response has been sent
    try:
        version = services().exchange.export_bundle(user_id(), model_id, file)
    except BaseException:
        file.close()
        raise
    response = _attached(version, "lapwise", _parts(file))
    response.content_length = file.tell()
    response.call_on_close(file.close)
    return response


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while part := file.read(_PART):
            yield part


def _attached(version: Version, kind: str, data: bytes | Iterator[bytes]) -> Response:
    response = Response(data, mimetype=MEDIA[kind][0])
    response.headers.set("Content-Disposition", "attachment", filename=_name(version, kind))
    return response


def _name(version: Version, kind: str) -> str:
    """A file name that every system takes, whatever the track is called."""
    track = _NOT_IN_NAMES.sub("_", version.track_name).strip("._-")[:60] or "model"
    return f"{track}-{version.model_type}-{version.model_version}.{MEDIA[kind][1]}"
