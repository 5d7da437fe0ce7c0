"""Versions as lists have them: without the laps predicted, of which each version may hold 100."""

from dataclasses import fields

from app.domain import Version
from app.mongo import Document, field_key

_SESSIONS = "$validationResults.sessions"
_BRIEF_SESSIONS = {
    "$arrayToObject": {
        "$map": {
            "input": {"$objectToArray": _SESSIONS},
            "in": {"k": "$$this.k", "v": {"$unsetField": {"field": "predictions", "input": "$$this.v"}}},
        }
    }
}
_BRIEF_RESULTS = {
    "$cond": [
        {"$eq": [{"$type": _SESSIONS}, "object"]},  # older versions have none, imported ones no results
        {"$mergeObjects": ["$validationResults", {"sessions": _BRIEF_SESSIONS}]},
        "$validationResults",
    ]
}
# what `find` projects: all a version has, for a computed field cannot go with fields left out
IN_LISTS: Document = {field_key(field.name): 1 for field in fields(Version)} | {
    "validationResults": _BRIEF_RESULTS
}
