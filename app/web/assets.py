"""Static files, BokehJS among them, under a digest of what they hold, so that browsers keep them for good."""

import gzip
import hashlib
import mimetypes
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from flask import Blueprint, Response, abort, current_app, request

ASSETS = "lapwise-assets"
OURS = Path(__file__).parent / "static"
BOKEH_JS = "bokeh.min.js"
FOREVER = "public, max-age=31536000, immutable"
ZIPPED = ("text/", "application/json", "image/svg+xml")
POLICY = "default-src 'none'; frame-ancestors 'none'"

bp = Blueprint("assets", __name__)


class Assets:
    """Our own files and BokehJS, by the names that pages use."""

    @cached_property
    def files(self) -> dict[str, Path]:
        """Where each file is; a name that is not here is no file of ours."""
        ours = {path.relative_to(OURS).as_posix(): path for path in OURS.rglob("*") if path.is_file()}
        spec = find_spec("bokeh")  # found, not imported: importing takes half a second
        root = Path(next(iter(spec.submodule_search_locations or []))) if spec else OURS
        return ours | {BOKEH_JS: root / "server" / "static" / "js" / BOKEH_JS}

    @cached_property
    def version(self) -> str:
        """A digest of all the files: modules import each other by relative names, so one stands for all."""
        digest = hashlib.sha256()
        for name, path in sorted(self.files.items()):
            digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:16]

    def url(self, name: str) -> str:
        """The address of a file as it is now."""
        if name not in self.files:
            raise KeyError(f"there is no static file {name!r}")
        return f"/static/{self.version}/{name}"


def assets() -> Assets:
    return cast(Assets, current_app.extensions[ASSETS])


@bp.get("/static/<version>/<path:name>")
def file(version: str, name: str) -> Response:
    """A file; one asked for by another version's address is sent as it is now, not to be kept."""
    path = assets().files.get(name)
    if path is None:
        abort(404)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    zips = kind.startswith(ZIPPED) and request.accept_encodings.quality("gzip") > 0
    response = Response(_zipped(path) if zips else path.read_bytes(), mimetype=kind)
    if zips:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = FOREVER if version == assets().version else "no-cache"
    response.headers["Content-Security-Policy"] = POLICY
    return response


@lru_cache(maxsize=200)
def _zipped(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), 9, mtime=0)
