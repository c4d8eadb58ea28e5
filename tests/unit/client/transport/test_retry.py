"""Trying a request again: the real SDK, an answer from a script, and a clock that only the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from azure.batch.aio import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError, ServiceRequestError, ServiceResponseError
from azure.core.pipeline.transport import AsyncHttpResponse, AsyncHttpTransport, HttpRequest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.client.transport.retry import RetryPolicy
from airflow_provider_batchlinux.exceptions import (
    BatchAuthenticationError,
    BatchConflictError,
    BatchLinuxError,
    BatchRequestError,
    BatchUnreachableError,
)

KEY = "c2VjcmV0LWtleQ=="


class Answer(AsyncHttpResponse):
    """An answer of the service: a status, and a body with the service's error code."""

    def __init__(self, status: int, code: str = "Odd", retry_after: object = None) -> None:
        super().__init__(HttpRequest("GET", "/pools/etl"), None)
        self.status_code = status
        self.reason = "scripted"
        self.content_type = "application/json"
        self.headers = {"content-type": "application/json", "request-id": "3f2a"}
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        error = {"code": code, "message": {"lang": "en-us", "value": f"The service says {code}."}}
        self.content = json.dumps({"id": "etl"} if status == 200 else error).encode()

    def body(self) -> bytes:
        return self.content

    async def read(self) -> bytes:
        return self.content

    async def load_body(self) -> None:
        pass

    def json(self) -> Any:
        return json.loads(self.content)


class Script(AsyncHttpTransport[Any, Any]):
    """A service that answers from a list, the last answer for ever."""

    def __init__(self, *answers: Answer | AzureError) -> None:
        self.answers = answers
        self.requests: list[Any] = []

    async def send(self, request: Any, **_options: Any) -> Answer:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, AzureError):
            raise answer
        return answer

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def __aexit__(self, *details: object) -> None:
        pass


class Clock:
    """A clock that moves by what was slept."""

    def __init__(self) -> None:
        self.now = 50.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


class Trial:
    """One request to a scripted service, and what came of it."""

    def __init__(self, *answers: Answer | AzureError, **policy: Any) -> None:
        self.service = Script(*answers)
        self.clock = Clock()
        self.policy = RetryPolicy(**policy, sleep=self.clock.sleep, clock=self.clock)

    @property
    def tries(self) -> int:
        return len(self.service.requests)

    def get(self) -> Mapping[str, Any]:
        return asyncio.run(self._run(lambda client: client.get_pool("etl")))

    def post(self) -> None:
        asyncio.run(self._run(lambda client: client.create_pool({"id": "etl"})))

    def refused(self) -> BatchLinuxError:
        with pytest.raises(BatchLinuxError) as refused:
            self.get()
        return refused.value

    async def _run(self, call: Any) -> Any:
        credential = AzureNamedKeyCredential("etl", KEY)
        client = BatchClient("https://etl.example.org", credential, transport=self.service, retry_total=0)
        async with client:
            return await self.policy.run("get pool 'etl'", lambda: call(client))


def busy(status: int = 503, **more: Any) -> Answer:
    return Answer(status, "ServerBusy", **more)


PASSING = [
    pytest.param(busy(408), id="408"),
    pytest.param(busy(429), id="429"),
    pytest.param(busy(500), id="500"),
    pytest.param(busy(502), id="502"),
    pytest.param(busy(503), id="503"),
    pytest.param(busy(504), id="504"),
    pytest.param(ServiceRequestError("no route to host"), id="no connection"),
    pytest.param(ServiceResponseError("the server hung up"), id="no answer"),
]


def test_an_answer_is_returned_without_a_wait() -> None:
    trial = Trial(Answer(200))

    assert trial.get()["id"] == "etl"
    assert (trial.tries, trial.clock.naps) == (1, [])


@pytest.mark.parametrize("answer", PASSING)
def test_what_passes_is_tried_again(answer: Answer | AzureError) -> None:
    trial = Trial(answer, answer, Answer(200))

    assert trial.get()["id"] == "etl"
    assert trial.tries == 3


@pytest.mark.parametrize("status", [pytest.param(429, id="throttled"), pytest.param(500, id="broken")])
def test_a_request_that_creates_is_tried_again_too(status: int) -> None:
    trial = Trial(busy(status), Answer(201))
    trial.post()

    assert trial.tries == 2


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Answer(400, "InvalidPropertyValue"), BatchRequestError, id="400"),
        pytest.param(Answer(401, "AuthenticationFailed"), BatchAuthenticationError, id="401"),
        pytest.param(Answer(403, "Forbidden"), BatchAuthenticationError, id="403"),
        pytest.param(Answer(404, "PoolNotFound"), BatchRequestError, id="404"),
        pytest.param(Answer(409, "PoolBeingDeleted"), BatchConflictError, id="409"),
        pytest.param(Answer(412, "ConditionNotMet"), BatchRequestError, id="412"),
        pytest.param(Answer(501, "NotImplemented"), BatchRequestError, id="501"),
        pytest.param(Answer(505, "HttpVersionNotSupported"), BatchRequestError, id="505"),
    ],
)
def test_what_waiting_does_not_cure_is_raised_at_once(answer: Answer, kind: type[BatchLinuxError]) -> None:
    trial = Trial(answer)
    error = trial.refused()

    assert type(error) is kind
    assert (trial.tries, trial.clock.naps) == (1, [])


