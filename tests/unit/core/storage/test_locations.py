"""Places in Azure Storage in all forms in which Dags write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from airflow.sdk import Asset, ObjectStoragePath
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_batchlinux.core.secrets import without_signatures
from airflow_provider_batchlinux.core.snapshots import ServiceError
from airflow_provider_batchlinux.core.storage.failures import account_remedy, explained_failure
from airflow_provider_batchlinux.core.storage.grants import require_valid_sas, sas_lifetime
from airflow_provider_batchlinux.core.storage.locations import location_text, parse_location

ACCOUNT = "https://fabrikam.blob.core.windows.net"
OTHER = "https://contoso.blob.core.windows.net"
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("given_url", "url", "is_prefix"),
    [
        ("abfs://raw/a/b.csv", f"{ACCOUNT}/raw/a/b.csv", False),
        ("ABFSS://raw/a/b.csv", f"{ACCOUNT}/raw/a/b.csv", False),
        ("wasbs://raw@contoso.blob.core.windows.net/b.csv", f"{OTHER}/raw/b.csv", False),
        ("abfs://raw@contoso.dfs.core.windows.net/b.csv", f"{OTHER}/raw/b.csv", False),
        ("abfs://my_conn@raw/b.csv", f"{ACCOUNT}/raw/b.csv", False),
        ("https://contoso.blob.core.windows.net/raw/a%20b.csv", f"{OTHER}/raw/a%20b.csv", False),
        ("https://contoso.dfs.core.windows.net/raw/b.csv", f"{OTHER}/raw/b.csv", False),
        (f"{OTHER}/raw/b.csv?sv=1&sig=x%3D", f"{OTHER}/raw/b.csv?sv=1&sig=x%3D", False),
        (
            "https://contoso.z01.blob.storage.azure.net/raw/b",
            "https://contoso.z01.blob.storage.azure.net/raw/b",
            False,
        ),
        ("http://127.0.0.1:10000/devstore/raw/b.csv", "http://127.0.0.1:10000/devstore/raw/b.csv", False),
        ("https://example.com/files/b.csv?v=2", "https://example.com/files/b.csv?v=2", False),
        (f"{OTHER}/raw/a%23b%2525c%3F.csv", f"{OTHER}/raw/a%23b%2525c%3F.csv", False),
        ("abfs://raw@contoso.dfs.core.windows.net/a#b%25c", f"{OTHER}/raw/a%23b%2525c", False),
        ("abfs://raw/a b/ü#1.csv", f"{ACCOUNT}/raw/a%20b/%C3%BC%231.csv", False),
        ("abfs://raw", f"{ACCOUNT}/raw/", True),
        ("abfs://raw/2026/", f"{ACCOUNT}/raw/2026/", True),
        ("abfs://raw/2026/part-*", f"{ACCOUNT}/raw/2026/part-", True),
        (ObjectStoragePath("abfs://my_conn@raw/b.csv"), f"{ACCOUNT}/raw/b.csv", False),
        (Asset("abfs://raw/b.csv"), f"{ACCOUNT}/raw/b.csv", False),
    ],
)
def test_a_place_leads_to_one_url(given_url: object, url: str, is_prefix: bool) -> None:
    location = parse_location(location_text(given_url) or "")

    assert (location.url(ACCOUNT), location.is_prefix) == (url, is_prefix)
    if location.web_url is None and not location.token:
        assert parse_location(str(location)).url(ACCOUNT) == url, "It is found again from a job's metadata."


def test_an_object_path_names_its_connection() -> None:
    assert parse_location("abfs://my_conn@raw/b.csv").conn_id == "my_conn"
    assert parse_location("abfs://raw/b.csv").conn_id is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("b.csv", "'b.csv' is not a URL of a blob"),
        ("s3://raw/b.csv", "'s3://raw/b.csv' is not a URL of a blob"),
        ("abfs:///b.csv", "names no container"),
        ("abfs://R/b.csv", "names no container"),
        ("abfs://raw--data/b.csv", "names no container"),
        ("abfs://raw/*/b.csv", "has a wildcard inside"),
        ("http://contoso.blob.core.windows.net/raw/b.csv", "is not encrypted: use https."),
        (f"{OTHER}/raw/b.csv?snapshot=s3cret", "has a query that is not a SAS"),
        (f"{OTHER}/raw/b#1.csv", f"'{OTHER}/raw/b' is followed by '#': write %23"),
        (f"{OTHER}/raw/b#?sig=s3cret", "is followed by '#'"),
        ("https://user:s3cret@example.com/b.csv", "has a user name, or no host"),
        ("ftp://user:s3cret@example.com/b.csv", "'ftp://:***@example.com/b.csv' is not a URL of a blob"),
    ],
)
def test_what_is_no_place_is_refused_without_its_query(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as raised:
        parse_location(url)

    assert "s3cret" not in str(raised.value)


@settings(max_examples=50)
@given(st.text(max_size=40))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    for prefix in ("", "abfs://", "abfs://raw/", "https://", f"{OTHER}/raw/"):
        try:
            location = parse_location(prefix + text)
        except ValueError:
            continue
        assert location.url(ACCOUNT).startswith(("https://", "http://"))


@pytest.mark.parametrize(
    ("limits", "hours"),
    [
        ((3600, 7200, 0), 4),
        ((3600, 7200, 2), 8),
        ((None, 3600, 0), 26),
        ((None, None, 0), 7 * 24 - 1),
        ((3600, 7200, -1), 6 * 24),
    ],
)
def test_a_sas_lives_to_the_last_possible_end(
    limits: tuple[float | None, float | None, int], hours: float
) -> None:
    assert sas_lifetime(*limits) == timedelta(hours=hours)


def test_a_sas_that_ends_early_is_refused_or_warned_of() -> None:
    until = NOW + timedelta(hours=2)

    assert require_valid_sas("raw", "se=2026-01-01T03%3A00%3A00Z&sig=x", NOW, until) is None
    assert require_valid_sas("raw", "si=policy&sig=x", NOW, until) is None
    assert require_valid_sas("raw", "se=2026-01-01T03:00Z&sig=x", NOW, until) is None
    assert "expires at 2026-01-01T01:00" in str(
        require_valid_sas("raw", "se=2026-01-01T01:00:00Z", NOW, until)
    )
    with pytest.raises(ValueError, match="The SAS of raw expired at 2025-12-31"):
        require_valid_sas("raw", "?se=2025-12-31", NOW, until)


def test_a_failure_says_what_it_means_without_a_signature() -> None:
    details = [{"name": "BlobSource", "value": f"{OTHER}/raw/b?sv=1&sig=s3cret&se=2"}]
    failure = ServiceError.from_rest(
        {"code": "BlobAccessDenied", "message": "Denied: ?sig=s3cret", "details": details}
    )

    text = explained_failure(failure)

    assert f"{OTHER}/raw/b?sv=1&sig=***&se=2" in text
    assert "s3cret" not in text
    assert "Storage refused the download of an input: the SAS has expired" in text
    assert explained_failure(ServiceError("Other", "What it says")) == "Other: What it says"
    assert (account_remedy("ContainerNotFound"), account_remedy(None)) == ("Create the container first.", "")
    assert without_signatures("a sig=b&c 'sig=d' unsig=e") == "a sig=***&c 'sig=***' unsig=e"
