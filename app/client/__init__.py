"""The Python client of the HTTP API: for the command line, the demo, the bench, and programs of drivers.

>>> from app.client import Client
>>> driver = Client("http://127.0.0.1:5000")  # nothing is sent yet
>>> driver.close()
"""

from app.client.client import Client
from app.client.connection import ApiError
from app.client.tokens import Keeper, Pair
from app.client.uploading import OnProgress

__all__ = ["ApiError", "Client", "Keeper", "OnProgress", "Pair"]
