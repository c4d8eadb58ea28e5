"""Tokens of the local tenant: which are taken, and why others are not."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from datetime import datetime, timedelta, timezone
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator.identity.tokens import (
    BATCH_AUDIENCES,
    InvalidTokenError,
    TokenIssuer,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
TENANT = "11111111-2222-3333-4444-555555555555"
ISSUER = TokenIssuer(TENANT)
OTHER = TokenIssuer(TENANT)
CLAIMS = {
    "aud": BATCH_AUDIENCES[0],
    "iss": ISSUER.issuer,
    "tid": TENANT,
    "appid": "app",
    "nbf": NOW.timestamp(),
    "exp": NOW.timestamp() + 3600,
}


@pytest.mark.parametrize("minutes", [-4, 0, 64])
def test_a_token_for_batch_tells_whose_it_is_for_an_hour(minutes: int) -> None:
    token = ISSUER.issue("app", BATCH_AUDIENCES[0], NOW)

    assert ISSUER.client_of(token, NOW + timedelta(minutes=minutes)) == "app"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(
            pytest.param({"aud": audience}, f"wrong audience or resource '{audience}'", id=audience)
            for audience in (
                "https://management.azure.com/",
                "https://batch.core.windows.net",
                "https://batch.core.windows.net//",
            )
        ),
        pytest.param({"iss": "https://sts.windows.net/other/"}, "another tenant", id="another issuer"),
        pytest.param({"tid": "other"}, "another tenant", id="another tenant"),
        pytest.param({"exp": NOW.timestamp() - 301}, "has expired", id="expired"),
        pytest.param({"nbf": NOW.timestamp() + 301}, "not valid yet", id="too early"),
        pytest.param({"exp": "soon"}, "not a signed JWT", id="a time that is none"),
        *(pytest.param({name: None}, "not a signed JWT", id=f"without {name}") for name in CLAIMS),
    ],
)
def test_a_token_that_claims_something_else_is_refused(changes: dict[str, Any], reason: str) -> None:
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    assert ISSUER.client_of(ISSUER.sign(CLAIMS), NOW) == "app"

    with pytest.raises(InvalidTokenError, match=reason):
        ISSUER.client_of(ISSUER.sign(claims), NOW)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(OTHER.sign(CLAIMS), id="of another key"),
        pytest.param(jwt.encode(CLAIMS, "", algorithm="none"), id="without a signature"),
        pytest.param(jwt.encode(CLAIMS, "a secret that is long enough to be one", "HS256"), id="of a secret"),
    ],
)
def test_a_token_that_the_tenant_did_not_sign_is_refused(token: str) -> None:
    with pytest.raises(InvalidTokenError, match="sign"):
        ISSUER.client_of(token, NOW)


@given(st.text() | st.from_regex(r"[\w-]+\.[\w-]+\.[\w-]*", fullmatch=True))
def test_a_text_that_is_no_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        ISSUER.client_of(text, NOW)

    assert str(refused.value) == "The token is not a signed JWT with the claims that are needed."
    assert not ISSUER.is_assertion(text)


@given(st.data())
def test_a_token_with_one_other_letter_is_refused(data: st.DataObject) -> None:
    token = ISSUER.sign(CLAIMS)
    # The last letter of a signature of 256 bytes holds bits that say nothing.
    place = data.draw(st.integers(0, len(token) - 2))
    letter = data.draw(st.sampled_from("ABYZabyz0189-_").filter(lambda other: other != token[place]))

    with pytest.raises(InvalidTokenError):
        ISSUER.client_of(token[:place] + letter + token[place + 1 :], NOW)


def test_the_public_key_checks_what_the_tenant_signs() -> None:
    [key] = jwt.PyJWKSet.from_dict(ISSUER.public_keys()).keys
    token = ISSUER.issue("app", BATCH_AUDIENCES[0], NOW)
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}

    assert jwt.get_unverified_header(token)["kid"] == key.key_id
    assert jwt.decode(token, key, ["RS256"], options, audience=BATCH_AUDIENCES[0])["appid"] == "app"


@pytest.mark.parametrize("changed", ["iss", "sub", "aud"])
def test_a_federated_token_names_the_cluster_a_worker_and_entra(changed: str) -> None:
    claims = jwt.decode(ISSUER.issue_assertion(), options={"verify_signature": False})

    assert ISSUER.is_assertion(ISSUER.sign(claims))
    assert not ISSUER.is_assertion(ISSUER.sign({**claims, changed: ""}))
    assert not ISSUER.is_assertion(ISSUER.sign({name: claims[name] for name in claims if name != changed}))


def test_a_federated_token_that_another_signed_is_refused() -> None:
    assert not ISSUER.is_assertion(OTHER.issue_assertion())


@pytest.mark.parametrize("part", [0, 1])
def test_a_deeply_nested_token_is_refused(part: int) -> None:
    parts = ISSUER.sign(CLAIMS).split(".")
    parts[part] = urlsafe_b64encode(b"[" * 5000).decode().rstrip("=")

    with pytest.raises(InvalidTokenError):
        ISSUER.client_of(".".join(parts), NOW)
    assert not ISSUER.is_assertion(".".join(parts))
