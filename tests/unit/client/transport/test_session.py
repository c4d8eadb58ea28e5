"""Opening the SDK's client, where there is a proxy between it and the service."""

from __future__ import annotations

import pytest

from airflow_provider_batchlinux.exceptions import BatchUnreachableError

NO_SERVER = "http://127.0.0.1:1"


def test_a_proxy_of_the_environment_is_asked(account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", NO_SERVER)

    with pytest.raises(BatchUnreachableError):
        account.hook.find_pool("etl")


def test_a_proxy_is_left_alone_where_the_environment_says_so(
    account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", NO_SERVER)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    assert account.hook.find_pool("etl") is None
