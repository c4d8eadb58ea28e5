"""Errors of autoscale formulas, with the codes of the service."""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class Place(NamedTuple):
    """A position in a formula; line and column start at 1."""

    line: int
    column: int


class FormulaError(Exception):
    """
    A formula cannot be parsed or evaluated.

    :param detail: description of the problem, without its position.
    """

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, place: Place, detail: str) -> None:
        self.detail = f"Line {place.line}, Col {place.column}: {detail}"
        super().__init__(self.detail)


class FormulaSyntaxError(FormulaError):
    """The text is not a formula. Code and message are documented, the detail is assumed."""

    code = "AutoScalingFormulaSyntaxError"
    sentence = "The specified auto-scaling formula has a syntax error."


class EvaluationError(FormulaError):
    """The evaluation failed. The code, the message and the detail of an undefined symbol are recorded."""

    code = "AutoScalingFormulaEvaluationError"
    sentence = "The specified auto-scaling formula has evaluation error"


class InsufficientSampleDataError(FormulaError):
    """There are fewer samples than the formula requires. Code, message and detail are documented."""

    code = "InsufficientSampleData"
    sentence = "Autoscale evaluation failed due to insufficient sample data"


class UnsuitableError(ValueError):
    """An operator, function or method does not accept these values. The evaluator adds the position."""
