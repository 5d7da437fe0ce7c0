"""What learning itself takes of a job, without a database or anything else that keeps what is learned."""

import gc
import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.stage import LAP_TIME
from learning.telemetry import read_session
from learning.zoo import create_model


def write_lesson(file: Path, sessions: Sequence[Path]) -> str:
    """A model that has learned all the sessions but the last one, and that one; the name of their file."""
    *before, session = [read_session(one).session for one in sessions]
    model = create_model(LAP_TIME)
    for earlier in before:
        model.learn_session(earlier)
    file.write_bytes(pickle.dumps((pickle.dumps(model, pickle.HIGHEST_PROTOCOL), session)))
    return str(file)


def learn(lesson: str) -> None:
    """A model from its pickle, the session that is in laps already, and a pickle again that nobody keeps."""
    pickled, session = _read(lesson)
    model = pickle.loads(pickled)  # noqa: S301  # the bench has just written it
    model.learn_session(session)
    pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL)


@contextmanager
def learners(processes: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes, each with the one thread that a worker's child has."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield pool


@cache
def _read(lesson: str) -> tuple[bytes, Any]:
    pickled, session = pickle.loads(Path(lesson).read_bytes())  # noqa: S301  # the bench has just written it
    gc.freeze()  # as in a worker's child: the collector passes over what is loaded
    return pickled, session
