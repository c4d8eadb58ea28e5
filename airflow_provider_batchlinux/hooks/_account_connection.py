"""From the fields of an Airflow connection to account settings; imports neither Airflow nor Azure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from airflow_provider_batchlinux.client.transport.account import EXAMPLE_URL, AccountSettings, AuthKind

_PREFIXES = ("", "extra__azure_batch_linux__", "extra__azure_batch__")
_PORT = re.compile(r":\d+$")
_USUAL_PORTS = {"https": 443, "http": 80}
_DEFAULT_ID_PREFIX = "af"
_DEFAULT_RETRY_BUDGET = 300.0


def require_extra(text: str | None, parsed: object) -> Mapping[str, Any]:
    """
    Return the extra of a connection.

    :param text: the extra as it is stored.
    :param parsed: the extra as Airflow has parsed it. An extra that is not JSON is empty there.
    :raises ValueError: if it is not a JSON object. The message does not repeat it: it may hold a secret.
    """
    try:
        found = json.loads(text) if text and text.strip() else parsed
    except ValueError:
        found = text
    if not isinstance(found, Mapping) or not isinstance(parsed, Mapping):
        kind = "not JSON" if found is text else f"JSON of another kind ({type(found).__name__})"
        msg = f'extra is {kind}; give a JSON object such as {{"account_url": "{EXAMPLE_URL}"}}.'
        raise ValueError(msg)  # noqa: TRY004  # as all that is wrong with a connection
    return parsed


def settings_of(
    *,
    login: str | None,
    password: str | None,
    host: str | None,
    port: int | None = None,
    extra: Mapping[str, Any],
) -> AccountSettings:
    """
    Read account settings from a connection of type ``azure_batch_linux`` or ``azure_batch``.

    :param login: the account's name; ``None`` takes it from a URL of Azure's own form.
    :param password: the account's key; ``None`` for an Entra identity.
    :param host: the account's URL or host, where the extra has no ``account_url``.
    :param port: the port of that host, unless its URL has one; ``None`` for that of its scheme.
    :param extra: the connection's extra. Names that the provider does not know are left alone.
    :raises ValueError: the settings cannot work; every problem is named, no secret is repeated.
    """
    endpoint = _text(extra, "account_url") or _url_of(host, port)
    budget, budget_problems = _retry_budget(extra)
    key = (password or "").strip() or None
    auth, auth_problems = _auth_kind(_text(extra, "auth"), key)
    settings = AccountSettings(
        endpoint=endpoint.rstrip("/"),
        account_name=(login or "").strip() or _name_in(endpoint),
        auth=auth,
        account_key=key,
        tenant_id=_text(extra, "tenant_id") or _text(extra, "workload_identity_tenant_id") or None,
        client_id=_text(extra, "client_id") or _text(extra, "managed_identity_client_id") or None,
        client_secret=_text(extra, "client_secret") or None,
        subscription_id=_text(extra, "subscription_id") or None,
        resource_group=_text(extra, "resource_group") or None,
        id_prefix=_text(extra, "id_prefix") or _DEFAULT_ID_PREFIX,
        retry_budget=budget,
        ca_file=_text(extra, "ca_file") or None,
        authority_host=_text(extra, "authority_host") or None,
        management_url=_text(extra, "management_url").rstrip("/") or None,
        # Anything but a clear no forbids it: a misspelt yes is not to open a pool.
        forbid_open_ssh=_text(extra, "forbid_open_ssh").lower() not in ("", "false", "no", "0"),
    )
    problems = [*auth_problems, *budget_problems, *settings.problems()]
    if problems:
        raise ValueError("\n".join(problems))
    return settings


def _text(extra: Mapping[str, Any], name: str) -> str:
    for prefix in _PREFIXES:
        value = extra.get(prefix + name)
        if value not in (None, ""):
            return str(value).strip()
    return ""


def _url_of(host: str | None, port: int | None) -> str:
    if not host:
        return ""
    url = (host.strip() if "://" in host else f"https://{host.strip()}").rstrip("/")
    # A port in the URL counts first: the Test button of Airflow 3.3.2 needs one in the field for it, too.
    has_port = _PORT.search(url) is not None
    is_usual = port == _USUAL_PORTS.get(url.partition(":")[0].lower())
    return url if not port or has_port or is_usual else f"{url}:{port}"


def _name_in(endpoint: str) -> str:
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:
        return ""
    return host.split(".")[0] if ".batch." in host else ""


def _retry_budget(extra: Mapping[str, Any]) -> tuple[float, list[str]]:
    text = _text(extra, "retry_budget")
    try:
        return (float(text) if text else _DEFAULT_RETRY_BUDGET), []
    except ValueError:
        return _DEFAULT_RETRY_BUDGET, [f"retry_budget={text!r} is not a number of seconds."]


def _auth_kind(named: str, key: str | None) -> tuple[AuthKind, list[str]]:
    inferred = AuthKind.SHARED_KEY if key else AuthKind.DEFAULT
    if not named:
        return inferred, []
    try:
        return AuthKind(named), []
    except ValueError:
        kinds = ", ".join(kind.value for kind in AuthKind)
        return inferred, [f"auth={named!r} is not one of {kinds}."]
