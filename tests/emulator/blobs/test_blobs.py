"""Blobs and containers over the wire."""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_batchlinux.emulator import RunningEmulator
from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer
from airflow_provider_batchlinux.emulator.blobs.listing import entries
from tests.emulator.blobs.conftest import Ask

BLOCK_BLOB = {"x_ms_blob_type": "BlockBlob"}
NAMES = st.lists(st.text("ab/.", min_size=1, max_size=6), max_size=20, unique=True)


def md5_of(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content).digest()).decode()


def test_a_blob_comes_back_as_it_was_put(container: BlobContainer, ask: Ask) -> None:
    put = ask(
        "PUT", container.blob_url("a/b ü.txt"), b"hello", **BLOCK_BLOB, content_type="text/x", x_ms_meta_k="v"
    )
    got = ask("GET", container.blob_url("a/b ü.txt"))

    assert (put.status, got.status, got.content) == (201, 200, b"hello")
    assert got.headers["etag"] == put.headers["etag"]
    assert got.headers["content-md5"] == put.headers["content-md5"] == md5_of(b"hello")
    assert (got.headers["content-type"], got.headers["x-ms-meta-k"]) == ("text/x", "v")
    assert got.headers["x-ms-blob-type"] == "BlockBlob"


@pytest.mark.parametrize(
    ("header", "status", "content"),
    [
        pytest.param("bytes=1-2", 206, b"el", id="middle"),
        pytest.param("bytes=3-99", 206, b"lo", id="over the end"),
        pytest.param("bytes=1-", 206, b"ello", id="open"),
        pytest.param("lines=1-2", 200, b"hello", id="no range"),
    ],
)
def test_a_range_is_answered_in_part(
    container: BlobContainer, ask: Ask, header: str, status: int, content: bytes
) -> None:
    container.put("a", b"hello")

    got = ask("GET", container.blob_url("a"), x_ms_range=header)

    assert (got.status, got.content) == (status, content)


def test_a_range_after_the_end_is_refused(container: BlobContainer, ask: Ask) -> None:
    container.put("a", b"hello")

    got = ask("GET", container.blob_url("a"), range="bytes=5-9")

    assert (got.status, got.code) == (416, "InvalidRange")


def test_the_head_of_a_blob_comes_without_it(container: BlobContainer, ask: Ask) -> None:
    container.put("a", b"hello")

    head = ask("HEAD", container.blob_url("a"))

    assert (head.status, head.content, head.headers["content-length"]) == (200, b"", "5")


def test_blocks_become_a_blob_in_the_order_of_their_list(container: BlobContainer, ask: Ask) -> None:
    url = container.blob_url("big")
    for block_id, content in {"MQ==": b"one", "Mg==": b"two", "Mw==": b"not listed"}.items():
        assert ask("PUT", f"{url}&comp=block&blockid={block_id}", content).status == 201
    missing_yet = ask("GET", url)
    blocks = b"<BlockList><Latest>Mg==</Latest><Uncommitted>MQ==</Uncommitted></BlockList>"
    committed = ask("PUT", f"{url}&comp=blocklist", blocks, x_ms_blob_content_type="text/x")

    assert (missing_yet.code, committed.status) == ("BlobNotFound", 201)
    assert ask("GET", url).content == b"twoone"
    assert ask("HEAD", url).headers["content-type"] == "text/x"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"<BlockList><Latest>Mg==</Latest></BlockList>", "InvalidBlockList", id="no such block"),
        pytest.param(b"<BlockList>", "InvalidXmlDocument", id="broken"),
        pytest.param(b"<Other/>", "InvalidXmlDocument", id="something else"),
    ],
)
def test_a_wrong_list_of_blocks_is_refused(
    container: BlobContainer, ask: Ask, body: bytes, code: str
) -> None:
    answer = ask("PUT", f"{container.blob_url('a')}&comp=blocklist", body)

    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        pytest.param({}, 400, "MissingRequiredHeader", id="no type"),
        pytest.param({"x_ms_blob_type": "X"}, 400, "InvalidHeaderValue", id="unknown type"),
        pytest.param({"x_ms_blob_type": "AppendBlob"}, 501, "NotImplemented", id="append blob"),
        pytest.param({**BLOCK_BLOB, "x_ms_copy_source": "http://x"}, 501, "NotImplemented", id="copy"),
        pytest.param({**BLOCK_BLOB, "content_md5": "eA=="}, 400, "Md5Mismatch", id="damaged"),
        pytest.param({**BLOCK_BLOB, "if_match": '"0x1"'}, 412, "ConditionNotMet", id="changed meanwhile"),
    ],
)
def test_a_put_that_cannot_be_is_refused(
    container: BlobContainer, ask: Ask, headers: dict[str, str], status: int, code: str
) -> None:
    answer = ask("PUT", container.blob_url("a"), b"hello", **headers)

    assert (answer.status, answer.code) == (status, code)
    assert container.names() == []


