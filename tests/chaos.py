"""A proxy before a service that answers wrongly at times, as real proxies, portals and networks do."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Literal
from urllib.parse import urlsplit

Executed = Literal["before", "after"]
"""Whether the proxy fails before the service has executed the request, or after."""


@dataclass(frozen=True)
class Request:
    """One request as the proxy read it."""

    method: str
    path: str
    raw: bytes


@dataclass(frozen=True)
class Fault:
    """
    What a client gets instead of the service's answer.

    :param name: for the record of what happened.
    :param spoil: makes the bytes to send from the service's answer; ``None`` sends nothing.
    :param when: ``before`` does not ask the service at all.
    :param ending: ``close`` the connection, ``reset`` it, or ``stall`` until the client gives up.
    """

    name: str
    spoil: Callable[[bytes], bytes] | None
    when: Executed
    ending: Literal["close", "reset", "stall"] = "close"


PAGE = "<!DOCTYPE html><html><body>Please sign in.</body></html>"


def answer_of(status: str, body: str, kind: str = "text/html", **headers: str) -> bytes:
    """Write an HTTP answer."""
    lines = {"Content-Type": kind, "Content-Length": str(len(body.encode())), "Connection": "close"}
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in {**lines, **headers}.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n{body}".encode()


def error_of(status: int, code: str) -> bytes:
    """Write an error as the service answers it."""
    message = {"lang": "en-us", "value": f"The service says {code}."}
    body = json.dumps({"code": code, "message": message})
    return answer_of(f"{status} Refused", body, "application/json;odata=minimalmetadata", request_id="3f2a")


def with_body(answer: bytes, body: bytes, *, length: int | None = None) -> bytes:
    """
    Replace the body of an answer and keep its other headers.

    :param length: the length that the headers claim; ``None`` for that of the body.
    """
    head, _, _ = answer.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith(_FRAMING)]
    kept.append(b"Content-Length: %d" % (len(body) if length is None else length))
    return b"\r\n".join([*kept, b"Connection: close", b"", body])


def body_of(answer: bytes) -> bytes:
    """Give the body of an answer that came with its length."""
    return answer.partition(b"\r\n\r\n")[2]


def _cut(answer: bytes) -> bytes:
    body = body_of(answer)
    # An answer without a body, as that to a HEAD, cannot be cut: it is not sent at all.
    return with_body(answer, body[: len(body) // 2], length=len(body)) if body else b""


def _shortened(answer: bytes) -> bytes:
    body = body_of(answer)
    return with_body(answer, body[: len(body) // 2]) if body else b""


def _instead(answer: bytes) -> Callable[[bytes], bytes]:
    return lambda _: answer


_FRAMING = (b"content-length:", b"transfer-encoding:", b"connection:")
_OK_PAGE = _instead(answer_of("200 OK", PAGE))
_BAD_GATEWAY = _instead(answer_of("502 Bad Gateway", PAGE))

FAULTS = (
    *(Fault(f"page {when}", _OK_PAGE, when) for when in ("before", "after")),
    *(Fault(f"empty {when}", _instead(answer_of("200 OK", "")), when) for when in ("before", "after")),
    *(Fault(f"bad gateway {when}", _BAD_GATEWAY, when) for when in ("before", "after")),
    *(Fault(f"reset {when}", None, when, "reset") for when in ("before", "after")),
    *(Fault(f"stall {when}", None, when, "stall") for when in ("before", "after")),
    Fault("json", _instead(answer_of("200 OK", '{"status": "ok"}', "application/json")), "before"),
    Fault("cut", _cut, "after"),
    Fault("shortened", _shortened, "after"),
)

Choose = Callable[[Request], Fault | None]


def instead(answer: bytes, when: Executed = "before") -> Fault:
    """Send the same answer to any request."""
    return Fault("instead", lambda _: answer, when)


def no_fault(_: Request) -> None:
    """Let every request pass."""


class Dice:
    """
    Choose faults by chance, the same ones for the same requests and seed.

    :param rate: the share of requests that fail.
    """

    def __init__(self, seed: int, rate: float = 0.12) -> None:
        self._seed = seed
        self._rate = rate
        self._seen: Counter[str] = Counter()

    def __call__(self, request: Request) -> Fault | None:
        """Choose for one request."""
        # Not by the order of all requests, which depends on what runs at the same time.
        key = f"{request.method} {request.path.partition('?')[0]}"
        self._seen[key] += 1
        chance = random.Random(f"{self._seed} {key} {self._seen[key]}")
        return chance.choice(FAULTS) if chance.random() < self._rate else None


class Script:
    """
    Let some requests fail, and no others.

    :param method: the method, or ``None`` for any.
    :param path: a regular expression to search for in the path.
    :param times: how many of the requests that match; ``None`` for all.
    """

    def __init__(
        self, fault: Fault, *, method: str | None = None, path: str = "", times: int | None = 1
    ) -> None:
        self._fault = fault
        self._method = method
        self._path = re.compile(path)
        self._left = times

    def __call__(self, request: Request) -> Fault | None:
        """Choose for one request."""
        if (
            self._left == 0
            or self._method not in (None, request.method)
            or not self._path.search(request.path)
        ):
            return None
        self._left = None if self._left is None else self._left - 1
        return self._fault


class ChaosProxy:
    """
    A proxy of plain HTTP that lets requests fail.

    :param target: the URL of the service.
    :param choose: decides for each request whether it fails, and how.
    """

    def __init__(self, target: str, choose: Choose) -> None:
        self.happened: list[str] = []
        self.choose = choose
        self._target = urlsplit(target)
        self.listens = Event()
        self._port = 0

    @property
    def url(self) -> str:
        """The URL at which clients come to the proxy."""
        return f"http://127.0.0.1:{self._port}"

    async def serve(self) -> None:
        """Serve until this is cancelled."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self.listens.set()
        await server.serve_forever()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(await _read_request(reader), reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            writer.close()

    async def _answer(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = self.choose(request)
        if fault is None:
            writer.write(await self._forward(request))
            await writer.drain()
            return
        self.happened.append(f"{request.method} {request.path.partition('?')[0]}: {fault.name}")
        answer = await self._forward(request) if fault.when == "after" else b""
        if fault.spoil is not None:
            spoiled = fault.spoil(answer)
            writer.write(
                spoiled if request.method != "HEAD" else spoiled[: len(spoiled) - len(body_of(spoiled))]
            )
            await writer.drain()
        if fault.ending == "stall":
            await reader.read()
        if fault.ending == "reset":
            writer.transport.abort()

    async def _forward(self, request: Request) -> bytes:
        reader, writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        writer.write(request.raw)
        answer = await reader.read()
        writer.close()
        return answer


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    method, path, _ = first.decode().split(" ")
    raw = b"\r\n".join([first, *kept, b"Connection: close", b"", body])
    return Request(method, path, raw)


@contextmanager
def chaos_proxy(target: str, choose: Choose) -> Iterator[ChaosProxy]:
    """Run a proxy in a thread of its own until the block ends."""
    proxy = ChaosProxy(target, choose)
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="chaos", daemon=True)
    thread.start()
    serving = asyncio.run_coroutine_threadsafe(proxy.serve(), loop)
    proxy.listens.wait()
    try:
        yield proxy
    finally:
        serving.cancel()
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
