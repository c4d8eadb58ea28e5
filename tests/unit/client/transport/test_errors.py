"""How refusals of the service become this provider's errors: decided by code, in a sentence."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Literal

import pytest

from airflow_provider_batchlinux import exceptions
from airflow_provider_batchlinux.client.transport.account import AccountSettings, AuthKind
from airflow_provider_batchlinux.client.transport.errors import retry_after, translated
from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.emulator import RunningEmulator
from tests.unit.client.sessions import run


@pytest.fixture
def settings(batch_emulator: RunningEmulator) -> AccountSettings:
    return AccountSettings(
        batch_emulator.endpoint,
        batch_emulator.account,
        AuthKind.SHARED_KEY,
        account_key=batch_emulator.key,
        retry_budget=0.0,
    )


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        pytest.param("AuthenticationFailed", 403, "BatchAuthenticationError", id="authentication-403"),
        pytest.param("AuthenticationFailed", 401, "BatchAuthenticationError", id="authentication-401"),
        pytest.param("Forbidden", 403, "BatchAuthenticationError", id="forbidden"),
        pytest.param("PoolExists", 409, "BatchConflictError", id="exists"),
        pytest.param("PoolBeingDeleted", 409, "BatchConflictError", id="being-deleted"),
        pytest.param("PoolQuotaReached", 409, "BatchQuotaError", id="quota"),
        pytest.param("PoolBeingResized", 409, "BatchRequestError", id="other-conflict"),
        pytest.param("InvalidPropertyValue", 400, "BatchRequestError", id="bad-request"),
        pytest.param("TooManyRequests", 429, "BatchUnreachableError", id="throttled"),
        pytest.param("InternalError", 500, "BatchUnreachableError", id="broken"),
        pytest.param("NotImplemented", 501, "BatchRequestError", id="not-implemented"),
    ],
)
def test_an_error_is_told_apart_by_its_code(
    batch_emulator: RunningEmulator, settings: AccountSettings, code: str, status: int, kind: str
) -> None:
    batch_emulator.control.inject(status=status, code=code)

    with pytest.raises(exceptions.BatchLinuxError) as caught:
        run(settings, lambda client: client.list_nodes("p"))

    assert type(caught.value).__name__ == kind
    assert "Could not list nodes of pool 'p'" in str(caught.value)
    assert f"({code}, HTTP {status}, request " in str(caught.value)


def test_a_refusal_keeps_code_status_and_request_id(settings: AccountSettings) -> None:
    with pytest.raises(exceptions.BatchRequestError) as caught:
        run(settings, lambda client: client.list_nodes("nowhere"))

    assert (caught.value.code, caught.value.status) == ("PoolNotFound", 404)
    assert caught.value.request_id
    assert caught.value.request_id in str(caught.value)


def test_the_service_s_details_stand_in_the_message(settings: AccountSettings) -> None:
    body = {"id": "p", "vmSize": "standard_d2s_v5", "colour": "blue"}

    with pytest.raises(exceptions.BatchRequestError, match="colour"):
        run(settings, lambda client: client.create_pool(body))


def test_a_service_that_is_not_there_is_said_to_be_unreachable(settings: AccountSettings) -> None:
    nowhere = AccountSettings(
        "http://127.0.0.1:1", "a", AuthKind.SHARED_KEY, account_key="a2V5", retry_budget=0.0
    )

    with pytest.raises(exceptions.BatchUnreachableError, match="no answer from the service"):
        run(nowhere, lambda client: client.check())


@pytest.mark.parametrize("drop", ["before", "after"])
def test_a_lost_connection_is_tried_again(
    batch_emulator: RunningEmulator, settings: AccountSettings, drop: Literal["before", "after"]
) -> None:
    batch_emulator.control.inject(path="/supportedimages", drop=drop)

    assert run(settings, lambda client: client.list_images(), RetryPolicy(first_wait=0.0))
    assert [request["status"] for request in batch_emulator.control.requests()] == [0, 200]


class _Response:
    status_code = 429
    reason = "Too Many Requests"

    def __init__(self, **headers: str) -> None:
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def _error(response: _Response) -> Exception:
    from azure.core.exceptions import HttpResponseError

    return HttpResponseError(message="no", response=response)  # type: ignore[arg-type]


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    in_a_minute = format_datetime(datetime.now(timezone.utc) + timedelta(minutes=1), usegmt=True)

    assert retry_after(_error(_Response(Retry_After="7"))) == 7.0
    assert retry_after(_error(_Response(Retry_After=in_a_minute))) == pytest.approx(60, abs=5)
    assert retry_after(_error(_Response(Retry_After="soon"))) is None
    assert retry_after(_error(_Response())) is None


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        pytest.param(40, "clock is 40 minutes behind the service's", id="behind"),
        pytest.param(-40, "clock is 40 minutes ahead of the service's", id="ahead"),
        pytest.param(5, "Check the account name and key", id="near-enough"),
    ],
)
def test_a_wrong_clock_is_told_by_the_service_s_date(minutes: int, said: str) -> None:
    response = _Response(
        Date=format_datetime(datetime.now(timezone.utc) + timedelta(minutes=minutes), usegmt=True)
    )
    response.status_code = 401

    error = translated(_error(response), "list pools")  # type: ignore[arg-type]

    assert isinstance(error, exceptions.BatchAuthenticationError)
    assert said in str(error)
