"""The secrets of webhooks lie encrypted."""

from typing import Any

from pymongo.database import Database

from app.errors import SettingMissing
from app.keys import Seal
from app.stores.migrating import KEYS
from app.stores.webhooks import SEALED_FOR, SECRET_PREFIX, WebhookStore

name = "m0010_sealed_secrets"
dependencies: list[str] = ["m0002_webhooks"]


def upgrade(db: Database[dict[str, Any]]) -> None:
    if db["webhooks"].find_one({"secret": {"$regex": f"^{SECRET_PREFIX}"}}) is None:
        return
    keys = KEYS.get()
    if keys is None:
        raise SettingMissing("set LAPWISE_MODEL_KEY: the secrets of webhooks are sealed with it")
    WebhookStore(db).reseal(Seal(keys, SEALED_FOR))
