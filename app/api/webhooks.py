"""HTTP for outgoing webhooks: where a driver wants to be told of events, and what became of each."""

from typing import Any

from flask import url_for
from marshmallow import fields
from marshmallow.validate import Length

from app.api.blueprint import Blueprint
from app.api.context import services, user_id
from app.api.fields import CamelSchema, Id, Text, Utc, page_of
from app.api.jobs import PageQuery
from app.destinations import URL_LENGTH
from app.domain import Page
from app.stores.deliveries import Delivery, DeliveryStatus
from app.stores.webhooks import HookEvent, Webhook

bp = Blueprint("webhooks", __name__, url_prefix="/webhooks", description="Notifications to drivers' servers.")

URL = "https://example.org/lapwise"


class NewWebhookSchema(CamelSchema):
    url = Text(URL_LENGTH, URL, required=True)
    events = fields.List(
        fields.Enum(HookEvent, by_value=True),
        validate=Length(1, 100),
        metadata={"description": "Default: all."},
    )
    description = Text(200, "the team's pit wall")


class WebhookSchema(CamelSchema):
    id = Id(required=True)
    url = Text(URL_LENGTH, URL, required=True)
    events = fields.List(fields.Enum(HookEvent, by_value=True), required=True)
    description = fields.String(required=True, metadata={"example": "the team's pit wall"})
    disabled_reason = fields.String(
        required=True, allow_none=True, metadata={"example": "the receiver answered 410 Gone"}
    )
    disabled_at = Utc(required=True, allow_none=True)
    created_at = Utc(required=True)


class RegisteredWebhookSchema(WebhookSchema):
    secret = fields.String(
        required=True,
        metadata={"example": "whsec_Zm9y…", "description": "Signs every notification; shown only here."},
    )


class DeliverySchema(CamelSchema):
    id = Id(required=True)
    webhook_id = Id(required=True)
    event = fields.String(required=True, metadata={"example": "job.succeeded"})
    status = fields.Enum(DeliveryStatus, by_value=True, required=True)
    attempts = fields.Integer(required=True, metadata={"example": 1})
    response_status = fields.Integer(required=True, allow_none=True, metadata={"example": 200})
    error = fields.String(required=True, allow_none=True, metadata={"example": "no answer in time"})
    next_attempt_at = Utc(required=True, allow_none=True, attribute="next_at")
    created_at = Utc(required=True)
    finished_at = Utc(required=True, allow_none=True)


class DeliveriesQuery(PageQuery):
    status = fields.Enum(DeliveryStatus, by_value=True)


@bp.operation("POST", "", json=NewWebhookSchema, answer=RegisteredWebhookSchema, status=201, errors=(409,))
def register(body: dict[str, Any]) -> tuple[Webhook, dict[str, str]]:
    """Register an address to be told of events; the answer alone shows the secret that signs them."""
    hook = services().webhooks.register(user_id(), **body)
    return hook, {"Location": url_for("webhooks.get_webhook", id=hook.id)}


@bp.operation("GET", "", query=PageQuery, answer=page_of(WebhookSchema, "WebhookPage"))
def list_webhooks(query: dict[str, Any]) -> Page[Webhook]:
    """The driver's webhooks, newest first."""
    return services().webhooks.page(user_id(), **query)


@bp.operation("GET", "/<id:id>", answer=WebhookSchema)
def get_webhook(id: str) -> Webhook:
    """One webhook."""
    return services().webhooks.get(user_id(), id)


@bp.operation("DELETE", "/<id:id>", status=204)
def remove_webhook(id: str) -> None:
    """Remove a webhook; nothing more is sent to it."""
    services().webhooks.remove(user_id(), id)


@bp.operation("POST", "/<id:id>/test", answer=DeliverySchema, status=202, errors=(409,))
def test_webhook(id: str) -> Delivery:
    """Send a notification that says nothing; its outcome stands among the deliveries."""
    return services().webhooks.test(user_id(), id)


@bp.operation(
    "GET", "/<id:id>/deliveries", query=DeliveriesQuery, answer=page_of(DeliverySchema, "DeliveryPage")
)
def list_deliveries(query: dict[str, Any], id: str) -> Page[Delivery]:
    """What was sent to a webhook or is to be, newest first; kept for a week."""
    return services().webhooks.deliveries(user_id(), id, **query)