def test_a_blob_is_not_replaced_where_a_new_one_is_wanted(container: BlobContainer, ask: Ask) -> None:
    container.put("a", b"old")

    answer = ask("PUT", container.blob_url("a"), b"new", **BLOCK_BLOB, if_none_match="*")

    assert (answer.status, answer.code, container.get("a")) == (409, "BlobAlreadyExists", b"old")


def test_a_blob_that_is_known_is_not_sent_again(container: BlobContainer, ask: Ask) -> None:
    container.put("a", b"old")
    etag = ask("HEAD", container.blob_url("a")).headers["etag"]

    assert ask("GET", container.blob_url("a"), if_none_match=etag).status == 304
    assert ask("GET", container.blob_url("a"), if_match='"0x1"').status == 412


def test_a_deleted_blob_is_gone(container: BlobContainer, ask: Ask) -> None:
    container.put("a", b"x")

    deleted = ask("DELETE", container.blob_url("a"))

    assert (deleted.status, ask("DELETE", container.blob_url("a")).code) == (202, "BlobNotFound")
    assert container.names() == []


def test_a_list_comes_in_pages(container: BlobContainer, ask: Ask) -> None:
    for name in ("a/1", "a/2", "b", "c"):
        container.put(name, b"")
    url = f"{container.url}&restype=container&comp=list&delimiter=/&maxresults=2"

    first = ElementTree.fromstring(ask("GET", url).content)
    marker = first.findtext("NextMarker")
    second = ElementTree.fromstring(ask("GET", f"{url}&marker={marker}").content)

    assert [name.text for name in first.iterfind("Blobs/*/Name")] == ["a/", "b"]
    assert [name.text for name in second.iterfind("Blobs/*/Name")] == ["c"]
    assert not second.findtext("NextMarker")


@pytest.mark.parametrize("query", ["maxresults=0", "maxresults=x", "marker=%C3%BC"])
def test_a_wrong_page_is_refused(container: BlobContainer, ask: Ask, query: str) -> None:
    assert ask("GET", f"{container.url}&comp=list&{query}").status == 400


@given(NAMES, st.text("ab/", max_size=3), st.sampled_from(["", "/", "a"]))
def test_every_blob_of_a_prefix_is_listed_by_name_or_directory(
    names: list[str], prefix: str, delimiter: str
) -> None:
    found = list(entries(sorted(names), prefix, delimiter))

    assert [name for name, _ in found] == sorted({name for name, _ in found})
    for name in names:
        shown = [entry for entry, is_prefix in found if is_prefix and name.startswith(entry)]
        assert ((name, False) in found or bool(shown)) == name.startswith(prefix)


