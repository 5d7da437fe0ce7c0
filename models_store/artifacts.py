"""Keeps the binaries of versions in GridFS, each under its version's id."""

from typing import NoReturn

from gridfs import NoFile
from gridfs.errors import CorruptGridFile
from pymongo.database import Database

from app.buckets import Bucket
from app.errors import ArtifactRefused, ModelNotFound
from app.mongo import Document, errors_translated


class Artifacts(Bucket):
    """Binaries of all versions; what they hold is signed and checked elsewhere."""

    def __init__(self, database: Database[Document]) -> None:
        super().__init__(database, "models", owners="aimodels")

    def read(self, model_id: str, *, size: int) -> bytes:
        """The version's binary.

        Raises
        ------
        ModelNotFound
            It is removed, as its version is first.
        ArtifactRefused
            It has another size, or a part is missing.
        """
        with errors_translated():
            data = b"".join(self._parts(model_id))
            if len(data) != size:
                self._tell_damage(model_id, size)
        return data

    def _tell_damage(self, model_id: str, size: int) -> NoReturn:
        """Says what is wrong, as GridFS sees it."""
        try:
            stream = self._files.open_download_stream(model_id)
            if stream.length != size:
                raise ArtifactRefused(f"it has {stream.length} bytes instead of {size}")
            stream.read()
        except NoFile as exc:
            raise ModelNotFound from exc
        except CorruptGridFile as exc:
            raise ArtifactRefused(f"it cannot be read: {exc}") from exc
        raise ArtifactRefused("it cannot be read: its parts are not what GridFS has written")
