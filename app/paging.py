"""Pages of a collection, newest first, by a cursor that clients hand back as they got it."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from bson import ObjectId
from pymongo.collection import Collection

from app.domain import Page
from app.errors import Invalid
from app.mongo import Document, errors_translated, from_document

V = TypeVar("V")


def page_of(
    collection: Collection[Document],
    kind: type[V],
    query: Mapping[str, Any],
    *,
    limit: int,
    cursor: str | None,
    by: str = "createdAt",
    projection: Mapping[str, Any] | None = None,
) -> Page[V]:
    """At most `limit` values, newest first by the time `by`; `cursor` comes from the page before."""
    conditions = [dict(query)] + ([_after(by, cursor)] if cursor else [])
    with errors_translated():
        found = list(
            collection.find({"$and": conditions}, projection).sort([(by, -1), ("_id", -1)]).limit(limit + 1)
        )
    items = tuple(from_document(kind, document) for document in found[:limit])
    return Page(items=items, next_cursor=_cursor(found[limit - 1], by) if len(found) > limit else None)


def _cursor(document: Document, by: str) -> str:
    place = json.dumps([document[by].isoformat(), document["_id"]])
    return base64.urlsafe_b64encode(place.encode()).decode()


def _after(by: str, cursor: str) -> Document:
    try:
        text, last_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        time = datetime.fromisoformat(text).astimezone(UTC)
        if not ObjectId.is_valid(last_id):
            raise ValueError("no id")
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as exc:
        raise Invalid("the cursor is not one this list gave", cursor=["unknown cursor"]) from exc
    return {"$or": [{by: {"$lt": time}}, {by: time, "_id": {"$lt": str(last_id)}}]}
