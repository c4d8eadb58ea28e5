"""The local Entra and the endpoints of managed identities, over loopback as clients call them."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt
import pytest

from airflow_provider_batchlinux.emulator import IdentityFacts, RunningEmulator

BATCH = "https://batch.core.windows.net/"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Client:
    """Calls the identity endpoints of one emulator."""

    def __init__(self, emulator: RunningEmulator) -> None:
        assert emulator.identity is not None
        self.facts: IdentityFacts = emulator.identity
        self._context = ssl.create_default_context(cafile=emulator.ca)

    def send(self, method: str, url: str, *, form: Any = None, headers: Any = None) -> tuple[int, Any]:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        connection = (
            HTTPSConnection(parts.netloc, timeout=10, context=self._context)
            if secure
            else HTTPConnection(parts.netloc, timeout=10)
        )
        content_type = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        try:
            target = f"{parts.path}?{parts.query}"
            connection.request(method, target, urlencode(form or {}), {**content_type, **(headers or {})})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def token(self, tenant: str | None = None, **changes: str | None) -> tuple[int, Any]:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.facts.client_id,
            "client_secret": self.facts.client_secret,
            "scope": f"{BATCH}/.default",
            **changes,
        }
        given = {name: value for name, value in form.items() if value is not None}
        url = f"{self.facts.authority}/{tenant or self.facts.tenant_id}/oauth2/v2.0/token"
        return self.send("POST", url, form=given)


@pytest.fixture
def client(secure_emulator: RunningEmulator) -> Client:
    return Client(secure_emulator)


def test_the_configuration_leads_to_the_keys_that_check_a_token(client: Client) -> None:
    base = f"{client.facts.authority}/{client.facts.tenant_id}"
    _, configuration = client.send("GET", f"{base}/v2.0/.well-known/openid-configuration")
    _, keys = client.send("GET", configuration["jwks_uri"])
    _, answer = client.token()

    assert configuration["token_endpoint"] == f"{base}/oauth2/v2.0/token"
    key = jwt.PyJWKSet.from_dict(keys)["1"]
    claims = jwt.decode(answer["access_token"], key, ["RS256"], audience=BATCH)
    assert (claims["tid"], claims["appid"]) == (client.facts.tenant_id, client.facts.client_id)
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3600)


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        pytest.param({"tenant": "other"}, 400, "invalid_request", 90002, id="an unknown tenant"),
        pytest.param({"grant_type": None}, 400, "invalid_request", 900144, id="no grant"),
        pytest.param({"grant_type": "password"}, 400, "unsupported_grant_type", 70003, id="another grant"),
        pytest.param({"client_id": "x"}, 400, "unauthorized_client", 700016, id="an unknown application"),
        pytest.param({"client_id": None}, 400, "unauthorized_client", 700016, id="no application"),
        pytest.param({"client_secret": "wr0ng"}, 401, "invalid_client", 7000215, id="a wrong secret"),
        pytest.param({"client_secret": ""}, 401, "invalid_client", 7000215, id="an empty secret"),
        pytest.param({"client_secret": "ß"}, 401, "invalid_client", 7000215, id="a secret beyond ASCII"),
        pytest.param({"client_secret": None}, 401, "invalid_client", 7000218, id="no secret"),
        pytest.param({"client_assertion": "x"}, 401, "invalid_client", 50027, id="an assertion of no type"),
        pytest.param(
            {"client_assertion": "x", "client_assertion_type": ASSERTION_TYPE},
            401,
            "invalid_client",
            50027,
            id="an assertion that is no JWT",
        ),
        pytest.param({"scope": None}, 400, "invalid_scope", 70011, id="no scope"),
        pytest.param({"scope": BATCH}, 400, "invalid_scope", 70011, id="a scope that is not the default"),
        pytest.param(
            {"scope": "https://example.org/.default"}, 400, "invalid_resource", 500011, id="a resource"
        ),
    ],
)
def test_a_refusal_carries_entras_number_and_no_secret(
    changes: dict[str, Any], status: int, error: str, number: int, client: Client
) -> None:
    answered, body = client.token(**changes)

    assert (answered, body["error"], body["error_codes"]) == (status, error, [number])
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert client.facts.client_secret not in str(body)
    assert "wr0ng" not in str(body)


def test_the_configuration_of_an_unknown_tenant_is_refused(client: Client) -> None:
    status, body = client.send("GET", f"{client.facts.authority}/x/v2.0/.well-known/openid-configuration")

    assert (status, body["error_codes"]) == (400, [90002])


@pytest.mark.parametrize(
    ("query", "header", "status"),
    [
        pytest.param({"resource": BATCH}, True, 200, id="the host's own"),
        pytest.param({"resource": BATCH}, False, 401, id="without the header"),
        pytest.param({"resource": BATCH, "client_id": "x"}, True, 400, id="an unknown identity"),
        pytest.param({"resource": "https://example.org"}, True, 400, id="an unknown resource"),
        pytest.param({}, True, 400, id="no resource"),
    ],
)
def test_a_host_gives_its_processes_tokens(
    query: dict[str, str], header: bool, status: int, client: Client
) -> None:
    facts = client.facts
    metadata = f"{facts.metadata_host}/metadata/identity/oauth2/token"
    of_the_host = {"X-IDENTITY-HEADER": facts.identity_header} if header else {}
    of_the_machine = {"Metadata": "true"} if header else {}

    by_host = client.send("GET", f"{facts.identity_endpoint}?{urlencode(query)}", headers=of_the_host)
    by_machine = client.send("GET", f"{metadata}?{urlencode(query)}", headers=of_the_machine)

    assert (by_host[0], by_machine[0]) == (status, status if header else 400)
    assert facts.identity_header not in str(by_host)
    if status == 200:
        assert {body["resource"] for _, body in (by_host, by_machine)} == {BATCH}
        assert all(body["expires_on"].isdecimal() for _, body in (by_host, by_machine))
