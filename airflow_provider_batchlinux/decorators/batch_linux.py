"""The decorators ``@task.batch_linux`` and ``@task.batch_linux_cmd``."""

from __future__ import annotations

import base64
import builtins
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, cast

from airflow.providers.common.compat.sdk import DecoratedOperator, task_decorator_factory
from airflow.sdk.bases.decorator import _TaskDecorator
from airflow.sdk.definitions._internal.contextmanager import DagContext

from airflow_provider_batchlinux.core.functions.call import (
    COMMAND,
    RESULT_FILE,
    FunctionCall,
    context_arguments,
    meaning_of,
    returned_part,
    script,
)
from airflow_provider_batchlinux.core.functions.source import standalone_source, undefined_names
from airflow_provider_batchlinux.exceptions import TaskFailedForGoodError
from airflow_provider_batchlinux.operators.task import BatchLinuxTaskOperator
from airflow_provider_batchlinux.triggers._base import trigger_of
from airflow_provider_batchlinux.triggers.room import BatchLinuxRoomTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg
    from airflow.sdk.bases.decorator import Task, TaskDecorator
    from airflow.sdk.definitions._internal.expandinput import ExpandInput

    from airflow_provider_batchlinux.core.functions.requests import FunctionRequest, Serializer

__all__ = ["batch_linux_cmd_task", "batch_linux_task"]

P = ParamSpec("P")
R = TypeVar("R")


class _DecoratedTaskOperator(DecoratedOperator, BatchLinuxTaskOperator):
    """The base of what runs on a node and comes from a function."""

    # Airflow uses those of the first base class only.
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **BatchLinuxTaskOperator.template_fields_renderers,
        **DecoratedOperator.template_fields_renderers,
    }


class _Decorated(_TaskDecorator[Any, Any, Any]):
    """A decorated function. Airflow stores its mapped tasks without the secrets in the Dag file."""

    def _expand(self, expand_input: ExpandInput, *, strict: bool) -> XComArg:
        # Private in Airflow, but the one method that expand() and expand_kwargs() share.
        self.operator_class.refuse_secrets_of_dag(self.kwargs.get("dag") or DagContext.get_current())
        self.kwargs = self.operator_class.as_stored(self.kwargs)
        return super()._expand(expand_input, strict=strict)


