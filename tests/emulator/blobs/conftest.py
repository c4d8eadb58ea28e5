"""What tests of the blob store stand on: requests made without an SDK."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def code(self) -> str | None:
        """The code of an error, which is in the body and in a header."""
        code = self.headers.get("x-ms-error-code")
        if self.content.startswith(b"<?xml") and b"<Error>" in self.content:
            assert ElementTree.fromstring(self.content).findtext("Code") == code
        return code


Ask = Callable[..., Answer]


@pytest.fixture
def ask() -> Ask:
    """Give a function that sends a request to a URL, and returns what comes back."""

    def request(method: str, url: str, body: bytes | None = None, **headers: str) -> Answer:
        parts = urlsplit(url)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(HTTPConnection(parts.netloc, timeout=10)) as connection:
            connection.request(method, f"{parts.path}?{parts.query}", body, named)
            response = connection.getresponse()
            content = response.read()
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, content
        )

    return request


@pytest.fixture
def container(batch_emulator: RunningEmulator) -> BlobContainer:
    """Give an empty container in which everything is allowed."""
    return batch_emulator.container("data")
