"""Fetches the resource files of tasks over HTTP before the task runs; knows no records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from airflow_provider_batchlinux.emulator.programs import user_error

__all__ = ["fetch_resource_files"]

_TIMEOUT = aiohttp.ClientTimeout(total=300)


async def fetch_resource_files(files: list[Mapping[str, Any]], directory: Path) -> Mapping[str, Any] | None:
    """
    Fetch files into a directory; return the service's ``failureInfo`` if one cannot be had.

    Only ``httpUrl`` is fetched: the emulator has no storage containers. The codes of failures are
    assumed.
    """
    if not files:
        return None
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for file in files:
            try:
                await _fetch(session, file, directory)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                sentence = "One of the specified resource files could not be fetched"
                details = {"FilePath": file.get("filePath", ""), "Message": str(error)}
                return user_error("ResourceFileFetchFailed", sentence, details)
    return None


async def _fetch(session: aiohttp.ClientSession, file: Mapping[str, Any], directory: Path) -> None:
    if "httpUrl" not in file or "filePath" not in file:
        message = "The embedded Batch service fetches resource files by httpUrl and filePath only."
        raise ValueError(message)
    target = _target(directory, file["filePath"])
    async with session.get(file["httpUrl"], raise_for_status=True) as response:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as sink:
            async for chunk in response.content.iter_chunked(1 << 16):
                sink.write(chunk)
    if "fileMode" in file:
        target.chmod(int(file["fileMode"], 8))


def _target(directory: Path, name: str) -> Path:
    target = (directory / name).resolve()
    if not target.is_relative_to(directory.resolve()):
        message = f"{name!r} leads out of the task's working directory."
        raise ValueError(message)
    return target
