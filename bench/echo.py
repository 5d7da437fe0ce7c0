"""What the web process is measured against: Flask alone."""

from flask import Flask, Response, jsonify, request


def create_app() -> Flask:
    """Answers the JSON it is sent."""
    app = Flask("echo", static_folder=None)

    @app.post("/echo")
    def echo() -> Response:
        return jsonify(request.get_json())

    return app
