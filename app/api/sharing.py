"""HTTP for sharing: let another driver read a version and predict with it, see who may, revoke it."""

from typing import Any

from marshmallow import fields

from app.api.blueprint import Blueprint
from app.api.context import services
from app.api.context import user_id as caller
from app.api.fields import CamelSchema, Id, Text, Utc, page_of
from app.api.jobs import PageQuery
from app.api.model_schemas import VersionSchema
from app.domain import Page
from app.services.accounts import EMAIL_LENGTH
from app.services.sharing import SharedVersion
from app.stores.shares import Share

bp = Blueprint("sharing", __name__, url_prefix="/ai-model", description="Versions that others may read.")


class NewShareSchema(CamelSchema):
    email = Text(EMAIL_LENGTH, "lewis@example.org", required=True)


class ShareSchema(CamelSchema):
    """`userId` is that of the account with the address, or the one it will have when it is opened."""

    model_id = Id(required=True)
    user_id = Id(required=True, attribute="reader_id")
    email = fields.String(required=True, metadata={"example": "lewis@example.org"})
    created_at = Utc(required=True)


class SharedVersionSchema(VersionSchema):
    owner_name = fields.String(required=True, allow_none=True, metadata={"example": "Max"})
    shared_at = Utc(required=True)


@bp.operation(
    "POST", "/<id:id>/share", json=NewShareSchema, answer=ShareSchema, status=201, errors=(404, 409)
)
def share(body: dict[str, str], id: str) -> Share:
    """Let the driver with an address read a version and predict with it; a repeat answers the same."""
    return services().sharing.share(caller(), id, **body)


@bp.operation("GET", "/<id:id>/shares", query=PageQuery, answer=page_of(ShareSchema, "SharePage"))
def list_shares(query: dict[str, Any], id: str) -> Page[Share]:
    """With whom a version is shared, newest first."""
    return services().sharing.given(caller(), id, **query)


@bp.operation("DELETE", "/<id:id>/share/<id:userId>", status=204)
def revoke(id: str, user_id: str) -> None:
    """End a share: the reader's next request is refused."""
    services().sharing.revoke(caller(), id, user_id)


@bp.operation(
    "GET", "/shared-with-me", query=PageQuery, answer=page_of(SharedVersionSchema, "SharedVersionPage")
)
def list_shared_with_me(query: dict[str, Any]) -> Page[SharedVersion]:
    """The versions that others share with the driver, those shared last first."""
    return services().sharing.received(caller(), **query)
