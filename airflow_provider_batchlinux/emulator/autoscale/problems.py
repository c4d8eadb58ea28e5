"""What can be wrong with an autoscale formula, in the service's codes; stdlib only."""

from __future__ import annotations

from typing import ClassVar, NamedTuple


class Place(NamedTuple):
    """Where something stands in a formula; both count from 1."""

    line: int
    column: int


class FormulaError(Exception):
    """
    A formula cannot be read or evaluated.

    :param detail: what is wrong, without the place.
    """

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, place: Place, detail: str) -> None:
        self.detail = f"Line {place.line}, Col {place.column}: {detail}"
        super().__init__(self.detail)


class FormulaSyntaxError(FormulaError):
    """It is not a formula. Code and sentence are documented, the detail is assumed."""

    code = "AutoScalingFormulaSyntaxError"
    sentence = "The specified auto-scaling formula has a syntax error."


class EvaluationError(FormulaError):
    """It has no value. The code is known from the SDK's tests, sentence and detail are assumed."""

    code = "AutoScalingFormulaEvaluationError"
    sentence = "Autoscale evaluation failed due to an error in the formula"


class InsufficientSampleDataError(FormulaError):
    """There are fewer samples than it asks for. Code, sentence and detail are documented."""

    code = "InsufficientSampleData"
    sentence = "Autoscale evaluation failed due to insufficient sample data"


class UnsuitableError(ValueError):
    """An operator, function or method does not take these values; the evaluator knows the place."""
