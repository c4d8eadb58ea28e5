"""The local Entra tenant: its applications and what each may do; does no I/O."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import Enum
from uuid import uuid4

from airflow_provider_batchlinux.emulator.identity.tokens import TokenIssuer
from airflow_provider_batchlinux.emulator.protocol.auth import is_secret


class Role(Enum):
    """What an application may do with the Batch account."""

    CONTRIBUTOR = "contributor"
    READER = "reader"


@dataclass(frozen=True)
class Application:
    """
    An identity: an application with a secret, which is a managed identity as well.

    :param secret: proves the application to the token endpoint.
    """

    client_id: str
    role: Role
    secret: str = field(repr=False)

    def has_secret(self, text: str) -> bool:
        """Tell whether a text is the secret, in the same time for each text."""
        return is_secret(text, self.secret)


@dataclass(frozen=True)
class Tenant:
    """
    A tenant with two applications, one for each role.

    :param identity_header: what a process proves with that it may ask for a managed identity.
    """

    id: str
    contributor: Application
    reader: Application
    identity_header: str = field(repr=False)

    def application(self, client_id: str | None) -> Application | None:
        """Return the application of an id; ``None`` if the tenant has none of it."""
        known = {application.client_id: application for application in (self.contributor, self.reader)}
        return known.get(client_id or "")


@dataclass(frozen=True)
class LocalTenant:
    """
    A tenant with the key that signs its tokens, at the place where it is served.

    :param authority: URL at which clients reach its token endpoint.
    """

    tenant: Tenant
    issuer: TokenIssuer
    authority: str


def make_tenant() -> Tenant:
    """Return a tenant whose ids and secrets are fresh."""
    return Tenant(
        id=str(uuid4()),
        contributor=_make_application(Role.CONTRIBUTOR),
        reader=_make_application(Role.READER),
        identity_header=secrets.token_urlsafe(32),
    )


def _make_application(role: Role) -> Application:
    return Application(str(uuid4()), role, secrets.token_urlsafe(32))
