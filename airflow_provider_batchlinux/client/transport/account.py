"""The address of a Batch account, and the identity to authenticate with."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit


class AuthKind(str, Enum):
    """The ways to authenticate."""

    SHARED_KEY = "shared_key"
    DEFAULT = "default"
    CLIENT_SECRET = "client_secret"
    MANAGED_IDENTITY = "managed_identity"
    WORKLOAD_IDENTITY = "workload_identity"


@dataclass(frozen=True)
class AccountSettings:
    """
    The address of an account, and the identity of the caller.

    :param endpoint: the account's URL, such as ``https://name.region.batch.azure.com``.
    :param account_name: the account's name; needed with a shared key.
    :param auth: how to authenticate.
    :param account_key: the shared key in base64.
    :param tenant_id: the Entra tenant, if the identity needs one.
    :param client_id: the application or managed identity, if the authentication needs one.
    :param client_secret: the application's secret.
    :param subscription_id: the account's subscription, for links to the portal and the management plane.
    :param resource_group: the account's resource group, for the same.
    :param id_prefix: the prefix of the ids of pools and jobs that tasks create.
    :param retry_budget: the seconds for which a request is retried while the service is unavailable.
    :param ca_file: a file of CA certificates (PEM) to trust for the service and the token endpoint, for a
        proxy or a private cloud; ``None`` trusts those of the system.
    :param authority_host: the host of the token endpoint, if it is neither that of the public cloud nor in
        ``AZURE_AUTHORITY_HOST``. It is trusted without instance discovery.
    :param management_url: the URL of the management plane, if it is not that of the public cloud.
    :param forbid_open_ssh: whether pools whose SSH is open to the whole Internet are refused.
    """

    endpoint: str
    account_name: str
    auth: AuthKind
    account_key: str | None = field(default=None, repr=False)
    tenant_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    subscription_id: str | None = None
    resource_group: str | None = None
    id_prefix: str = "af"
    retry_budget: float = 300.0
    ca_file: str | None = None
    authority_host: str | None = None
    management_url: str | None = None
    forbid_open_ssh: bool = False

    @property
    def region(self) -> str | None:
        """The region in the account's URL; ``None`` if the URL does not contain one."""
        named = _REGION.match(urlsplit(self.endpoint).hostname or "")
        return named.group(1) if named else None

    @property
    def token_scope(self) -> str:
        """The scope of the tokens for the account: the audience of its cloud, and ``/.default``."""
        host = (urlsplit(self.endpoint).hostname or "").rstrip(".")
        cloud = next((audience for suffix, audience in _AUDIENCES.items() if host.endswith(suffix)), None)
        return f"{cloud or _PUBLIC_AUDIENCE}/.default"

    def problems(self) -> list[str]:
        """List everything that is missing or invalid, without secrets."""
        found = _endpoint_problems(self.endpoint)
        if self.auth is not AuthKind.SHARED_KEY and self.endpoint.lower().startswith("http://"):
            found.append(f"auth={self.auth.value!r} needs an account_url of https: no token goes over http.")
        for name, (shape, noun, example) in _ADDRESSES.items():
            given = getattr(self, name) or ""
            if "@" in given:
                found.append(f"{name} holds a user name or password; give the {noun} alone.")
            elif given and not shape.fullmatch(given):
                found.append(f"{name}={given!r} is not {example}.")
        needs = _NEEDED.get(self.auth, ())
        found += [f"auth={self.auth.value!r} needs {name}." for name in needs if not getattr(self, name)]
        key = self.account_key if self.auth is AuthKind.SHARED_KEY else None
        try:
            base64.b64decode(key or "", validate=True)
        except ValueError:
            found.append("The account key is not base64; copy one of the two access keys whole.")
        if not _ACCOUNT_NAME.fullmatch(self.account_name):
            found.append(
                f"login={self.account_name!r} is not the name of a Batch account: letters and digits."
            )
        if not _ID_PREFIX.fullmatch(self.id_prefix):
            found.append(f"id_prefix={self.id_prefix!r} is not 1 to 16 letters, digits, '-' or '_'.")
        if not self.retry_budget >= 0:
            found.append(f"retry_budget={self.retry_budget!r} is not a number of seconds from 0 up.")
        return found

    def management_gaps(self) -> list[str]:
        """List what the connection lacks to reach the account's management plane."""
        named = {name: getattr(self, name) for name in ("account_name", "subscription_id", "resource_group")}
        gaps = [name for name, value in named.items() if not value]
        return gaps if self.auth is not AuthKind.SHARED_KEY else ["an Entra identity (auth)", *gaps]


EXAMPLE_URL = "https://name.region.batch.azure.com"

_ADDRESS = re.compile(
    r"https?://(?:\[[0-9a-f:.]+\]|[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?)(?::(?P<port>[0-9]{1,9}))?",
    re.IGNORECASE | re.ASCII,
)
_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9_-]*")
_ID_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,16}")
_REGION = re.compile(r"[^.]+\.([a-z0-9]+)\.batch\.")
_HTTPS = r"[A-Za-z0-9._-]+(:[0-9]{1,5})?/?"
_ADDRESSES = {
    "authority_host": (
        re.compile(f"(https://)?{_HTTPS}"),
        "host",
        "a host such as login.microsoftonline.us, reached by https",
    ),
    "management_url": (
        re.compile(f"https://{_HTTPS}"),
        "address",
        "a URL such as https://management.usgovcloudapi.net",
    ),
}
"""The addresses of other clouds: their form, what they are, and an example for messages."""

# Source: batchResourceId of Azure's environments, as the Azure CLI has them. The slash at the end belongs to
# the audience, so a scope has two.
_PUBLIC_AUDIENCE = "https://batch.core.windows.net/"
_AUDIENCES = {
    ".batch.chinacloudapi.cn": "https://batch.chinacloudapi.cn/",
    ".batch.usgovcloudapi.net": "https://batch.core.usgovcloudapi.net/",
}

_NEEDED = {
    AuthKind.SHARED_KEY: ("account_name", "account_key"),
    AuthKind.CLIENT_SECRET: ("tenant_id", "client_id", "client_secret"),
}


def _endpoint_problems(endpoint: str) -> list[str]:
    if "@" in endpoint:
        return ["account_url holds a user name or password; give the address alone."]
    # More than the address would be lost or sent with every request; it is not repeated, as it may be a SAS.
    address = _ADDRESS.match(endpoint)
    if address is not None and endpoint[address.end() :].startswith(("/", "?", "#")):
        rest = endpoint[address.end() :]
        return [] if rest == "/" else [f"account_url has more than the address: use {address.group()}."]
    is_whole = address is not None and address.end() == len(endpoint)
    if address is None or not is_whole or not 0 < int(address["port"] or 443) <= 65_535:
        shown = re.split("[?#]", endpoint)[0]
        return [f"account_url={shown!r} is not a URL such as {EXAMPLE_URL}."]
    return []
