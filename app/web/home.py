"""Home: a driver's tracks, what runs now, and what to do next; and the way in, by upload."""

from flask import render_template

from app.web.blueprint import page


@page("/")
def home() -> str:
    return render_template("pages/home.html")


@page("/upload")
def upload() -> str:
    return render_template("pages/upload.html")
