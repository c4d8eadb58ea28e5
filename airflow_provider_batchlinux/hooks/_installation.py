"""The id of this installation of Airflow: from its configuration, or from a Variable that a task makes."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from airflow.providers.common.compat.sdk import conf

from airflow_provider_batchlinux.core.installation import (
    Step,
    claim_of,
    claimed_id,
    next_step,
    require_installation_id,
)
from airflow_provider_batchlinux.exceptions import BatchLinuxError

SECTION, OPTION = "batch_linux", "installation_id"
VARIABLE = "batch_linux_installation_id"

log = logging.getLogger(__name__)

_REMEDY = (
    f"Set the configuration option [{SECTION}] {OPTION} of the workers, or the Variable {VARIABLE!r}, to an "
    "id that no other Airflow on the Batch account has."
)
_DESCRIPTION = (
    "The id of this Airflow in the metadata of its Azure Batch pools and jobs. With another value, it does "
    "not recognise those that exist."
)
# Seconds between two looks at a Variable that another worker claims.
_PAUSE = 0.5


@dataclass(frozen=True)
class Store:
    """
    The Variable.

    :param read: returns it, ``None`` if it is absent.
    :param write: replaces it.
    :param clock: returns seconds.
    :param sleep: waits for seconds.
    """

    read: Callable[[], str | None]
    write: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def installation_id() -> str:
    """
    Return the id of this installation of Airflow.

    :raises ValueError: the configured id cannot be one.
    :raises BatchLinuxError: there is none, and Airflow does not let this process make one.
    """
    return configured_id() or require_installation_id(f"Variable {VARIABLE}", agreed_id(Store(_read, _write)))


def configured_id() -> str | None:
    """
    Return the id in Airflow's configuration; ``None`` if it has none.

    :raises ValueError: it cannot be one.
    """
    configured = conf.get(SECTION, OPTION, fallback="")
    return require_installation_id(f"[{SECTION}] {OPTION}", configured) if configured else None


def known_installation_id() -> str | None:
    """Return the id of this installation of Airflow without making one; ``None`` if it has none yet."""
    configured: str | None = conf.get(SECTION, OPTION, fallback="")
    if not configured:
        from airflow.sdk import Variable

        configured = Variable.get(VARIABLE, default=None)
    return configured if configured and next_step(configured, 0.0) is Step.USE else None


def agreed_id(store: Store) -> str:
    """Return the id that all workers agree on; the first ones make it, which takes them some seconds."""
    seen, since = None, store.clock()
    while True:
        found = store.read()
        if found != seen:
            seen, since = found, store.clock()
        step = next_step(found, store.clock() - since)
        if step is Step.CLAIM:
            store.write(claim_of(uuid.uuid4().hex[:12]))
        elif step is Step.WAIT:
            store.sleep(_PAUSE)
        else:
            assert found is not None, "An absent Variable is claimed."
            made = claimed_id(found)
            if step is Step.SETTLE:
                store.write(made)
                log.info("The id of this Airflow on Batch accounts is %r, in Variable %r.", made, VARIABLE)
            return made


def _read() -> str | None:
    try:
        # Not imported with a Dag file: it is needed when a task runs.
        from airflow.sdk import Variable
        from airflow.sdk.exceptions import ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable

        found: str | None = Variable.get(VARIABLE, default=None)
        if found is not None:
            return found
        # Airflow's Variables are also absent while its API server or database does not answer. An id that is
        # made then would replace the existing one, so the API server has to say that there is none.
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

        answer = SUPERVISOR_COMMS.send(GetVariable(key=VARIABLE))
    except (
        Exception
    ) as error:  # what Airflow raises is not documented; outside of a task it is an ImportError
        msg = f"Airflow did not answer whether the Variable {VARIABLE!r} exists: {error}. {_REMEDY}"
        raise BatchLinuxError(msg) from error
    if isinstance(answer, ErrorResponse) and answer.error is ErrorType.VARIABLE_NOT_FOUND:
        return None
    value: str | None = getattr(answer, "value", None)
    if value is None:
        msg = f"Airflow does not let this task read the Variable {VARIABLE!r}: {answer}. {_REMEDY}"
        raise BatchLinuxError(msg)
    return value


def _write(value: str) -> None:
    from airflow.sdk import Variable

    try:
        Variable.set(VARIABLE, value, description=_DESCRIPTION)
    except Exception as error:  # what Airflow raises is not documented
        msg = f"Airflow did not let this task create the Variable {VARIABLE!r}: {error}. {_REMEDY}"
        raise BatchLinuxError(msg) from error
