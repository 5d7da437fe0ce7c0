"""A cursor is one that a list gave, or a 422."""

import base64
from unittest.mock import Mock

import pytest

from app.domain import Job
from app.errors import Invalid
from app.paging import page_of


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[" * 3_000,
        b"{}",
        b'["2026-01-01", {"$gt": ""}]',
        b'[{"$gt": ""}, "6655f0c2a4b1c2d3e4f50617"]',
        b'["2026-01-01T00:00:00+00:00", "$where"]',
        b'["9999-99-99", "6655f0c2a4b1c2d3e4f50617"]',
        b"9" * 5_000,
    ],
)
def test_a_cursor_that_no_list_gave_is_refused_unasked(text: bytes) -> None:
    collection = Mock()
    with pytest.raises(Invalid) as caught:
        page_of(collection, Job, {}, limit=1, cursor=base64.urlsafe_b64encode(text).decode() or "?")
    assert caught.value.details == {"cursor": ["unknown cursor"]}
    assert collection.method_calls == []
