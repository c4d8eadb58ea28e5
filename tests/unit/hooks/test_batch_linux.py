"""The hook: connections in all their forms, the test of a connection, and its synchronous verbs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException
from airflow.sdk import Connection

from airflow_provider_batchlinux.client.transport.account import AuthKind
from airflow_provider_batchlinux.exceptions import BatchRequestError
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook
from tests.airflow_harness import AIRFLOW
from tests.conftest import set_connection
from tests.warm_python import warm_python

URL = "https://flights.westeurope.batch.azure.com"
KEY = "c2VjcmV0IGtleQ=="
VARIABLE = "AIRFLOW_CONN_AZURE_BATCH_LINUX_DEFAULT"

IMPORT_WATCH = """
import sys, threading
from airflow_provider_batchlinux.hooks.batch_linux import BatchLinuxHook

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("azure.batch", "azure.batch.aio"):
            print(name, threading.current_thread().name)

sys.meta_path.insert(0, Watch())
BatchLinuxHook().find_pool("etl")
"""


def connection_json(**fields: Any) -> str:
    return json.dumps({"conn_type": "azure_batch_linux", **fields})


class TestExtra:
    @pytest.mark.parametrize(
        ("extra", "kind"),
        [
            pytest.param(["s3cret"], "JSON of another kind (list)", id="a list"),
            pytest.param('["s3cret"]', "JSON of another kind (list)", id="a list as text"),
            pytest.param('"s3cret"', "JSON of another kind (str)", id="a text in JSON"),
            pytest.param("7", "JSON of another kind (int)", id="a number"),
            pytest.param("null", "JSON of another kind (NoneType)", id="null"),
            pytest.param("account_url=s3cret", "not JSON", id="no JSON"),
            pytest.param('{"account_url": "s3cret"', "not JSON", id="a part of JSON"),
        ],
    )
    @pytest.mark.parametrize(
        "read",
        [
            pytest.param(lambda hook: hook.settings(), id="worker"),
            pytest.param(lambda hook: asyncio.run(hook.async_settings()), id="triggerer"),
        ],
    )
    def test_an_extra_that_is_no_json_object_is_refused_in_a_sentence(
        self, monkeypatch: pytest.MonkeyPatch, extra: object, kind: str, read: Any
    ) -> None:
        monkeypatch.setenv(VARIABLE, connection_json(login="flights", password=KEY, extra=extra))

        # In Airflow 3.1.0, the secrets backend itself fails, and the connection counts as not defined.
        is_told = AIRFLOW >= (3, 2)
        error, words = (ValueError, "cannot be used") if is_told else (AirflowNotFoundException, "defined")
        with pytest.raises(error, match=words) as refused:
            read(BatchLinuxHook())

        assert not is_told or f"extra is {kind}; give a JSON object such as " in str(refused.value)
        assert "s3cret" not in str(refused.value)


class TestConnectionForms:
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(
                connection_json(login="flights", password=KEY, extra={"account_url": URL}), id="JSON"
            ),
            pytest.param(
                connection_json(login="flights", password=KEY, extra=json.dumps({"account_url": URL})),
                id="JSON with its extra as text",
            ),
            pytest.param(
                f"azure-batch-linux://flights:{quote(KEY, safe='')}@/?account_url={quote(URL, safe='')}",
                id="URI",
            ),
            pytest.param(
                f"azure-batch-linux://flights:{quote(KEY, safe='')}@flights.westeurope.batch.azure.com",
                id="URI with the account's host",
            ),
            pytest.param(
                json.dumps(
                    {
                        "conn_type": "azure_batch",
                        "login": "flights",
                        "password": KEY,
                        "extra": {"account_url": URL},
                    }
                ),
                id="an azure_batch connection",
            ),
            pytest.param(
                json.dumps(
                    {
                        "conn_type": "azure_batch",
                        "login": "flights",
                        "password": KEY,
                        "extra": {"extra__azure_batch__account_url": URL},
                    }
                ),
                id="an azure_batch connection of old",
            ),
        ],
    )
    def test_every_form_leads_to_the_same_account(self, monkeypatch, value):
        monkeypatch.setenv(VARIABLE, value)

        settings = BatchLinuxHook().settings()

        assert (settings.endpoint, settings.account_name, settings.account_key) == (URL, "flights", KEY)
        assert settings.auth is AuthKind.SHARED_KEY
        assert settings.retry_budget == 300

    def test_the_uri_that_airflow_writes_is_read_back(self, monkeypatch):
        extra = json.dumps({"account_url": URL})
        written = Connection(
            conn_id="x", conn_type="azure_batch_linux", login="flights", password=KEY, extra=extra
        )
        monkeypatch.setenv(VARIABLE, written.get_uri())

        assert BatchLinuxHook().settings().account_key == KEY

    def test_the_async_way_reads_the_same(self, monkeypatch):
        monkeypatch.setenv(
            VARIABLE, connection_json(login="flights", password=KEY, extra={"account_url": URL})
        )

        assert asyncio.run(BatchLinuxHook().async_settings()) == BatchLinuxHook().settings()

    @pytest.mark.parametrize(
        ("password", "extra", "kind"),
        [
            pytest.param(KEY, {}, AuthKind.SHARED_KEY, id="a key"),
            pytest.param(None, {}, AuthKind.DEFAULT, id="no key"),
            pytest.param(
                None,
                {"auth": "client_secret", "tenant_id": "t", "client_id": "c", "client_secret": "s"},
                AuthKind.CLIENT_SECRET,
                id="client secret",
            ),
            pytest.param(
                None, {"auth": "managed_identity"}, AuthKind.MANAGED_IDENTITY, id="managed identity"
            ),
            pytest.param(
                None,
                {"auth": "workload_identity", "workload_identity_tenant_id": "t"},
                AuthKind.WORKLOAD_IDENTITY,
                id="workload identity",
            ),
            pytest.param(KEY, {"auth": "default"}, AuthKind.DEFAULT, id="the identity in spite of a key"),
        ],
    )
    def test_the_way_to_authenticate_is_chosen_by_what_is_there(self, monkeypatch, password, extra, kind):
        fields = {"login": "flights", "password": password, "extra": {"account_url": URL, **extra}}
        monkeypatch.setenv(VARIABLE, connection_json(**fields))

        assert BatchLinuxHook().settings().auth is kind

    def test_the_hook_takes_the_connection_and_the_budget_it_is_given(self, monkeypatch):
        value = connection_json(login="other", password=KEY, extra={"account_url": URL, "retry_budget": 20})
        monkeypatch.setenv("AIRFLOW_CONN_OTHER", value)

        assert BatchLinuxHook("other").settings().retry_budget == 20
        assert BatchLinuxHook("other", retry_budget=2).settings().retry_budget == 2

    def test_the_secrets_of_the_settings_are_not_shown(self, monkeypatch):
        extra = {"account_url": URL, "client_secret": "very-secret"}
        monkeypatch.setenv(VARIABLE, connection_json(login="flights", password=KEY, extra=extra))

        shown = repr(BatchLinuxHook().settings())

        assert KEY not in shown
        assert "very-secret" not in shown


class TestTestConnection:
    def test_a_connection_that_works_says_where_it_leads(self, account):
        assert BatchLinuxHook().test_connection() == (
            True,
            f"Connected to {account.service.endpoint} as shared_key.",
        )
        assert account.requests() == ["GET /pools"]

    def test_a_wrong_url_is_named(self, account, monkeypatch):
        set_connection(monkeypatch, account.service, account_url="flights.westeurope")

        assert BatchLinuxHook().test_connection() == (
            False,
            "account_url='flights.westeurope' is not a URL such as https://name.region.batch.azure.com.",
        )

    def test_a_wrong_key_is_distinguished_from_other_causes(self, account, monkeypatch):
        set_connection(monkeypatch, account.service, key=KEY)

        good, sentence = BatchLinuxHook().test_connection()

        assert not good
        assert sentence.startswith("The account name or key is wrong: ")
        assert "AuthenticationFailed, HTTP 403" in sentence
        assert "Check the account name and key" in sentence
        assert KEY not in sentence

    def test_a_key_that_is_no_key_is_refused_before_any_request(self, account, monkeypatch):
        set_connection(monkeypatch, account.service, key="not base64!")

        good, sentence = BatchLinuxHook().test_connection()

        assert not good
        assert "The account key is not base64" in sentence
        assert "not base64!" not in sentence
        assert account.requests() == []

    @pytest.mark.parametrize(
        ("ahead", "words"),
        [
            pytest.param(timedelta(minutes=-40), "40 minutes ahead of the service's", id="fast"),
            pytest.param(timedelta(minutes=40), "40 minutes behind the service's", id="slow"),
        ],
    )
    def test_a_wrong_clock_is_distinguished_from_a_wrong_key(self, account, monkeypatch, ahead, words):
        with service_that_refuses("AuthenticationFailed", clock_ahead=ahead) as url:
            set_connection(monkeypatch, account.service, account_url=url)
            good, sentence = BatchLinuxHook().test_connection()

        assert not good
        assert sentence.startswith("The clock is wrong: ")
        assert f"This machine's clock is {words}; set it right." in sentence

    def test_the_error_of_a_caller_without_a_role_names_the_required_role(self, account, monkeypatch):
        with service_that_refuses("InsufficientAccountPermissions") as url:
            set_connection(monkeypatch, account.service, account_url=url)
            good, sentence = BatchLinuxHook().test_connection()

        assert not good
        assert "Give the identity the role Azure Batch Data Contributor on the account." in sentence

    def test_an_unreachable_service_is_reported_immediately(self, account, monkeypatch):
        set_connection(monkeypatch, account.service, account_url="http://127.0.0.1:1", retry_budget=600)

        good, sentence = BatchLinuxHook().test_connection()

        assert not good
        assert "Check account_url, name resolution and the firewall." in sentence

    def test_a_url_of_no_batch_account_is_explained(self, account, monkeypatch):
        with service_that_refuses("", body=b"<html>It works!</html>", status=404) as url:
            set_connection(monkeypatch, account.service, account_url=url)
            good, sentence = BatchLinuxHook().test_connection()

        assert not good
        assert "HTTP 404" in sentence
        assert "check account_url and the proxy's settings" in sentence
        assert len(sentence) < 400


class TestSynchronousFace:
    def test_pools_and_nodes_are_read(self, account):
        account.idle_pool(2)
        hook = BatchLinuxHook()

        pool = hook.find_pool("etl")
        assert pool is not None
        assert pool.target_dedicated == 2
        assert hook.find_pool("nowhere") is None
        assert {node.state for node in hook.list_nodes("etl")} == {"idle"}
        assert hook.node_counts("etl") == {"idle": 2}

    def test_images_are_listed_as_the_service_lists_them(self, account):
        images = BatchLinuxHook().list_images()

        assert len(images) > 20
        assert account.requests() == ["GET /supportedimages"]

    def test_deleting_says_whether_there_was_anything(self, account):
        account.make_pool()
        hook = BatchLinuxHook()

        assert hook.delete_pool("etl") is True
        assert hook.delete_pool("nowhere") is False
        assert hook.delete_job("nowhere") is False

    def test_the_plain_methods_run_where_a_loop_runs_already(self, account):
        account.make_pool()

        async def notebook() -> bool:
            return BatchLinuxHook().delete_pool("etl")

        assert asyncio.run(notebook()) is True

    def test_the_sdks_own_client_is_given_to_who_wants_it(self, account):
        account.make_pool()

        with BatchLinuxHook().get_conn() as client:
            assert [pool.id for pool in client.list_pools()] == ["etl"]

    @pytest.mark.usefixtures("account")
    def test_errors_are_the_providers_own(self):
        with pytest.raises(BatchRequestError, match="PoolNotFound") as failure:
            BatchLinuxHook().list_nodes("nowhere")

        assert failure.value.status == 404

    def test_azure_is_imported_off_the_event_loop(self, account):
        account.make_pool()

        done = subprocess.run(warm_python("-c", IMPORT_WATCH), check=True, capture_output=True, text=True)

        assert "azure.batch" in done.stdout
        assert "MainThread" not in done.stdout

    @pytest.mark.usefixtures("account")
    def test_the_traceback_of_an_error_contains_only_its_own_frames(self):
        with pytest.raises(BatchRequestError) as failure:
            BatchLinuxHook().list_nodes("nowhere")

        assert "no running event loop" not in "".join(traceback.format_exception(failure.value))


@contextmanager
def service_that_refuses(
    code: str, *, clock_ahead: timedelta = timedelta(0), body: bytes | None = None, status: int = 403
) -> Iterator[str]:
    """Serve one refusal for everything, by a clock of its own, and give the URL."""
    error = {"code": code, "message": {"lang": "en-US", "value": "No."}}
    content = json.dumps(error).encode() if body is None else body

    class Refusal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", format_datetime(datetime.now(timezone.utc) + clock_ahead, usegmt=True))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
