"""
Keeps containers and block blobs as files, so that they can be taken up again; knows no HTTP.

A container is a directory. The content of a blob is a file with a random name, and what is known of it is
one beside it, named by the hash of the blob's name: no name that a client chooses becomes a path. The
second file is put in place at once and last, so that a blob is there as a whole or not at all.
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

_FACTS = "container.json"
_TO_COME = "incoming"
"""No container has this name: it is that of the directory for content that is not a blob's yet."""

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Blob:
    """
    A block blob.

    :param content: name of the file with its content.
    :param headers: what it is to be served with, such as ``content-type``, by lower-cased name.
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
    """A container with its blobs, and the blocks that no blob has yet by blob and block id."""

    name: str
    etag: str
    modified: datetime
    blobs: dict[str, Blob] = field(default_factory=dict)
    blocks: dict[str, dict[str, Path]] = field(default_factory=dict)


class Incoming:
    """Content that arrives, in a file of its own; unless it is kept, it goes at the end of the block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sink: BinaryIO = path.open("wb")

    def write(self, chunk: bytes) -> None:
        """Add to the content."""
        self._md5.update(chunk)
        self.size += len(chunk)
        self._sink.write(chunk)

    def finish(self) -> str:
        """Take no more content, and return its MD5 in base64."""
        self._sink.close()
        return base64.b64encode(self._md5.digest()).decode()

    def __enter__(self) -> Incoming:
        """Begin to take content."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take away what was not kept."""
        self._sink.close()
        self.path.unlink(missing_ok=True)


class BlobFiles:
    """
    All containers of an account.

    :param root: directory of its own, which need not exist; what it holds is taken up.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._containers: dict[str, Container] = {}
        self._last_version = 0
        shutil.rmtree(root / _TO_COME, ignore_errors=True)
        for facts in root.glob(f"*/{_FACTS}"):
            self._take_up(facts)

    def clear(self) -> None:
        """Forget all containers."""
        self._containers.clear()
        shutil.rmtree(self._root, ignore_errors=True)

    def create_container(self, name: str, now: datetime) -> Container:
        """
        Make a container.

        :raises BlobError: there is one.
        """
        if name in self._containers:
            raise BlobError(BlobCode.CONTAINER_ALREADY_EXISTS)
        container = Container(name, self._next_etag(now), now)
        (self._root / name).mkdir(parents=True)
        facts = {"etag": container.etag, "modified": format_instant(now)}
        _write_json(self._root / name / _FACTS, facts)
        self._containers[name] = container
        return container

    def delete_container(self, name: str) -> None:
        """Forget a container with all that it holds."""
        self.container(name)
        del self._containers[name]
        shutil.rmtree(self._root / name)

    def container(self, name: str) -> Container:
        """
        Return a container.

        :raises BlobError: there is none.
        """
        if name not in self._containers:
            raise BlobError(BlobCode.CONTAINER_NOT_FOUND)
        return self._containers[name]

    def blob(self, container: str, name: str) -> Blob:
        """
        Return a blob.

        :raises BlobError: there is none, or no such container.
        """
        blobs = self.container(container).blobs
        if name not in blobs:
            raise BlobError(BlobCode.BLOB_NOT_FOUND)
        return blobs[name]

    def path(self, container: str, blob: Blob) -> Path:
        """Return the file with a blob's content."""
        return self._root / container / blob.content

    def incoming(self) -> Incoming:
        """Return a place for content that arrives."""
        (self._root / _TO_COME).mkdir(parents=True, exist_ok=True)
        return Incoming(self._root / _TO_COME / uuid4().hex)

    def put_blob(
        self,
        container: str,
        name: str,
        content: Incoming,
        headers: Mapping[str, str],
        metadata: Mapping[str, str],
        now: datetime,
    ) -> Blob:
        """Make a blob of content, in place of the one of its name."""
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
        _write_json(self._facts_path(container, name), {**asdict(blob), **times})
        home.blobs[name] = blob
        self.drop_blocks(container, name)
        if old is not None:
            self.path(container, old).unlink(missing_ok=True)
        return blob

    def delete_blob(self, container: str, name: str) -> None:
        """Forget a blob."""
        blob = self.blob(container, name)
        self._facts_path(container, name).unlink()
        self.path(container, blob).unlink(missing_ok=True)
        del self.container(container).blobs[name]

    def put_block(self, container: str, name: str, block_id: str, content: Incoming) -> None:
        """Keep a block of a blob to come, until it is restarted or the blob is there."""
        blocks = self.container(container).blocks.setdefault(name, {})
        path = self._root / container / f"block-{uuid4().hex}"
        content.path.rename(path)
        old = blocks.get(block_id)
        blocks[block_id] = path
        if old is not None:
            old.unlink(missing_ok=True)

    def join_blocks(self, container: str, name: str, block_ids: Iterable[str], content: Incoming) -> None:
        """
        Write blocks one after the other to where content arrives.

        :raises BlobError: one of them is not there.
        """
        blocks = self.container(container).blocks.get(name, {})
        for block_id in block_ids:
            if block_id not in blocks:
                raise BlobError(BlobCode.INVALID_BLOCK_LIST)
            with blocks[block_id].open("rb") as source:
                while chunk := source.read(_CHUNK):
                    content.write(chunk)

    def drop_blocks(self, container: str, name: str) -> None:
        """Take away the blocks of a blob."""
        for path in self.container(container).blocks.pop(name, {}).values():
            path.unlink(missing_ok=True)

    def _take_up(self, path: Path) -> None:
        directory = path.parent
        facts = json.loads(path.read_text(encoding="utf-8"))
        container = Container(directory.name, facts["etag"], parse_instant(facts["modified"]))
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

    def _facts_path(self, container: str, name: str) -> Path:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return self._root / container / f"blob-{digest}.json"


def _write_json(path: Path, facts: Mapping[str, object]) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(facts), encoding="utf-8")
    os.replace(aside, path)
