"""Keeps drivers' accounts, and the token families by which a sign-in is renewed and revoked."""

from collections.abc import Collection, Iterator
from datetime import datetime

from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.domain import User
from app.errors import EmailTaken, Unauthorized
from app.mongo import Document, errors_translated, from_document, to_document


class Users:
    """Accounts, one for an email address."""

    def __init__(self, database: Database[Document]) -> None:
        self._users = database["users"]

    def add(self, user: User) -> None:
        """Adds an account.

        Raises
        ------
        EmailTaken
            By the unique index, so of two calls at once one wins.
        """
        with errors_translated():
            try:
                self._users.insert_one(to_document(user))
            except DuplicateKeyError as exc:
                raise EmailTaken from exc

    def find(self, user_id: str) -> User | None:
        return self._find({"_id": user_id})

    def find_by_email(self, email: str) -> User | None:
        return self._find({"email": email})

    def hold(self, user_id: str, *, tx: ClientSession) -> None:
        """Keeps an account from being removed while a transaction writes something of it.

        Raises
        ------
        Unauthorized
            It is being removed, or is gone.
        """
        self.hold_all([user_id], tx=tx)

    def hold_all(self, user_ids: Collection[str], *, tx: ClientSession) -> None:
        """`hold` for several accounts at once.

        Raises
        ------
        Unauthorized
            One of them is being removed, or is gone.
        """
        if user_ids:
            which = {"_id": {"$in": list(user_ids)}, "removedAt": None}
            held = self._users.update_many(which, {"$inc": {"holds": 1}}, session=tx)
            if held.matched_count < len(user_ids):
                raise Unauthorized

    def ids_of(
        self, user_ids: Collection[str], emails: Collection[str], *, tx: ClientSession | None = None
    ) -> dict[str, str]:
        """The ids of accounts by what they were asked for by: an id or an address."""
        either = [{"_id": {"$in": list(user_ids)}}, {"email": {"$in": list(emails)}}]
        with errors_translated(tx):
            found = list(self._users.find({"$or": either, "removedAt": None}, {"email": 1}, session=tx))
        return {user["email"]: user["_id"] for user in found} | {user["_id"]: user["_id"] for user in found}

    def begin_removal(self, user_id: str, at: datetime) -> None:
        """From now on nothing new is written of the account."""
        with errors_translated():
            self._users.update_one({"_id": user_id}, {"$set": {"removedAt": at}})

    def remove(self, user_id: str) -> None:
        with errors_translated():
            self._users.delete_one({"_id": user_id})

    def _find(self, query: Document) -> User | None:
        with errors_translated():
            found = self._users.find_one(query)
        return from_document(User, found) if found else None


class TokenFamilies:
    """All tokens that come from one sign-in; only the newest refresh token of a family is good."""

    def __init__(self, database: Database[Document]) -> None:
        self._families = database["tokenfamilies"]

    def add(self, family_id: str, user_id: str, jti: str, expires_at: datetime) -> None:
        document = {"_id": family_id, "userId": user_id, "currentJti": jti, "expiresAt": expires_at}
        with errors_translated():
            self._families.insert_one(document)

    def rotate(self, family_id: str, *, old_jti: str, new_jti: str, expires_at: datetime) -> bool:
        """Puts a new refresh token in the place of the old; False when the old one is not the current."""
        current = {"_id": family_id, "currentJti": old_jti, "revokedAt": None}
        with errors_translated():
            changed = self._families.update_one(
                current, {"$set": {"currentJti": new_jti, "expiresAt": expires_at}}
            )
        return changed.modified_count == 1

    def revoke(self, family_id: str, at: datetime) -> None:
        """Ends a family; ending it again keeps the first time."""
        with errors_translated():
            self._families.update_one({"_id": family_id, "revokedAt": None}, {"$set": {"revokedAt": at}})

    def is_revoked(self, family_id: str) -> bool:
        """Whether the family was revoked, or is gone."""
        with errors_translated():
            return self._families.find_one({"_id": family_id, "revokedAt": None}, {"_id": 1}) is None

    def of_user(self, user_id: str) -> Iterator[str]:
        with errors_translated():
            for family in self._families.find({"userId": user_id}, {"_id": 1}):
                yield family["_id"]

    def revoked_since(self, time: datetime) -> Iterator[str]:
        with errors_translated():
            for family in self._families.find({"revokedAt": {"$gt": time}}, {"_id": 1}):
                yield family["_id"]
