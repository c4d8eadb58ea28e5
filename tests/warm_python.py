"""
Start Python programs without importing Airflow for each, which takes seconds.

One process for each test session has imported Airflow and nothing of this package, and is forked for each
program. A small program with a process id of its own passes on standard streams, signals and the exit status.
So a program is started by ``subprocess`` as any other: ``warm_python("-c", script)``, or ``"-m", module``.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

# Reads a request for each connection: arguments, environment and folder as JSON, and three file descriptors.
# A child of the child waits for the program, because this process answers the next request meanwhile.
_SERVER = r"""
import json, os, runpy, select, signal, socket, sys
import airflow, airflow.sdk, airflow.providers.common.compat.sdk
listener = socket.socket(fileno=int(sys.argv[1]))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while True:
    if sys.stdin in select.select([sys.stdin, listener], [], [])[0]:
        os._exit(0)  # the test session is over
    channel, _ = listener.accept()
    if os.fork():
        channel.close()
        continue
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size = int.from_bytes(channel.recv(4), "big")
    content, streams, _, _ = socket.recv_fds(channel, 1, 3)
    while len(content) < size:
        content += channel.recv(size - len(content))
    if program := os.fork():
        for stream in streams:
            os.close(stream)
        channel.sendall(program.to_bytes(4, "big"))
        status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        channel.sendall(status.to_bytes(4, "big", signed=True))
        os._exit(0)
    break
channel.close()
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
signal.signal(signal.SIGINT, signal.default_int_handler)
request = json.loads(content)
os.chdir(request["folder"])
os.environ.clear()
os.environ.update(request["environment"])
kind, given, *arguments = request["arguments"]
sys.argv = [given if kind == "-m" else kind, *arguments]
sys.path[0] = request["folder"]
if kind == "-m":
    runpy.run_module(given, run_name="__main__", alter_sys=True)
else:
    exec(compile(given, "<string>", "exec"), {"__name__": "__main__"})
"""

# Is run without site packages, in some milliseconds.
_CLIENT = r"""
import json, os, signal, socket, sys
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
request = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": os.getcwd()}
content = json.dumps(request).encode()
channel = socket.socket(socket.AF_UNIX)
channel.connect(sys.argv[1])
channel.sendall(len(content).to_bytes(4, "big"))
socket.send_fds(channel, [content[:1]], [0, 1, 2])
channel.sendall(content[1:])
os.close(0), os.close(1)  # or their readers would wait for this process, too
program = int.from_bytes(channel.recv(4), "big")
assert program, "The process that is forked has ended."
for number in FORWARDED:
    signal.signal(number, lambda number, _: os.kill(program, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
answer = channel.recv(4)
signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
status = int.from_bytes(answer, "big", signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@cache
def _address() -> str:
    """Start the process that is forked, and return the address of its socket."""
    folder = tempfile.TemporaryDirectory(prefix="warm-python-")
    address = str(Path(folder.name) / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    os.set_inheritable(listener.fileno(), True)
    # Airflow's test mode adds warnings to what a program prints.
    environment = {**os.environ, "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(listener.fileno())],
        stdin=subprocess.PIPE,
        env=environment,
        close_fds=False,
        start_new_session=True,  # a Ctrl-C of the tests is not for it
    )
    listener.close()

    def stop() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait()
        folder.cleanup()

    atexit.register(stop)
    return address


def warm_python(*arguments: str) -> Sequence[str]:
    """Return the command that runs ``-c SCRIPT`` or ``-m MODULE`` where Airflow has been imported."""
    return [sys.executable, "-I", "-S", "-c", _CLIENT, _address(), *arguments]
