"""Ready-made autoscale formulas."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_batchlinux.core.counts import is_count

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DEALLOCATION_OPTIONS = ("requeue", "terminate", "taskcompletion")


def by_pending_tasks(
    *,
    max_dedicated: int = 0,
    max_spot: int = 0,
    min_dedicated: int = 0,
    min_spot: int = 0,
    task_slots_per_node: int = 1,
    window_minutes: float = 5,
    deallocation: str = "taskcompletion",
) -> str:
    """
    Return a formula that provides one task slot for each waiting or running task.

    It uses the average of the window as soon as 70 percent of its samples exist, and the last sample until
    then. Dedicated nodes are used first, then Spot nodes.

    .. code-block:: python

        AutoscaleSpec(by_pending_tasks(max_dedicated=1, max_spot=20), interval=300)

    :param max_dedicated: the maximum number of dedicated nodes.
    :param max_spot: the maximum number of Spot nodes.
    :param min_dedicated: the minimum number of dedicated nodes.
    :param min_spot: the minimum number of Spot nodes.
    :param task_slots_per_node: the pool's task slots per node.
    :param window_minutes: the time over which the number of tasks is averaged.
    :param deallocation: what to do with tasks on nodes that are removed: ``taskcompletion`` waits for them,
        ``requeue`` runs them again on other nodes, ``terminate`` ends them.
    :raises ValueError: if arguments are invalid; all problems.
    """
    _check(
        _bounds("dedicated", min_dedicated, max_dedicated),
        _bounds("spot", min_spot, max_spot),
        _some_node(max_dedicated, max_spot),
        _positive("task_slots_per_node", task_slots_per_node),
        _positive("window_minutes", window_minutes),
        _option(deallocation),
    )
    return "\n".join(
        [
            f"window = TimeInterval_Minute * {window_minutes:g};",
            "share = $PendingTasks.GetSamplePercent(window);",
            "last = max(0, $PendingTasks.GetSample(1));",
            "tasks = share < 70 ? last : max(last, avg($PendingTasks.GetSample(window)));",
            f"nodes = ceil(tasks / {task_slots_per_node});",
            f"$TargetDedicatedNodes = max({min_dedicated}, min({max_dedicated}, nodes));",
            f"$TargetLowPriorityNodes = max({min_spot}, min({max_spot}, nodes - $TargetDedicatedNodes));",
            f"$NodeDeallocationOption = {deallocation};",
        ]
    )


def by_working_hours(
    *,
    dedicated: int = 0,
    spot: int = 0,
    off_dedicated: int = 0,
    off_spot: int = 0,
    first_hour: int = 8,
    last_hour: int = 18,
    days: Sequence[str] = _WEEKDAYS[:5],
    utc_offset_hours: float = 0,
    deallocation: str = "taskcompletion",
) -> str:
    """
    Return a formula with one number of nodes in working hours, and another outside of them.

    The service uses UTC without daylight saving time: the offset is a number, not a time zone.

    .. code-block:: python

        AutoscaleSpec(by_working_hours(dedicated=4, first_hour=7, last_hour=19, utc_offset_hours=1))

    :param dedicated: the number of dedicated nodes in working hours.
    :param spot: the number of Spot nodes in working hours.
    :param off_dedicated: the number of dedicated nodes outside of working hours.
    :param off_spot: the number of Spot nodes outside of working hours.
    :param first_hour: the hour at which working hours begin, 0 to 23.
    :param last_hour: the hour at which they end, 1 to 24.
    :param days: the working days, such as ``monday``; the default is Monday to Friday.
    :param utc_offset_hours: how many hours the local time is ahead of UTC.
    :param deallocation: what to do to tasks on nodes that are removed, as for :func:`by_pending_tasks`.
    :raises ValueError: if arguments are invalid; all problems.
    """
    counts = {"dedicated": dedicated, "spot": spot, "off_dedicated": off_dedicated, "off_spot": off_spot}
    _check(
        *(_count(name, value) for name, value in counts.items()),
        _some_node(dedicated, spot),
        _hours(first_hour, last_hour),
        _days(days),
        _offset(utc_offset_hours),
        _option(deallocation),
    )
    numbers = [(_WEEKDAYS.index(day.lower()) + 1) % 7 for day in days]
    on_duty = " || ".join(f"now.weekday == {number}" for number in sorted(numbers))
    return (
        f"now = time() + TimeInterval_Minute * {utc_offset_hours * 60:g};\n"
        f"atWork = now.hour >= {first_hour} && now.hour < {last_hour} && ({on_duty});\n"
        f"$TargetDedicatedNodes = atWork ? {dedicated} : {off_dedicated};\n"
        f"$TargetLowPriorityNodes = atWork ? {spot} : {off_spot};\n"
        f"$NodeDeallocationOption = {deallocation};"
    )


def zero_when_idle(
    *,
    dedicated: int = 0,
    spot: int = 0,
    idle_minutes: float = 15,
    deallocation: str = "taskcompletion",
) -> str:
    """
    Return a formula that scales a pool to zero after a time without tasks, and back with the next task.

    While fewer than 70 percent of the samples of the idle time exist, as on a new pool, the size does not
    change.

    .. code-block:: python

        AutoscaleSpec(zero_when_idle(dedicated=4, idle_minutes=30))

    :param dedicated: the number of dedicated nodes while there are tasks.
    :param spot: the number of Spot nodes while there are tasks.
    :param idle_minutes: the time without any task after which the nodes are removed.
    :param deallocation: what to do to tasks on nodes that are removed, as for :func:`by_pending_tasks`.
    :raises ValueError: if arguments are invalid; all problems.
    """
    _check(
        _count("dedicated", dedicated),
        _count("spot", spot),
        _some_node(dedicated, spot),
        _positive("idle_minutes", idle_minutes),
        _option(deallocation),
    )
    lines = [
        f"window = TimeInterval_Minute * {idle_minutes:g};",
        "share = $PendingTasks.GetSamplePercent(window);",
        "busy = max(0, $PendingTasks.GetSample(1)) > 0 ? 1 : (share < 70 ? 0 - 1 : "
        "(max($PendingTasks.GetSample(window)) > 0 ? 1 : 0));",
    ]
    for target, count in (("$TargetDedicatedNodes", dedicated), ("$TargetLowPriorityNodes", spot)):
        lines.append(f"{target} = busy > 0 ? {count} : (busy < 0 ? {target} : 0);")
    return "\n".join([*lines, f"$NodeDeallocationOption = {deallocation};"])


def _check(*problems: str | None) -> None:
    found = [problem for problem in problems if problem]
    if found:
        raise ValueError("\n".join(found))


def _count(name: str, value: object) -> str | None:
    return (
        None
        if is_count(value)
        else f"{name}={value!r} is not a number of nodes; use a whole number from 0 up."
    )


def _bounds(kind: str, least: int, most: int) -> str | None:
    wrong = _count(f"min_{kind}", least) or _count(f"max_{kind}", most)
    if wrong is None and least > most:
        wrong = f"min_{kind}={least} is more than max_{kind}={most}."
    return wrong


def _some_node(dedicated: object, spot: object) -> str | None:
    return None if dedicated or spot else "The pool would never have a node; request dedicated or Spot nodes."


def _positive(name: str, value: float) -> str | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number and 0 < value < float("inf") else f"{name}={value!r} is not a number above 0."


def _hours(first: int, last: int) -> str | None:
    if 0 <= first < last <= 24:
        return None
    return f"first_hour={first!r} and last_hour={last!r} are not a time span between 0 and 24."


def _days(days: Sequence[str]) -> str | None:
    unknown = [day for day in days if str(day).lower() not in _WEEKDAYS]
    if days and not isinstance(days, str) and not unknown:
        return None
    return f"days={days!r} is not a list of days such as 'monday'."


def _offset(hours: float) -> str | None:
    return None if -12 <= hours <= 14 else f"utc_offset_hours={hours!r} is not between -12 and 14."


def _option(deallocation: str) -> str | None:
    known = ", ".join(map(repr, _DEALLOCATION_OPTIONS))
    return (
        None
        if deallocation in _DEALLOCATION_OPTIONS
        else f"deallocation={deallocation!r} is not one of {known}."
    )
