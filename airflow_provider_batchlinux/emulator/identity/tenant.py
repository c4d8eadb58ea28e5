"""The local Entra tenant: its applications and their roles."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from uuid import uuid4

from airflow_provider_batchlinux.emulator.identity.tokens import TokenIssuer
from airflow_provider_batchlinux.emulator.protocol.auth import is_secret


class Role(Enum):
    """The role of an application in the Batch account."""

    CONTRIBUTOR = "contributor"
    READER = "reader"


@dataclass(frozen=True)
class Application:
    """
    An identity: an application with a secret, which is also a managed identity.

    :param secret: authenticates the application at the token endpoint.
    """

    client_id: str
    role: Role
    secret: str = field(repr=False)

    def has_secret(self, text: str) -> bool:
        """Return whether a text is the secret, in constant time."""
        return is_secret(text, self.secret)


@dataclass(frozen=True)
class Tenant:
    """
    A tenant with two applications, one for each role.

    :param identity_header: the secret with which a process may use the managed identity.
    """

    id: str
    contributor: Application
    reader: Application
    identity_header: str = field(repr=False)

    def application(self, client_id: str | None) -> Application | None:
        """Return the application with an id; ``None`` if the tenant has none."""
        known = {application.client_id: application for application in (self.contributor, self.reader)}
        return known.get(client_id or "")


@dataclass(frozen=True)
class LocalTenant:
    """
    A tenant with the key that signs its tokens, and its URL.

    :param authority: the URL of its token endpoint for clients.
    """

    tenant: Tenant
    issuer: TokenIssuer
    authority: str


def make_tenant() -> Tenant:
    """Return a tenant with new ids and secrets."""
    return Tenant(
        id=str(uuid4()),
        contributor=_make_application(Role.CONTRIBUTOR),
        reader=_make_application(Role.READER),
        identity_header=secrets.token_urlsafe(32),
    )


def _make_application(role: Role) -> Application:
    return Application(str(uuid4()), role, secrets.token_urlsafe(32))