class _FunctionOperator(_DecoratedTaskOperator):
    """Run a function on a node."""

    custom_operator_name = "@task.batch_linux"

    def __init__(
        self,
        *,
        requirements: Sequence[str] | str | None = None,
        python: str = "python3",
        serializer: Serializer = "json",
        expect_airflow: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(command=COMMAND, result_file=RESULT_FILE, **kwargs)
        self.requirements = requirements
        self.python = python
        self.serializer = serializer
        self.expect_airflow = expect_airflow
        self._context: Mapping[str, Any] = {}

    @classmethod
    def request_class(cls) -> type[FunctionRequest]:
        """Return the class of the request."""
        from airflow_provider_batchlinux.core.functions.requests import FunctionRequest

        return FunctionRequest

    def execute(self, context: Context) -> Any:
        """Run the function, and return what it returns."""
        self._context = cast("Mapping[str, Any]", context)
        return self._returned(super().execute(context))

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Return what the function has returned, or run it now if it has waited for room."""
        self._context = cast("Mapping[str, Any]", context)
        return self._returned(super().execute_complete(context, event))

    def contents(self) -> dict[str, bytes]:
        """Return the files of the call, beside those that the Dag sends."""
        request = cast("FunctionRequest", self.request)
        requirements = list(request.requirements or ())
        if request.serializer == "cloudpickle":
            requirements.append(f"cloudpickle=={_cloudpickle().__version__}")
        image = (
            request.container
            if isinstance(request.container, str)
            else request.container and request.container.image
        )
        on_node = resources.files("airflow_provider_batchlinux.on_node")
        shell = script(
            on_node.joinpath("run_function.sh").read_text(), request.python, requirements, image or ""
        )
        files = {
            "function.sh": shell,
            "run_function.py": on_node.joinpath("run_function.py").read_text(),
            "function.json": self._call(request).to_json(),
            **({"requirements.txt": "\n".join(requirements) + "\n"} if requirements else {}),
        }
        return {**super().contents(), **{name: text.encode() for name, text in files.items()}}

    def files_digest(self, contents: Mapping[str, bytes]) -> str | None:
        """Return a digest in which the call is what it means, if it is pickled."""
        from airflow_provider_batchlinux.core.ids import fingerprint

        return fingerprint({name: meaning_of(name, content) for name, content in contents.items()})

    def _returned(self, result: Any) -> Any:
        """Return what the function returned, from the result of its command."""
        is_pickled = cast("FunctionRequest", self.request).serializer == "cloudpickle"
        try:
            returned = returned_part(result["result"], "pickled" if is_pickled else "value")
        except ValueError as error:
            # A retry would find the same file.
            raise TaskFailedForGoodError(str(error), exit_code=0, node_id=result["node_id"]) from None
        if not is_pickled:
            return returned
        _cloudpickle()
        return pickle.loads(base64.b64decode(returned))

    def _call(self, request: FunctionRequest) -> FunctionCall:
        function = self.python_callable
        signature = inspect.signature(function)
        args, kwargs = _loaded(list(self.op_args)), _loaded(dict(self.op_kwargs))
        given = signature.bind_partial(*args, **kwargs).arguments
        free = [
            name
            for name, parameter in signature.parameters.items()
            if name not in given and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        ]
        kwargs |= context_arguments(free, self._context)
        is_pickled = request.serializer == "cloudpickle"
        return FunctionCall(
            name=function.__name__,
            file=Path(inspect.getsourcefile(function) or "function.py").name,
            source="" if is_pickled else _source_of(function),
            args=args,
            kwargs=kwargs,
            pickled=_pickled(function, args, kwargs) if is_pickled else None,
            worker_python="{}.{}".format(*sys.version_info[:2]),
            expect_airflow=request.expect_airflow,
        )


class _CommandOperator(_DecoratedTaskOperator):
    """Run the command that a function returns on a node."""

    custom_operator_name = "@task.batch_linux_cmd"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(command="the function returns it", **kwargs)

    def execute(self, context: Context) -> Any:
        """Call the function, and run the command that it returns."""
        self._call(context)
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Return the result of the command, or run it now if it has waited for room."""
        from airflow_provider_batchlinux.core.events import WaitEvent

        if isinstance(trigger_of(WaitEvent.from_payload(event)), BatchLinuxRoomTrigger):
            self._call(context)
        return super().execute_complete(context, event)

    def _call(self, context: Context) -> None:
        named: Mapping[str, Any] = {**cast("Mapping[str, Any]", context), **self.op_kwargs}
        taken = inspect.signature(self.python_callable).parameters.values()
        # Airflow 3.1 has no function of its own for it in the place where later ones have it.
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
            free = {parameter.name for parameter in list(taken)[len(self.op_args) :]}
            named = {name: value for name, value in named.items() if name in free or name in self.op_kwargs}
        self.command = self.python_callable(*self.op_args, **named)


def batch_linux_task(
    *, pool_id: str, multiple_outputs: bool | None = None, **parameters: Any
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """
    Run a Python function on a node of a pool; also available as ``@task.batch_linux``.

    .. code-block:: python

        @task.batch_linux(pool_id=pool.pool_id, requirements=["polars==1.9.0"])
        def totals(day: str) -> dict[str, int]:
            import polars

            return {"rows": polars.read_csv(f"/data/{day}.csv").height}

    The source of the function, its arguments and what it returns are sent as text; the node needs Python 3.7
    or later, and not Airflow. Imports belong inside the function. What it prints is in the log; if it raises,
    the error and the log have its traceback. Arguments that have the name of a plain value of Airflow's
    context, such as ``ds``, get that value.

    :param pool_id: the pool. (templated)
    :param multiple_outputs: push each item of a returned dict as an XCom of its own; ``None`` does so if the
        function is annotated to return a dict.
    :param parameters: further parameters of
        :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator`, except ``command`` and
        ``result_file``, Airflow's own, and (templated):

        - ``requirements``: the packages that the function needs, as a list of lines of a requirements file.
          They are installed once on each node by uv or pip; ``None`` for none.
        - ``python``: the interpreter on the node; ``python3`` by default.
        - ``serializer``: ``json``, or ``cloudpickle`` for arguments and results that JSON cannot hold. Then
          worker and node need the same version of Python, and the worker executes what the node returns.
        - ``expect_airflow``: fail if Airflow cannot be imported on the node; by default it is not needed.

    :raises TaskFailedError: when it runs, if the function raises; the job is deleted as ``delete_job`` says.
    """
    parameters = {"pool_id": pool_id, **parameters}
    return cast("Callable[..., Task[P, R]]", _decorator(_FunctionOperator, multiple_outputs, parameters))


def batch_linux_cmd_task(
    *, pool_id: str, **parameters: Any
) -> Callable[[Callable[P, str]], Task[P, dict[str, Any]]]:
    """
    Run the command that a function returns on a node of a pool; also available as ``@task.batch_linux_cmd``.

    .. code-block:: python

        @task.batch_linux_cmd(pool_id=pool.pool_id)
        def transform(day: str) -> str:
            return f"./transform.sh {shlex.quote(day)}"

    The function itself runs on the worker. The result is that of
    :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator`.

    :param pool_id: the pool. (templated)
    :param parameters: further parameters of
        :class:`~airflow_provider_batchlinux.operators.task.BatchLinuxTaskOperator`, except ``command``, and
        Airflow's own.

    :raises ValueError: when it runs, if the function returns no command; nothing was submitted.
    """
    parameters = {"pool_id": pool_id, **parameters}
    return cast("Callable[..., Task[P, dict[str, Any]]]", _decorator(_CommandOperator, None, parameters))


def _decorator(operator: type[Any], multiple_outputs: bool | None, parameters: dict[str, Any]) -> Any:
    reserved = {"command", "result_file"} if operator is _FunctionOperator else {"command"}
    if given := parameters.keys() & reserved:
        msg = f"{operator.custom_operator_name} has no parameter {', '.join(sorted(given))}."
        raise TypeError(msg)
    decorator: TaskDecorator = task_decorator_factory(
        multiple_outputs=multiple_outputs, decorated_operator_class=operator, **parameters
    )

    def decorated(function: Callable[..., Any]) -> Any:
        # Airflow's factory takes no class of its own for what it returns.
        made: Any = decorator(function)
        made.__class__ = _Decorated
        return made

    return decorated


def _loaded(value: Any) -> Any:
    """Return arguments with the results of mapped tasks instead of what loads them."""
    from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

    if isinstance(value, LazyXComSequence):
        return value[:]
    if type(value) in {list, tuple}:
        return type(value)(map(_loaded, value))
    if type(value) is dict:
        return {key: _loaded(item) for key, item in value.items()}
    return value


def _source_of(function: Callable[..., Any]) -> str:
    problem = ""
    of_python = vars(builtins)
    around = {name for name, value in function.__globals__.items() if of_python.get(name) is not value}
    around |= set(function.__code__.co_freevars)
    try:
        source = standalone_source(inspect.getsource(function))
    except (ValueError, OSError) as error:
        problem = str(error)
    else:
        if hasattr(function, "__wrapped__"):
            problem = "is wrapped by a decorator of its own, which is not on the node"
        elif missing := undefined_names(source, around):
            problem = (
                f"uses {', '.join(missing)} of its Dag file, which is not on the node. Import or define it "
                "inside the function, pass it as an argument"
            )
    if problem:
        msg = f"Function {function.__name__!r} {problem}, or use serializer='cloudpickle'."
        raise ValueError(msg)
    return source


def _cloudpickle() -> Any:
    try:
        return import_module("cloudpickle")
    except ImportError as error:
        msg = "serializer='cloudpickle' needs the package cloudpickle on the worker; install it."
        raise ValueError(msg) from error


def _pickled(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    cloudpickle = _cloudpickle()
    module = sys.modules.get(function.__module__)
    # By value: the module of the Dag file is not on the node.
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
    try:
        return base64.b64encode(cloudpickle.dumps((function, args, kwargs))).decode()
    except Exception as error:
        msg = f"Function {function.__name__!r} or its arguments cannot be pickled: {error}"
        raise ValueError(msg) from error
    finally:
        if module is not None:
            cloudpickle.unregister_pickle_by_value(module)
