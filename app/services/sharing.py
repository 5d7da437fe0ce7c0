"""Sharing versions: their owner lets another driver read one and predict with it, and nothing else."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pymongo.client_session import ClientSession

from app.domain import Page, Version, new_id, utc_now
from app.errors import Invalid, ModelNotFound, ShareNotFound, TooManyShares
from app.mongo import Client, in_transaction
from app.services.accounts import checked_email
from app.stores.accounts import Users
from app.stores.changes import Changes
from app.stores.shares import Share, ShareStore
from models_store.registry import ModelRegistry

MAX_SHARES = 50  # of one version
FORGET_AFTER = timedelta(days=1)  # longer than any request that has just asked for an address


@dataclass(frozen=True, kw_only=True)
class SharedVersion(Version):
    """A version as a driver sees it whom its owner lets read it: of the owner's sessions it says nothing."""

    owner_name: str | None
    shared_at: datetime


class Sharing:
    """Use cases of shared versions."""

    def __init__(
        self,
        *,
        client: Client,
        users: Users,
        shares: ShareStore,
        registry: ModelRegistry,
        changes: Changes,
    ) -> None:
        self._client = client
        self._users = users
        self._shares = shares
        self._registry = registry
        self._changes = changes

    def share(self, user_id: str, model_id: str, email: str) -> Share:
        """Lets the driver with an address read a version; repeated, the share there is.

        The answer is the same whether there is an account with this address or not. Without one the share
        waits until it is opened.

        Raises
        ------
        ModelNotFound, Invalid, TooManyShares
        """
        self._registry.get_version(user_id, model_id)
        address, now = checked_email(email), utc_now()
        reader_id = self._users.id_for(address, now)
        if reader_id == user_id:
            raise Invalid("a model cannot be shared with its owner", email=["Your own address."])
        share = Share(
            id=new_id(),
            model_id=model_id,
            owner_id=user_id,
            reader_id=reader_id,
            email=address,
            created_at=now,
        )

        def write(tx: ClientSession) -> Share:
            self._users.hold(user_id, tx=tx)  # which also makes shares of one owner wait for each other
            if self._shares.count_others(model_id, reader_id, tx=tx) >= MAX_SHARES:
                raise TooManyShares(maximum=MAX_SHARES)
            return self._shares.add(share, tx=tx)

        return in_transaction(self._client, write)

    def revoke(self, user_id: str, model_id: str, reader_id: str) -> None:
        """Ends a share: the reader's next request is refused.

        Raises
        ------
        ShareNotFound
        """
        if not self._shares.remove(user_id, model_id, reader_id):
            raise ShareNotFound
        self._changes.tell(reader_id)

    def given(
        self, user_id: str, model_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Share]:
        """With whom a driver shares a version, newest first."""
        self._registry.get_version(user_id, model_id)
        return self._shares.given(user_id, model_id, limit, cursor)

    def received(self, user_id: str, *, limit: int = 50, cursor: str | None = None) -> Page[SharedVersion]:
        """The versions that others share with a driver, those shared last first."""
        page = self._shares.received(user_id, limit, cursor)
        versions = self._registry.find_all({share.model_id: share.owner_id for share in page.items})
        owners = self._users.find_all({share.owner_id for share in page.items})
        items = tuple(
            SharedVersion(
                **vars(as_shared(versions[share.model_id])),
                owner_name=owners[share.owner_id].display_name,
                shared_at=share.created_at,
            )
            for share in page.items
            if share.model_id in versions and share.owner_id in owners
        )
        return Page(items=items, next_cursor=page.next_cursor)

    def readable(self, user_id: str, model_id: str) -> Version:
        """A version that the driver owns, or one shared with them as they may see it.

        Raises
        ------
        ModelNotFound
        """
        try:
            return self._registry.get_version(user_id, model_id)
        except ModelNotFound:
            share = self._shares.find(model_id, user_id)
            if share is None:
                raise
        return as_shared(self._registry.get_version(share.owner_id, model_id))

    def remove_of_model(self, model_id: str) -> None:
        """Ends all shares of a version that was removed."""
        self._shares.remove_of_model(model_id)

    def sweep(self) -> int:
        """Removes shares of versions that are gone, and addresses that nobody needs any more; how many."""
        before = utc_now() - FORGET_AFTER
        return self._shares.sweep(before) + self._users.forget_addresses(before)


def as_shared(version: Version) -> Version:
    """The version without anything that tells of its owner's sessions or other versions."""
    metadata = dict(version.model_metadata)
    metrics = dict(metadata["performanceMetrics"])
    metrics.pop("latest", None)  # of one session alone
    return replace(
        version,
        model_metadata=metadata | {"performanceMetrics": metrics},
        training_session_ids=(),
        validation_results=None,
        parent_id=None,
        job_id=None,
    )
