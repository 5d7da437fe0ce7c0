"""Sessions that arrive in chunks: kept durably as they come, then read as one file."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zstandard
from pymongo.client_session import ClientSession

from app.domain import NewSession, UploadStart, utc_now
from app.errors import ChunksMissing, Invalid, TooLarge, Unavailable
from app.mongo import Client, in_transaction
from app.services.admission import Admission
from app.services.sessions import Added, Sessions
from app.stores.accounts import Users
from app.stores.jobs import JobStore
from app.stores.uploads import Upload, UploadStore

MAX_CHUNKS = 10_000
MAX_STORED_BYTES = 15 * 1024 * 1024  # one chunk, compressed: a MongoDB document holds 16 MB
ZSTD_LEVEL = 3
COMPLETED_SECONDS = 25.0  # how long a repeat waits for the first call's answer
COMPLETED_INTERVAL = 0.2


class Uploads:
    """Use cases of chunked uploads."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        uploads: UploadStore,
        sessions: Sessions,
        jobs: JobStore,
        admission: Admission,
        max_decoded_bytes: int,
    ) -> None:
        self._client = client
        self._users = users
        self._uploads = uploads
        self._sessions = sessions
        self._jobs = jobs
        self._admission = admission
        self._max_decoded_bytes = max_decoded_bytes

    def start(self, user_id: str, start: UploadStart) -> str:
        """The id under which the chunks are sent."""

        def write(tx: ClientSession) -> str:
            self._users.hold(user_id, tx=tx)
            return self._uploads.add(user_id, start, utc_now(), tx=tx).id

        return in_transaction(self._client, write)

    def add_chunk(self, user_id: str, upload_id: str, index: int, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many chunks are there now; a repeated index replaces its chunk.

        Raises
        ------
        UploadNotFound, UploadFinished, TooLarge, TooMuchWaiting, Overloaded
        """
        upload = self._uploads.get(user_id, upload_id)
        lines = json_lines(rows)
        data = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(lines)
        if len(data) > MAX_STORED_BYTES:
            raise TooLarge("this chunk is too large; send its rows in several")
        before = self._uploads.chunk_sizes(upload)
        if index not in before:
            self._admission.check_bytes(user_id, len(data))
        sizes = before | {index: len(lines)}
        if sum(sizes.values()) > self._max_decoded_bytes:
            raise TooLarge("this upload is larger than the platform takes; send fewer laps at once")

        def write(tx: ClientSession) -> None:
            self._users.hold(user_id, tx=tx)
            self._uploads.put_chunk(upload, index, data, len(lines), tx=tx)

        in_transaction(self._client, write)
        return len(sizes)

    def complete(
        self, user_id: str, upload_id: str, auto_train: bool, total_chunks: int | None = None
    ) -> Added:
        """The session made of the chunks, and its jobs; a repeat answers the same.

        Raises
        ------
        UploadNotFound, ChunksMissing, Unavailable
        learning.errors.LearningError
            The rows are not usable telemetry; the upload stays open, so chunks can be sent again.
        """
        end = time.monotonic() + COMPLETED_SECONDS
        while time.monotonic() < end:
            upload = self._uploads.get(user_id, upload_id)
            if upload.session_id is not None:
                session = self._sessions.get(user_id, upload.session_id)
                return session, self._jobs.get_all(user_id, upload.job_ids)
            with self._uploads.completing(upload) as is_ours:
                if is_ours:
                    return self._complete(upload, auto_train, total_chunks)
            time.sleep(COMPLETED_INTERVAL)  # another call is at it: its answer is ours too
        raise Unavailable("this upload is being completed by another call; repeat this one later")

    def _complete(self, upload: Upload, auto_train: bool, total_chunks: int | None) -> Added:
        sizes = self._uploads.chunk_sizes(upload)
        _check_complete(sizes, total_chunks)
        with TemporaryDirectory(prefix="lapwise-") as folder:
            path = Path(folder) / "upload.jsonl"
            self._assemble(upload, path, sum(sizes.values()))
            new = NewSession(
                path=path,
                track_name=upload.track_name,
                session_name=upload.session_name,
                car_model=upload.car_model,
                driver=upload.driver,
                setup=upload.setup,
            )
            session, jobs = self._sessions.add(upload.user_id, new, auto_train)
        self._uploads.finish(upload, session.id, [job.id for job in jobs])
        return session, jobs

    def _assemble(self, upload: Upload, path: Path, size: int) -> None:
        unpacker = zstandard.ZstdDecompressor()
        with path.open("wb") as stream:
            for data in self._uploads.chunks(upload):
                stream.write(unpacker.decompress(data))
        if path.stat().st_size != size:  # another call that came after the time was up has removed some
            raise Unavailable("this upload is being completed by another call; repeat this one later")


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as the text of a session file."""
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


def _check_complete(sizes: Mapping[int, int], total_chunks: int | None) -> None:
    expected = max(sizes, default=0) + 1 if total_chunks is None else total_chunks
    missing = [index for index in range(expected) if index not in sizes]
    if missing:
        raise ChunksMissing(missing=missing)
    if len(sizes) > expected:
        raise Invalid(
            f"{len(sizes)} chunks arrived, more than totalChunks", totalChunks=[f"at least {len(sizes)}"]
        )
