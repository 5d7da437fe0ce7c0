"""What web is measured against: Flask alone, with a model alone, and with one write to each database."""

import pickle
from pathlib import Path

from flask import Flask, Response, jsonify, request

from app.domain import new_id
from app.mongo import connect
from app.stores import job_status


def echo() -> Flask:
    """Answers the JSON it is sent."""
    app = Flask("echo", static_folder=None)

    @app.post("/")
    def answer() -> Response:
        return jsonify(request.get_json())

    return app


def predictor(pickled: str) -> Flask:
    """Answers with what a model makes of the frame it is sent, and asks nobody for anything."""
    app, model = Flask("predictor", static_folder=None), pickle.loads(Path(pickled).read_bytes())  # noqa: S301  # ours

    @app.post("/")
    def answer() -> Response:
        (prediction,) = model.predict([request.get_json()["inputData"]])
        return jsonify(prediction.values)

    return app


def recorder(mongo_url: str, redis_url: str) -> Flask:
    """Writes the JSON it is sent into MongoDB, as durably as the platform writes, and a key into Redis."""
    app = Flask("recorder", static_folder=None)
    documents, redis = connect(mongo_url)["lapwise_bare"]["documents"], job_status.connect(redis_url)

    @app.post("/")
    def record() -> tuple[Response, int]:
        document = {"_id": new_id(), **request.get_json()}
        documents.insert_one(document)
        redis.set(f"lapwise-bare:{document['_id']}", request.get_data(), ex=60)
        return jsonify(document), 202

    return app
