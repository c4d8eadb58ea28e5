"""Automatic scaling: samples the metrics of pools, and applies their formulas."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from airflow_provider_batchlinux.emulator.autoscale.evaluator import Scene, Targets, evaluate
from airflow_provider_batchlinux.emulator.autoscale.measures import measure
from airflow_provider_batchlinux.emulator.autoscale.metrics import SAMPLE_PERIOD, Sample
from airflow_provider_batchlinux.emulator.autoscale.problems import FormulaError
from airflow_provider_batchlinux.emulator.pools.allocation import Allocation
from airflow_provider_batchlinux.emulator.protocol.instants import format_instant, parse_duration
from airflow_provider_batchlinux.emulator.simulation.clock import Clock, Timer
from airflow_provider_batchlinux.emulator.simulation.lifecycle import Profile
from airflow_provider_batchlinux.emulator.state.records import Json, Pool
from airflow_provider_batchlinux.emulator.state.store import Store

_MOST_SAMPLES = 2880
"""One day. How long the service keeps samples is not documented."""


@dataclass
class _Schedule:
    """The timers and samples of a pool with automatic scaling."""

    interval: str
    samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=_MOST_SAMPLES))
    sampling: Timer | None = None
    evaluation: Timer | None = None

    def cancel(self) -> None:
        """Cancel the timers."""
        for timer in (self.sampling, self.evaluation):
            if timer is not None:
                timer.cancel()


@dataclass
class AutoScaler:
    """
    Evaluates the formula of a pool when automatic scaling is enabled, and at every interval.

    Samples are taken from then on. If the profile makes samples available without delay, each evaluation also
    takes one, so that the first evaluation does not lack samples.

    :param random: returns random numbers for the function ``rand()``.
    """

    store: Store
    clock: Clock
    profile: Profile
    allocation: Allocation
    random: Callable[[], float] = field(default_factory=lambda: Random().random)
    _schedules: dict[str, _Schedule] = field(default_factory=dict)

    def enable(self, pool: Pool, now: datetime) -> Pool:
        """Start to scale a pool with its formula, or go on if only the formula has changed."""
        interval = pool.spec["autoScaleEvaluationInterval"]
        schedule = self._schedules.get(pool.id.lower())
        if schedule is None or schedule.interval != interval:
            self._begin(pool, interval, schedule)
        return self._run(pool, now, is_new=True)

    def resume(self, pool: Pool) -> None:
        """Resume scaling after a restart, without the earlier samples."""
        if pool.is_auto_scaled and pool.state == "active":
            self._begin(pool, pool.spec["autoScaleEvaluationInterval"], None)

    def disable(self, pool_id: str) -> None:
        """Stop scaling a pool."""
        schedule = self._schedules.pop(pool_id.lower(), None)
        if schedule is not None:
            schedule.cancel()

    def evaluate(self, pool: Pool, formula: str, now: datetime) -> Json:
        """Return the autoscale run of a formula, without applying it."""
        return self._evaluate(pool, formula, now)[0]

    def _begin(self, pool: Pool, interval: str, before: _Schedule | None) -> None:
        self.disable(pool.id)
        schedule = _Schedule(interval)
        if before is not None:
            schedule.samples.extend(before.samples)
        self._schedules[pool.id.lower()] = schedule
        self._await_sample(pool.id, schedule)
        self._await_evaluation(pool.id, schedule)

    def _await_sample(self, pool_id: str, schedule: _Schedule) -> None:
        schedule.sampling = self.clock.call_later(SAMPLE_PERIOD, lambda: self._on_sample(pool_id, schedule))

    def _await_evaluation(self, pool_id: str, schedule: _Schedule) -> None:
        delay = parse_duration(schedule.interval)
        schedule.evaluation = self.clock.call_later(delay, lambda: self._on_interval(pool_id, schedule))

    def _on_sample(self, pool_id: str, schedule: _Schedule) -> None:
        pool = self._scaled(pool_id)
        if pool is not None:
            self._sample(pool, schedule, self.clock.now())
            self._await_sample(pool_id, schedule)

    def _on_interval(self, pool_id: str, schedule: _Schedule) -> None:
        pool = self._scaled(pool_id)
        if pool is not None:
            self._run(pool, self.clock.now())
            self._await_evaluation(pool_id, schedule)

    def _scaled(self, pool_id: str) -> Pool | None:
        pool = self.store.pools.get(pool_id)
        if pool is not None and pool.state == "active" and pool.is_auto_scaled:
            return pool
        self.disable(pool_id)
        return None

    def _sample(self, pool: Pool, schedule: _Schedule, now: datetime) -> None:
        if not schedule.samples or schedule.samples[-1].taken < now:
            schedule.samples.append(Sample(now, measure(self.store, pool)))

    def _run(self, pool: Pool, now: datetime, *, is_new: bool = False) -> Pool:
        run, targets = self._evaluate(pool, pool.spec["autoScaleFormula"], now)
        if is_new and self.profile.run_lag:
            pool = self.store.put_pool(pool)
            self.clock.call_later(self.profile.run_lag, lambda: self._show_run(pool.id, run))
        else:
            pool = self.store.put_pool(replace(pool, auto_scale_run=run))
        if targets is None or not self._is_due(pool, targets, is_new=is_new):
            return pool
        if is_new:
            pool = replace(pool, version=self.store.next_version(now))
        return self.allocation.resize(
            pool, targets.dedicated, targets.spot, now, deallocation=targets.deallocation
        )

    def _show_run(self, pool_id: str, run: Json) -> None:
        pool = self._scaled(pool_id)
        if pool is not None:
            self.store.put_pool(replace(pool, auto_scale_run=run))

    def _is_due(self, pool: Pool, targets: Targets, *, is_new: bool) -> bool:
        """
        Return whether an evaluation starts a resize.

        - Recorded: enabling automatic scaling starts one, even if nothing changes.
        - Known from clients: lost nodes are replaced although the targets are the same.
        - Assumed: new targets replace those of a resize in progress, unless it is being stopped.
        """
        wanted = (targets.dedicated, targets.spot)
        is_same = wanted == (pool.target_dedicated, pool.target_spot)
        if pool.allocation_state != "steady":
            return pool.allocation_state == "resizing" and not is_same
        return is_new or not is_same or wanted != self._sizes(pool)

    def _sizes(self, pool: Pool) -> tuple[int, int]:
        dedicated = self.store.count_nodes(pool.id, is_dedicated=True)
        return dedicated, len(self.store.nodes(pool.id)) - dedicated

    def _evaluate(self, pool: Pool, formula: str, now: datetime) -> tuple[Json, Targets | None]:
        run = {"timestamp": format_instant(now)}
        try:
            targets = evaluate(formula, self._scene(pool, now))
        except FormulaError as error:
            # Known from the SDK's tests: the results are then the current targets.
            unchanged = Targets(pool.target_dedicated, pool.target_spot)
            return {**run, "results": str(unchanged), "error": _error_view(error)}, None
        return {**run, "results": str(targets)}, targets

    def _scene(self, pool: Pool, now: datetime) -> Scene:
        schedule = self._schedules.get(pool.id.lower())
        if schedule is not None and not self.profile.sample_lag:
            self._sample(pool, schedule, now)
        samples = () if schedule is None else tuple(self._available(schedule.samples, now))
        current = measure(self.store, pool)
        return Scene(now, pool.target_dedicated, pool.target_spot, current, samples, self.random)

    def _available(self, samples: Iterable[Sample], now: datetime) -> Iterable[Sample]:
        newest = now - timedelta(seconds=self.profile.sample_lag)
        return (sample for sample in samples if sample.taken <= newest)


def _error_view(error: FormulaError) -> Json:
    values = [{"name": "Message", "value": error.detail}]
    return {"code": error.code, "message": error.sentence, "values": values}
