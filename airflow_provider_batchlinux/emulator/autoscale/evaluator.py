"""Evaluates autoscale formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_provider_batchlinux.emulator.autoscale.functions import FUNCTIONS, joined, read_time
from airflow_provider_batchlinux.emulator.autoscale.metrics import Metric, NotEnoughSamplesError, Sample
from airflow_provider_batchlinux.emulator.autoscale.problems import (
    EvaluationError,
    InsufficientSampleDataError,
    Place,
    UnsuitableError,
)
from airflow_provider_batchlinux.emulator.autoscale.syntax import (
    Binary,
    Call,
    Choice,
    Member,
    MethodCall,
    Name,
    Node,
    Number,
    Statement,
    Text,
    Unary,
    Vector,
    parse,
)
from airflow_provider_batchlinux.emulator.autoscale.values import (
    INTERVALS,
    Interval,
    Value,
    format_value,
    kind_of,
    member_of,
    operate,
)

DEALLOCATION_OPTIONS = ("requeue", "terminate", "taskcompletion", "retaineddata")
_DEDICATED, _SPOT = "$TargetDedicatedNodes", "$TargetLowPriorityNodes"
_OPTION = "$NodeDeallocationOption"
_WRITABLE = (_DEDICATED, _SPOT, _OPTION)
_ALIASES: Mapping[str, str] = {"$TargetDedicated": _DEDICATED, "$TargetLowPriority": _SPOT}
_CONSTANTS: Mapping[str, Value] = {**INTERVALS, **{option: option for option in DEALLOCATION_OPTIONS}}
_MOST_NODES = 2**31 - 1

_Operand = Value | Metric


@dataclass(frozen=True)
class Scene:
    """
    The input of an evaluation.

    :param current: the current value of each metric.
    :param samples: the available samples, from old to new.
    :param random: returns a random number from 0.0 to 1.0.
    """

    now: datetime
    target_dedicated: int
    target_spot: int
    current: Mapping[str, float]
    samples: Sequence[Sample]
    random: Callable[[], float]


@dataclass(frozen=True)
class Targets:
    """
    The result of an evaluation.

    :param variables: the formula's own variables and their final values.
    """

    dedicated: int
    spot: int
    deallocation: str = DEALLOCATION_OPTIONS[0]
    variables: Mapping[str, str] | None = None

    def __str__(self) -> str:
        """Return the result as the service writes it: targets first, then the formula's variables, sorted."""
        own = {_DEDICATED: self.dedicated, _SPOT: self.spot, _OPTION: self.deallocation}
        shown = [*own.items(), *sorted((self.variables or {}).items())]
        return ";".join(f"{name}={value}" for name, value in shown)


def evaluate(formula: str, scene: Scene) -> Targets:
    """
    Evaluate a formula. A target that it does not set is unchanged.

    :raises FormulaError: the formula cannot be parsed or evaluated.
    """
    run = _Run(scene)
    for statement in parse(formula):
        if not run.execute(statement):
            break
    return run.targets()


