"""A version's pages: the version with its lineage, and predictions with it, by hand and live."""

from flask import g, render_template

from app.api.context import services
from app.web.blueprint import page


@page("/models/<id:id>")
def model(id: str) -> str:
    return render_template("pages/model.html", version=services().models.get(g.user.id, id))


@page("/predict/<id:id>")
def predict(id: str) -> str:
    return render_template("pages/predict.html", version=services().models.get(g.user.id, id))
