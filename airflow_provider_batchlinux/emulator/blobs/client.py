"""A small client of one container, for tests and demos in any process."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree


@dataclass(frozen=True)
class BlobContainer:
    """
    A container of the blob store.

    :param url: its URL with a SAS token, as tasks need it.
    """

    url: str = field(repr=False)

    @property
    def name(self) -> str:
        """The name of the container."""
        return urlsplit(self.url).path.rpartition("/")[2]

    def blob_url(self, name: str) -> str:
        """Return the URL of a blob, with the SAS token of the container."""
        url, _, token = self.url.partition("?")
        return f"{url}/{quote(name)}?{token}"

    def put(self, name: str, content: bytes, content_type: str = "application/octet-stream") -> None:
        """
        Write a blob.

        :raises ValueError: the store returns an error.
        """
        headers = {"x-ms-blob-type": "BlockBlob", "content-type": content_type}
        self._send("PUT", self.blob_url(name), content, headers)

    def get(self, name: str) -> bytes:
        """
        Return the content of a blob.

        :raises ValueError: the store returns an error, for example because the blob does not exist.
        """
        return self._send("GET", self.blob_url(name))

    def names(self, prefix: str = "") -> list[str]:
        """Return the names of the blobs, sorted."""
        query = {"restype": "container", "comp": "list", "prefix": prefix}
        names: list[str] = []
        marker = ""
        while True:
            answer = self._send("GET", f"{self.url}&{urlencode({**query, 'marker': marker})}")
            listing = ElementTree.fromstring(answer)
            names += [element.text or "" for element in listing.iterfind("Blobs/Blob/Name")]
            marker = listing.findtext("NextMarker") or ""
            if not marker:
                return names

    def _send(
        self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> bytes:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.netloc, timeout=60)
        try:
            connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers or {}))
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            code = response.getheader("x-ms-error-code")
            msg = f"The blob store refused {method} {parts.path}: {response.status} {code}."
            raise ValueError(msg)
        return answer
