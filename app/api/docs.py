"""The OpenAPI document, and Swagger UI with all its files from this server."""

from flask import Response, jsonify
from flask_smorest import current_api
from swagger_ui_bundle import swagger_ui_path

from app.api.blueprint import Blueprint

bp = Blueprint(
    "docs",
    __name__,
    static_folder=str(swagger_ui_path),
    static_url_path="/docs/static",
    description="This documentation.",
)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>Lapwise API</title>
  <link rel="stylesheet" href="docs/static/swagger-ui.css">
  <link rel="icon" href="docs/static/favicon-32x32.png">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="docs/static/swagger-ui-bundle.js"></script>
  <script src="docs/start.js"></script>
</body>
</html>
"""
SCRIPT = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'


@bp.operation("GET", "/openapi.json", shows="nothing")
def openapi() -> Response:
    """The API as an OpenAPI 3 document."""
    return jsonify(current_api.spec.to_dict())


@bp.operation("GET", "/docs", content_type="text/html", shows="nothing")
def swagger() -> Response:
    """Swagger UI."""
    return Response(PAGE, headers={"Content-Security-Policy": POLICY})


@bp.operation("GET", "/docs/start.js", content_type="text/javascript", shows="nothing")
def start() -> Response:
    """Starts Swagger UI; a file of its own, for the page's policy allows no script in it."""
    return Response(SCRIPT, mimetype="text/javascript")
