"""Builds what the courier, the process that sends notifications, needs once it has started."""

from app import mongo
from app.keys import Seal
from app.services.deliveries import Deliveries
from app.settings import Settings
from app.stores.deliveries import DeliveryStore
from app.stores.queue import JobQueue
from app.stores.receivers import Receivers
from app.stores.webhooks import SEALED_FOR, WebhookStore


def build_deliveries(settings: Settings, client: mongo.Client) -> Deliveries:
    """The courier's one service, on a connection to MongoDB that is the caller's to close."""
    database = client[settings.database]
    return Deliveries(
        hooks=WebhookStore(database),
        deliveries=DeliveryStore(database),
        receivers=Receivers(allow_private=settings.webhook_allow_private),
        queue=JobQueue(settings.queue_url),
        seal=Seal(settings.model_keys, SEALED_FOR),
    )
