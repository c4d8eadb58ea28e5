"""
Containers and block blobs as files.

A container is a directory. The content of a blob is a file with a random name. Its properties are in a
second file, named after the hash of the blob's name, so that no name from a client becomes a path. The second
file is written last and atomically, so that a blob exists completely or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO
from uuid import uuid4

from airflow_provider_batchlinux.emulator.blobs.errors import BlobCode, BlobError
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant, parse_instant, ticks

_PROPERTIES = "container.json"
_INCOMING = ".incoming"
"""The directory of unfinished uploads; no container has this name."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Blob:
    """
    A block blob.

    :param content: name of the file with its content.
    :param headers: headers of its download, such as ``content-type``, by lower-case name.
    """

    name: str
    content: str
    size: int
    etag: str
    created: datetime
    modified: datetime
    headers: Mapping[str, str]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Container:
    """A container with its blobs, and its uncommitted blocks by blob name and block id."""

    name: str
    etag: str
    modified: datetime
    blobs: dict[str, Blob] = field(default_factory=dict)
    blocks: dict[str, dict[str, Path]] = field(default_factory=dict)


class Incoming:
    """The file of an upload. It is removed at the end of the block, unless it has become a blob."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sink: BinaryIO = path.open("wb")

    def write(self, chunk: bytes) -> None:
        """Append content."""
        self._md5.update(chunk)
        self.size += len(chunk)
        self._sink.write(chunk)

    def finish(self) -> str:
        """Close the file, and return the MD5 of its content in base64."""
        self._sink.close()
        return base64.b64encode(self._md5.digest()).decode()

    def __enter__(self) -> Incoming:
        """Start the upload."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file, unless it was moved."""
        self._sink.close()
        self.path.unlink(missing_ok=True)


class BlobFiles:
    """
    All containers of an account.

    :param root: its directory, which need not exist. Existing containers are loaded.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._containers: dict[str, Container] = {}
        self._last_version = 0
        shutil.rmtree(root / _INCOMING, ignore_errors=True)
        for properties in root.glob(f"*/{_PROPERTIES}"):
            self._load(properties)

    @property
    def containers(self) -> Mapping[str, Container]:
        """All containers by name."""
        return self._containers

    def clear(self) -> None:
        """Delete all containers."""
        self._containers.clear()
        shutil.rmtree(self._root, ignore_errors=True)

    def create_container(self, name: str, now: datetime) -> Container:
        """
        Create a container.

        :raises BlobError: the container exists.
        """
        if name in self._containers:
            raise BlobError(BlobCode.CONTAINER_ALREADY_EXISTS)
        container = Container(name, self._next_etag(now), now)
        (self._root / name).mkdir(parents=True)
        properties = {"etag": container.etag, "modified": format_instant(now)}
        _write_json(self._root / name / _PROPERTIES, properties)
        self._containers[name] = container
        return container

    def delete_container(self, name: str) -> None:
        """Delete a container with its blobs."""
        self.container(name)
        del self._containers[name]
        shutil.rmtree(self._root / name)

    def container(self, name: str) -> Container:
        """
        Return a container.

        :raises BlobError: the container does not exist.
        """
        if name not in self._containers:
            raise BlobError(BlobCode.CONTAINER_NOT_FOUND)
        return self._containers[name]

    def blob(self, container: str, name: str) -> Blob:
        """
        Return a blob.

        :raises BlobError: the blob or its container does not exist.
        """
        blobs = self.container(container).blobs
        if name not in blobs:
            raise BlobError(BlobCode.BLOB_NOT_FOUND)
        return blobs[name]

    def path(self, container: str, blob: Blob) -> Path:
        """Return the file with a blob's content."""
        return self._root / container / blob.content

    def incoming(self) -> Incoming:
        """Return the file of a new upload."""
        (self._root / _INCOMING).mkdir(parents=True, exist_ok=True)
        return Incoming(self._root / _INCOMING / uuid4().hex)

    def put_blob(
        self,
        container: str,
        name: str,
        content: Incoming,
        headers: Mapping[str, str],
        metadata: Mapping[str, str],
        now: datetime,
    ) -> Blob:
        """Create or replace a blob with the content of an upload."""
        home = self.container(container)
        old = home.blobs.get(name)
        blob = Blob(
            name=name,
            content=uuid4().hex,
            size=content.size,
            etag=self._next_etag(now),
            created=old.created if old else now,
            modified=now,
            headers=headers,
            metadata=metadata,
        )
        content.path.rename(self.path(container, blob))
        times = {"created": format_instant(blob.created), "modified": format_instant(blob.modified)}
        _write_json(self._properties_path(container, name), {**asdict(blob), **times})
        home.blobs[name] = blob
        self.drop_blocks(container, name)
        if old is not None:
            self.path(container, old).unlink(missing_ok=True)
        return blob

    def delete_blob(self, container: str, name: str) -> None:
        """Delete a blob."""
        blob = self.blob(container, name)
        self._properties_path(container, name).unlink()
        self.path(container, blob).unlink(missing_ok=True)
        del self.container(container).blobs[name]

    def put_block(self, container: str, name: str, block_id: str, content: Incoming) -> None:
        """Store an uncommitted block. It is lost at a restart, as it is removed when the blob is written."""
        blocks = self.container(container).blocks.setdefault(name, {})
        path = self._root / container / f"block-{uuid4().hex}"
        content.path.rename(path)
        old = blocks.get(block_id)
        blocks[block_id] = path
        if old is not None:
            old.unlink(missing_ok=True)

    def join_blocks(self, container: str, name: str, block_ids: Iterable[str], content: Incoming) -> None:
        """
        Write blocks to an upload, one after the other.

        :raises BlobError: a block does not exist.
        """
        blocks = self.container(container).blocks.get(name, {})
        for block_id in block_ids:
            if block_id not in blocks:
                raise BlobError(BlobCode.INVALID_BLOCK_LIST)
            with blocks[block_id].open("rb") as source:
                while chunk := source.read(_CHUNK):
                    content.write(chunk)

    def drop_blocks(self, container: str, name: str) -> None:
        """Remove the uncommitted blocks of a blob."""
        for path in self.container(container).blocks.pop(name, {}).values():
            path.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        directory = path.parent
        properties = json.loads(path.read_text(encoding="utf-8"))
        container = Container(directory.name, properties["etag"], parse_instant(properties["modified"]))
        for kept in directory.glob("blob-*.json"):
            read = json.loads(kept.read_text(encoding="utf-8"))
            times = {name: parse_instant(read[name]) for name in ("created", "modified")}
            container.blobs[read["name"]] = Blob(**{**read, **times})
        known = {blob.content for blob in container.blobs.values()}
        for stray in directory.iterdir():
            if stray.suffix != ".json" and stray.name not in known:
                stray.unlink()
        etags = [container.etag, *(blob.etag for blob in container.blobs.values())]
        self._last_version = max(self._last_version, *(int(etag, 16) for etag in etags))
        self._containers[container.name] = container

    def _next_etag(self, now: datetime) -> str:
        self._last_version = max(self._last_version + 1, ticks(now))
        return f"0x{self._last_version:X}"

    def _properties_path(self, container: str, name: str) -> Path:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return self._root / container / f"blob-{digest}.json"


def _write_json(path: Path, properties: Mapping[str, object]) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(properties), encoding="utf-8")
    os.replace(aside, path)