@pytest.mark.parametrize("answer", PASSING)
def test_a_service_that_stays_away_is_given_up_within_the_budget(answer: Answer | AzureError) -> None:
    trial = Trial(answer, budget=300.0)
    error = trial.refused()

    assert type(error) is BatchUnreachableError
    assert str(error).startswith("Could not get pool 'etl': ")
    assert 300 - 1.25 * 30 <= sum(trial.clock.naps) <= 300


def test_the_error_says_how_long_it_was_tried() -> None:
    trial = Trial(ServiceRequestError("no route to host"), budget=300.0)
    error = trial.refused()

    assert f"no answer from the service for {sum(trial.clock.naps):.0f} s (no route to host)" in str(error)


def test_without_a_budget_there_is_one_try() -> None:
    trial = Trial(busy(), budget=0.0)
    trial.refused()

    assert (trial.tries, trial.clock.naps) == (1, [])


@given(st.floats(0, 2_000), st.floats(0.1, 5), st.floats(5, 60))
def test_no_try_begins_after_the_budget(budget: float, first_wait: float, longest_wait: float) -> None:
    trial = Trial(budget=budget, first_wait=first_wait, longest_wait=longest_wait)
    tries: list[float] = []

    async def attempt() -> None:
        tries.append(trial.clock.now - 50.0)
        message = "no route to host"
        raise ServiceRequestError(message)

    with pytest.raises(BatchUnreachableError):
        asyncio.run(trial.policy.run("try", attempt))

    assert max(tries) <= budget * (1 + 1e-9)


def test_each_wait_is_about_twice_the_last_until_the_longest() -> None:
    trial = Trial(busy(), budget=200.0, first_wait=0.5, longest_wait=30.0)
    trial.refused()

    middles = [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert all(
        0.75 * middle <= nap <= 1.25 * middle for nap, middle in zip(trial.clock.naps, middles, strict=False)
    )


@pytest.mark.parametrize("status", [pytest.param(429, id="throttled"), pytest.param(503, id="busy")])
def test_the_service_is_not_called_before_it_asks_to_be(status: int) -> None:
    trial = Trial(busy(status, retry_after=75), Answer(200))
    trial.get()

    assert trial.clock.naps == [75.0]


@pytest.mark.parametrize(
    "retry_after",
    [
        pytest.param("soon", id="no number"),
        pytest.param("Wed, 21 Oct 2026 07:28:00 GMT", id="a date"),
        pytest.param(-5, id="less than none"),
        pytest.param(0, id="none"),
        pytest.param("nan", id="not a number"),
    ],
)
def test_a_time_to_wait_that_says_nothing_leaves_the_own_pace(retry_after: object) -> None:
    trial = Trial(busy(retry_after=retry_after), Answer(200))
    trial.get()

    assert 0.75 <= trial.clock.naps[0] <= 1.25


def test_a_time_to_wait_beyond_the_budget_ends_the_tries_at_once() -> None:
    trial = Trial(busy(retry_after=301), budget=300.0)

    assert isinstance(trial.refused(), BatchUnreachableError)
    assert (trial.tries, trial.clock.naps) == (1, [])


def test_a_service_that_stays_away_for_days_is_waited_for_where_the_budget_is_that_long() -> None:
    trial = Trial(budget=7 * 86_400.0)
    left = iter(range(5_000))

    async def attempt() -> str:
        if next(left, None) is None:
            return "back"
        message = "no route to host"
        raise ServiceRequestError(message)

    assert asyncio.run(trial.policy.run("try", attempt)) == "back"


def test_an_error_of_our_own_is_not_tried_again() -> None:
    trial = Trial()
    tries: list[int] = []

    async def attempt() -> None:
        tries.append(1)
        raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(trial.policy.run("try", attempt))

    assert len(tries) == 1


def test_a_refusal_keeps_the_services_code_status_and_request_id_and_no_secret() -> None:
    error = Trial(Answer(409, "PoolExists")).refused()

    assert isinstance(error, BatchConflictError)
    assert (error.code, error.status, error.request_id) == ("PoolExists", 409, "3f2a")
    assert KEY not in f"{error} {error!r} {error.__cause__!r} {vars(error)}"