@pytest.mark.parametrize(
    ("permissions", "method", "status", "code"),
    [
        pytest.param("r", "GET", 200, None, id="read"),
        pytest.param("wl", "GET", 403, "AuthorizationPermissionMismatch", id="read without"),
        pytest.param("w", "PUT", 201, None, id="write"),
        pytest.param("rl", "PUT", 403, "AuthorizationPermissionMismatch", id="write without"),
        pytest.param("c", "PUT", 403, "UnauthorizedBlobOverwrite", id="write over"),
        pytest.param("d", "DELETE", 202, None, id="delete"),
        pytest.param("rw", "DELETE", 403, "AuthorizationPermissionMismatch", id="delete without"),
        pytest.param("r", "POST", 405, "UnsupportedHttpVerb", id="post"),
    ],
)
def test_a_token_allows_what_it_grants(
    batch_emulator: RunningEmulator, ask: Ask, permissions: str, method: str, status: int, code: str | None
) -> None:
    batch_emulator.container("data").put("a", b"x")
    url = batch_emulator.container("data", permissions).blob_url("a")

    answer = ask(method, url, b"y" if method == "PUT" else None, **BLOCK_BLOB)

    assert (answer.status, answer.code) == (status, code)


def test_a_token_without_permission_lists_nothing(batch_emulator: RunningEmulator, ask: Ask) -> None:
    url = batch_emulator.container("data", "r").url

    assert ask("GET", f"{url}&comp=list").code == "AuthorizationPermissionMismatch"


def test_an_expired_token_is_refused(batch_emulator: RunningEmulator, ask: Ask) -> None:
    url = batch_emulator.container("data", expires_in=-1).blob_url("a")

    answer = ask("GET", url)

    assert (answer.status, answer.code) == (403, "AuthenticationFailed")
    assert b"not valid in the specified time frame" in answer.content


def test_a_request_without_a_token_is_refused(container: BlobContainer, ask: Ask) -> None:
    answer = ask("GET", container.blob_url("a").partition("?")[0])

    assert (answer.status, answer.code) == (403, "AuthorizationFailure")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "GET"])
def test_a_container_itself_is_for_the_accounts_key_only(
    container: BlobContainer, ask: Ask, method: str
) -> None:
    answer = ask(method, f"{container.url}&restype=container")

    assert (answer.status, answer.code) == (403, "AuthorizationFailure")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/other/data/a", 404, id="other account"),
        pytest.param("/batchlinuxstorage/DATA/a", 400, id="container name"),
        pytest.param("/batchlinuxstorage/../../x", 400, id="dots"),
        pytest.param("/batchlinuxstorage/data/" + "x" * 1025, 400, id="long name"),
        pytest.param("/", 404, id="nothing"),
    ],
)
def test_a_path_to_nowhere_is_refused(
    batch_emulator: RunningEmulator, container: BlobContainer, ask: Ask, path: str, status: int
) -> None:
    host = batch_emulator.storage.endpoint.rpartition("/")[0]

    assert ask("GET", f"{host}{path}?{container.url.partition('?')[2]}").status == status


def test_a_reset_takes_all_containers_away(batch_emulator: RunningEmulator, container: BlobContainer) -> None:
    container.put("a", b"x")

    batch_emulator.control.reset()

    with pytest.raises(ValueError, match="404 ContainerNotFound"):
        container.get("a")


@pytest.mark.parametrize(("name", "permissions"), [("Bad", "r"), ("a", "r"), ("a--b", "r"), ("data", "q")])
def test_a_container_that_cannot_be_is_refused(
    batch_emulator: RunningEmulator, name: str, permissions: str
) -> None:
    with pytest.raises(ValueError, match="refused 'container'"):
        batch_emulator.container(name, permissions)


def test_nothing_shows_a_token_by_accident(batch_emulator: RunningEmulator, container: BlobContainer) -> None:
    assert "sig" not in repr(container)
    assert batch_emulator.storage.key not in repr(batch_emulator)


def test_the_store_is_there_beside_a_service_over_tls(secure_emulator: RunningEmulator) -> None:
    container = secure_emulator.container("data")
    container.put("a", b"x")

    assert (container.name, container.get("a")) == ("data", b"x")
