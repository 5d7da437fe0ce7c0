"""Keeps drivers' accounts, and the token families by which a sign-in is renewed and revoked."""

from collections.abc import Collection, Iterator, Set
from datetime import datetime, timedelta
from secrets import token_hex

from pymongo import ReturnDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from app.domain import User
from app.errors import EmailTaken, Unauthorized
from app.mongo import Document, errors_translated, from_document, to_document

REMOVAL_TIME = timedelta(minutes=5)  # after it a removal that has not ended is taken up again


class Users:
    """Accounts, one for an email address.

    Parameters
    ----------
    database
        Collection `users`, and `addresses` with the id of each address's account, be it there yet or not.
    """

    def __init__(self, database: Database[Document]) -> None:
        self._users = database["users"]
        self._addresses = database["addresses"]

    def id_for(self, email: str, now: datetime) -> str:
        """The id of the account with this address, or the one that it will have when it is opened.

        It does the same work and gives an id of the same kind whether there is an account or not, so whoever
        sees it learns nothing: ids of accounts are random and tell no time.
        """
        with errors_translated():
            found: Document = self._addresses.find_one_and_update(
                {"_id": email},
                {"$set": {"askedAt": now}, "$setOnInsert": {"userId": token_hex(12)}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )  # type: ignore[assignment]  # an upsert always finds one
        return str(found["userId"])

    def forget_addresses(self, unasked_since: datetime) -> int:
        """Removes addresses that have no account and that nothing is shared with; how many."""
        users = {"from": "users", "localField": "userId", "foreignField": "_id", "as": "users"}
        shares = {"from": "shares", "localField": "userId", "foreignField": "readerId", "as": "shares"}
        stages: list[Document] = [
            {"$match": {"opened": None, "askedAt": {"$lt": unasked_since}}},
            {"$lookup": users},
            {"$lookup": shares},
            {"$match": {"users": [], "shares": []}},
            {"$project": {"_id": 1}},
        ]
        with errors_translated():
            old = [found["_id"] for found in self._addresses.aggregate(stages)]
            condition = {"_id": {"$in": old}, "askedAt": {"$lt": unasked_since}}
            return self._addresses.delete_many(condition).deleted_count

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
            self._addresses.update_one({"_id": user.email}, {"$set": {"opened": True}})

    def change_hash(self, user: User, password_hash: str) -> None:
        """Keeps the password of an account in another form, unless it was changed meanwhile."""
        as_it_was = {"_id": user.id, "passwordHash": user.password_hash}
        with errors_translated():
            self._users.update_one(as_it_was, {"$set": {"passwordHash": password_hash}})

    def set_admin(self, email: str, is_admin: bool) -> bool:
        """Makes an account an operator's, or takes that back; whether there is such an account."""
        with errors_translated():
            changed = self._users.update_one(
                {"email": email, "removedAt": None}, {"$set": {"isAdmin": is_admin}}
            )
        return changed.matched_count == 1

    def all(self) -> Iterator[User]:
        """Every account, oldest first."""
        with errors_translated():
            for document in self._users.find({"removedAt": None}).sort([("createdAt", 1), ("_id", 1)]):
                yield from_document(User, document)

    def find(self, user_id: str) -> User | None:
        return self._find({"_id": user_id})

    def find_all(self, user_ids: Collection[str]) -> dict[str, User]:
        """Those of the accounts that are there, by id."""
        with errors_translated():
            found = self._users.find({"_id": {"$in": list(user_ids)}, "removedAt": None})
            return {document["_id"]: from_document(User, document) for document in found}

    def find_by_email(self, email: str) -> User | None:
        return self._find({"email": email})

    def hold(self, user_id: str, *, tx: ClientSession) -> None:
        """Keeps an account from being removed while a transaction writes something of it.

        Raises
        ------
        Unauthorized
            It is being removed, or is gone.
        """
        if not self.hold_all({user_id}, tx=tx):
            raise Unauthorized

    def hold_all(self, user_ids: Set[str], *, tx: ClientSession) -> Set[str]:
        """Holds those of the accounts that are there and not being removed; their ids."""
        there = {"_id": {"$in": list(user_ids)}, "removedAt": None}
        held = self._users.update_many(there, {"$inc": {"holds": 1}}, session=tx)
        if held.matched_count == len(user_ids):
            return user_ids
        return {found["_id"] for found in self._users.find(there, {"_id": 1}, session=tx)}

    def ids_of(
        self, user_ids: Collection[str], emails: Collection[str], *, tx: ClientSession | None = None
    ) -> dict[str, str]:
        """The ids of accounts by what they were asked for by: an id or an address."""
        either = [{"_id": {"$in": list(user_ids)}}, {"email": {"$in": list(emails)}}]
        with errors_translated(tx):
            found = list(self._users.find({"$or": either, "removedAt": None}, {"email": 1}, session=tx))
        return {user["email"]: user["_id"] for user in found} | {user["_id"]: user["_id"] for user in found}

    def begin_removal(self, user_id: str, at: datetime) -> None:
        """From now on nobody signs in to the account and nothing new is written of it."""
        with errors_translated():
            self._users.update_one({"_id": user_id}, {"$set": {"removedAt": at}})

    def take_unfinished_removal(self, now: datetime) -> str | None:
        """The id of an account whose removal was cut off; nobody else gets it for a while."""
        with errors_translated():
            found = self._users.find_one_and_update(
                {"removedAt": {"$lt": now - REMOVAL_TIME}}, {"$set": {"removedAt": now}}
            )
        return found["_id"] if found else None

    def remove(self, user_id: str) -> None:
        """Removes the account; whoever opens one with its address gets another id."""
        with errors_translated():
            self._addresses.delete_one({"userId": user_id})
            self._users.delete_one({"_id": user_id})

    def _find(self, query: Document) -> User | None:
        with errors_translated():
            found = self._users.find_one(query | {"removedAt": None})
        return from_document(User, found) if found else None


class TokenFamilies:
    """All tokens that come from one sign-in; only the newest refresh token of a family is good."""

    def __init__(self, database: Database[Document]) -> None:
        self._families = database["tokenfamilies"]

    def add(self, family_id: str, user_id: str, jti: str, expires_at: datetime) -> None:
        document = {"_id": family_id, "userId": user_id, "currentJti": jti, "expiresAt": expires_at}
        with errors_translated():
            self._families.insert_one(document)

    def rotate(self, family_id: str, *, old_jti: str, new_jti: str, now: datetime, life: timedelta) -> bool:
        """Puts a new refresh token in the place of the old; False when the old one is not the current."""
        current = {"_id": family_id, "currentJti": old_jti, "revokedAt": None}
        changes = {
            "currentJti": new_jti,
            "previousJti": old_jti,
            "rotatedAt": now,
            "expiresAt": now + life,
        }
        with errors_translated():
            changed = self._families.update_one(current, {"$set": changes})
        return changed.modified_count == 1

    def find_successor(self, family_id: str, previous_jti: str, since: datetime) -> str | None:
        """The refresh token that took the place of another one since a time."""
        spent = {
            "_id": family_id,
            "previousJti": previous_jti,
            "rotatedAt": {"$gte": since},
            "revokedAt": None,
        }
        with errors_translated():
            found = self._families.find_one(spent, {"currentJti": 1})
        return str(found["currentJti"]) if found else None

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
