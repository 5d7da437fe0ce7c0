"""Predicts lap times where there is no Lapwise: needs a model exported as ONNX, onnxruntime and numpy.

    python predict.py model.onnx frame.json   one frame or a list of them, as /ai-model/predict takes them
    python predict.py model.onnx frames.csv   frames in the order driven, a column for each field
    … | python predict.py model.onnx -        JSON from standard input

Prints one lap time in seconds for each frame. What a frame does not say is unknown; from a CSV that names
`current_lap_time`, `track_position` and `speed`, what was passed of the lap is gathered as the platform does.
"""

import csv
import json
import re
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Frame = dict[str, Any]
MARKS = 20  # splits and speeds are taken at each 5 % of a lap
ALIASES = {"tyre_compound": "compound"}
GATHERED = ("track_position", "current_lap_time", "speed")


def read(source: str) -> list[Frame]:
    text = sys.stdin.read() if source == "-" else Path(source).read_text()
    if source.endswith(".csv"):
        rows = [
            {name: value for name, value in row.items() if value} for row in csv.DictReader(text.splitlines())
        ]
        frames = [named(row) for row in rows]
        return list(gathered(frames)) if all(set(GATHERED) <= frame.keys() for frame in frames) else frames
    parsed = json.loads(text)
    return [named(frame) for frame in (parsed if isinstance(parsed, list) else [parsed])]


def named(frame: Frame) -> Frame:
    """The frame with its fields as the model calls them."""
    snake = {re.sub(r"(?<=[a-z0-9])[A-Z]", lambda m: "_" + m[0].lower(), name): name for name in frame}
    return {ALIASES.get(name, name): frame[given] for name, given in snake.items()}


def gathered(frames: Sequence[Frame]) -> Iterator[Frame]:
    """The frames, each with the splits and speeds of its lap so far; a lap first seen after 1 % gets none."""
    splits: list[float] = []
    last, speeds, whole = (np.inf, 0.0, 0.0), [0.0], False
    for frame in frames:
        at, elapsed, speed = (float(frame[name]) for name in GATHERED)
        if at < last[0]:
            splits, speeds, whole = [], [speed], at <= 0.01
            last = 0.0, 0.0, speed
        for mark in range(len(splits) + 1, min(int(at * MARKS + 1e-9), MARKS - 1) + 1):
            share = (mark / MARKS - last[0]) / (at - last[0])
            splits.append(last[1] + share * (elapsed - last[1]))
            speeds.append(last[2] + share * (speed - last[2]))
        last = at, elapsed, speed
        yield frame | ({"splits": list(splits), "speeds": list(speeds)} if whole else {})


def tensors(session: onnxruntime.InferenceSession, frames: Sequence[Frame]) -> dict[str, np.ndarray]:
    """What the model takes, NaN where a frame does not say it."""
    feed = {}
    for wanted in session.get_inputs():
        values = [np.atleast_1d(numbers(wanted.name, frame.get(wanted.name))) for frame in frames]
        width = wanted.shape[1] if len(wanted.shape) > 1 else 1
        width = width if isinstance(width, int) else max(map(len, values))
        rows = [np.append(value, np.full(width - len(value), np.nan)) for value in values]
        feed[wanted.name] = np.array(rows) if len(wanted.shape) > 1 else np.array(rows)[:, 0]
    return feed


def numbers(name: str, value: Any) -> Any:
    """A field as the model takes it: the compound by its checksum, NaN where nothing is known."""
    if value is None or value == []:
        return np.nan
    return float(zlib.crc32(str(value).encode())) if name == "compound" else np.array(value, dtype=float)


if __name__ == "__main__":
    model = onnxruntime.InferenceSession(sys.argv[1])
    for lap_time in model.run(["lap_time"], tensors(model, read(sys.argv[2])))[0]:
        print(f"{lap_time:.6f}")