class _Run:
    """One evaluation. Assumed: a user's variable is the same with and without ``$``."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._variables: dict[str, _Operand] = {}
        self._defaults: Mapping[str, Value] = {
            _DEDICATED: float(scene.target_dedicated),
            _SPOT: float(scene.target_spot),
            _OPTION: DEALLOCATION_OPTIONS[0],
        }
        self._is_stopped = False

    def execute(self, statement: Statement) -> bool:
        """Execute a statement, and return whether to go on."""
        value = self._value(statement.value)
        if statement.target is not None and not self._is_stopped:
            self._assign(statement.target, value, statement.place)
        return not self._is_stopped

    def targets(self) -> Targets:
        """Return the result. An alias is used if its full name is not set."""
        own = {
            name: format_value(_plain(value))
            for name, value in self._variables.items()
            if name not in _WRITABLE and name not in _ALIASES
        }
        return Targets(self._target(_DEDICATED), self._target(_SPOT), str(self._setting(_OPTION)), own)

    def _target(self, name: str) -> int:
        value = self._setting(name)
        return int(max(0.0, value)) if isinstance(value, float) else 0

    def _setting(self, name: str) -> _Operand:
        alias = next((alias for alias, full in _ALIASES.items() if full == name), name)
        held = self._variables
        return held.get(name, held.get(alias, self._defaults[name]))

    def _assign(self, target: str, value: _Operand, place: Place) -> None:
        name = f"${target.lstrip('$')}"
        if target in _CONSTANTS or name in self._scene.current:
            raise EvaluationError(place, f"'{target}' cannot be assigned")
        full = _ALIASES.get(name, name)
        if full == _OPTION:
            _check_option(value, place)
        elif full in _WRITABLE:
            value = _node_count(_plain(value), place)
        self._variables[name] = value

    def _value(self, node: Node) -> _Operand:
        try:
            return _EVALUATORS[type(node)](self, node)
        except UnsuitableError as problem:
            raise EvaluationError(node.place, str(problem)) from None
        except NotEnoughSamplesError as shortage:
            detail = f"Insufficient data from data set: {shortage}"
            raise InsufficientSampleDataError(node.place, detail) from None

    def _plain_value(self, node: Node) -> Value:
        return _plain(self._value(node))

    def _condition(self, node: Node) -> bool:
        value = self._plain_value(node)
        if not isinstance(value, float):
            problem = f"A double was expected, not {kind_of(value)}"
            raise UnsuitableError(problem)
        return value != 0

    def _literal(self, node: Number | Text) -> Value:
        return node.value

    def _name(self, node: Name) -> _Operand:
        name = f"${node.name.lstrip('$')}"
        if name in self._variables:
            return self._variables[name]
        if node.name in _CONSTANTS:
            return _CONSTANTS[node.name]
        if (full := _ALIASES.get(node.name, node.name)) in self._defaults:
            return self._setting(full)
        if node.name in self._scene.current:
            scene = self._scene
            return Metric(node.name, scene.current[node.name], scene.samples, scene.now)
        problem = f"Undefined symbol: {node.name}"
        raise UnsuitableError(problem)

    def _vector(self, node: Vector) -> Value:
        return joined([self._plain_value(item) for item in node.items])

    def _unary(self, node: Unary) -> Value:
        if node.symbol == "!":
            return float(not self._condition(node.operand))
        value = self._plain_value(node.operand)
        if isinstance(value, Interval):
            return Interval(-value.seconds)
        if isinstance(value, float):
            return -value
        problem = f"Operator '-' cannot be applied to {kind_of(value)}"
        raise UnsuitableError(problem)

    def _binary(self, node: Binary) -> Value:
        """Evaluate a chain of operators."""
        # A loop instead of recursion on the left side: a sum may have thousands of terms.
        chain = [node]
        while isinstance(chain[-1].left, Binary):
            chain.append(chain[-1].left)
        value = self._plain_value(chain[-1].left)
        for link in reversed(chain):
            value = self._combine(value, link)
        return value

    def _combine(self, left: Value, node: Binary) -> Value:
        try:
            if node.symbol in ("&&", "||"):
                return float(self._decide(left, node))
            return operate(node.symbol, left, self._plain_value(node.right))
        except UnsuitableError as problem:
            raise EvaluationError(node.place, str(problem)) from None

    def _decide(self, left: Value, node: Binary) -> bool:
        """Return the result of ``&&`` or ``||``. Assumed: the right side is evaluated only if needed."""
        if not isinstance(left, float):
            problem = f"Operator '{node.symbol}' cannot be applied to {kind_of(left)}"
            raise UnsuitableError(problem)
        is_true = left != 0
        return is_true if is_true == (node.symbol == "||") else self._condition(node.right)

    def _choice(self, node: Choice) -> _Operand:
        return self._value(node.then if self._condition(node.condition) else node.otherwise)

    def _call(self, node: Call) -> Value:
        arguments = [self._plain_value(argument) for argument in node.arguments]
        if node.name in FUNCTIONS:
            return FUNCTIONS[node.name](arguments)
        if node.name == "time" and len(arguments) <= 1:
            return self._time(arguments)
        if node.name in ("rand", "stop") and not arguments:
            self._is_stopped = self._is_stopped or node.name == "stop"
            return self._scene.random() if node.name == "rand" else 0.0
        problem = f"There is no function {node.name}() of {len(arguments)} arguments"
        raise UnsuitableError(problem)

    def _time(self, arguments: Sequence[Value]) -> Value:
        text = arguments[0] if arguments else ""
        if not isinstance(text, str):
            problem = f"A string was expected, not {kind_of(text)}"
            raise UnsuitableError(problem)
        return read_time(text) if text else self._scene.now

    def _member(self, node: Member) -> Value:
        return member_of(self._plain_value(node.of), node.name)

    def _method_call(self, node: MethodCall) -> Value:
        metric = self._value(node.of)
        if not isinstance(metric, Metric):
            problem = f"{kind_of(metric)} has no method '{node.name}'"
            raise UnsuitableError(problem)
        return metric.call(node.name, [self._plain_value(argument) for argument in node.arguments])


def _plain(value: _Operand) -> Value:
    return value.current if isinstance(value, Metric) else value


def _check_option(value: _Operand, place: Place) -> None:
    if value not in DEALLOCATION_OPTIONS:
        raise EvaluationError(place, f"{_OPTION} is one of {', '.join(DEALLOCATION_OPTIONS)}")


def _node_count(value: Value, place: Place) -> float:
    """Return a target. Assumed: fractions are truncated, and negative numbers become 0."""
    if not isinstance(value, float):
        raise EvaluationError(place, f"A number of nodes is a double, not {kind_of(value)}")
    if math.isnan(value) or value > _MOST_NODES:
        raise EvaluationError(place, f"{format_value(value)} is not a number of nodes")
    return value


_EVALUATORS: Mapping[type[Node], Callable[..., _Operand]] = {
    Number: _Run._literal,
    Text: _Run._literal,
    Name: _Run._name,
    Vector: _Run._vector,
    Unary: _Run._unary,
    Binary: _Run._binary,
    Choice: _Run._choice,
    Call: _Run._call,
    Member: _Run._member,
    MethodCall: _Run._method_call,
}
