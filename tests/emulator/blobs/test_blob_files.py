"""What the store keeps on disk, and takes up again."""

from __future__ import annotations

import base64
from datetime import datetime, timezone
from email.utils import formatdate
from pathlib import Path

import pytest

from airflow_provider_batchlinux.emulator import EmulatorOptions, RunningEmulator, run_emulator
from airflow_provider_batchlinux.emulator.blobs.client import BlobContainer
from airflow_provider_batchlinux.emulator.blobs.errors import BlobError
from airflow_provider_batchlinux.emulator.blobs.files import BlobFiles
from airflow_provider_batchlinux.emulator.blobs.shared_key import string_to_sign
from airflow_provider_batchlinux.emulator.blobs.storage import derive_key
from airflow_provider_batchlinux.emulator.protocol.auth import sign
from tests.emulator.blobs.conftest import Ask

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def put(files: BlobFiles, name: str, content: bytes) -> None:
    with files.incoming() as incoming:
        incoming.write(content)
        incoming.finish()
        files.put_blob("data", name, incoming, {"content-type": "text/x"}, {"k": "v"}, NOW)


def test_containers_and_blobs_are_taken_up_again(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path / "store")
    files.create_container("data", NOW)
    put(files, "../../up", b"one")
    put(files, "../../up", b"two")
    put(files, "gone", b"x")
    files.delete_blob("data", "gone")

    again = BlobFiles(tmp_path / "store")

    blob = again.blob("data", "../../up")
    assert blob == files.blob("data", "../../up")
    assert again.path("data", blob).read_bytes() == b"two"
    assert list(again.container("data").blobs) == ["../../up"]
    put(again, "new", b"")
    assert int(again.blob("data", "new").etag, 16) > int(blob.etag, 16)


def test_what_was_not_finished_is_not_taken_up(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    files.create_container("data", NOW)
    put(files, "a", b"x")
    with files.incoming() as incoming:
        incoming.write(b"block")
        incoming.finish()
        files.put_block("data", "b", "MQ==", incoming)
    files.incoming().finish()

    again = BlobFiles(tmp_path)

    content = again.path("data", again.blob("data", "a"))
    assert set((tmp_path / "data").iterdir()) == {
        content,
        tmp_path / "data" / "container.json",
        *(tmp_path / "data").glob("blob-*.json"),
    }
    assert not (tmp_path / ".incoming").exists()


def test_replaced_content_is_not_kept(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    files.create_container("data", NOW)
    put(files, "a", b"one")
    put(files, "a", b"two")

    assert len([path for path in (tmp_path / "data").iterdir() if path.suffix != ".json"]) == 1


def test_a_container_is_made_once(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    files.create_container("data", NOW)

    with pytest.raises(BlobError, match="ContainerAlreadyExists"):
        files.create_container("data", NOW)


def test_the_key_of_the_storage_account_stays_with_that_of_the_batch_account() -> None:
    first, second = (base64.b64encode(text).decode() for text in (b"first", b"second"))

    assert derive_key(first) == derive_key(first) != derive_key(second)
    assert len(base64.b64decode(derive_key(first))) == 64


@pytest.mark.parametrize(
    ("age", "spoil", "status"),
    [
        pytest.param(0, "", 201, id="signed"),
        pytest.param(0, "x", 403, id="signed wrongly"),
        pytest.param(3600, "", 403, id="signed long ago"),
    ],
)
def test_the_accounts_key_makes_a_container(
    batch_emulator: RunningEmulator, ask: Ask, age: int, spoil: str, status: int
) -> None:
    storage = batch_emulator.storage
    url = f"{storage.endpoint}/made?restype=container"
    target = "/" + url.split("/", 3)[3]
    stamp = datetime.now(timezone.utc).timestamp() - age
    headers = {"x-ms-date": formatdate(stamp, usegmt=True), "x-ms-version": "2021-12-02"}
    signature = sign(storage.key, string_to_sign(storage.account, "PUT", target, headers) + spoil)
    authorization = f"SharedKey {storage.account}:{signature}"

    answer = ask("PUT", url, authorization=authorization, **headers)

    assert answer.status == status


def test_blobs_outlive_a_restart_with_a_state(tmp_path: Path) -> None:
    options = EmulatorOptions(state=tmp_path / "account")
    with run_emulator(options) as before:
        container = before.container("data")
        container.put("a", b"x")
    with run_emulator(options) as after:
        host = after.storage.endpoint
        same = BlobContainer(container.url.replace(before.storage.endpoint, host))

        assert (same.names(), same.get("a")) == (["a"], b"x")
        after.control.reset()
        assert list(tmp_path.glob("*/blobs/*")) == []
