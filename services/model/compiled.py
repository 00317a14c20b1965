"""Functions in machine code: numba's as it runs, or what was compiled ahead of time and needs no compiler.

Images have the second: LLVM alone is 160 MB, and loading it half a second of each start.
`python -m services.recommender.pipeline.native` writes `native`, a module beside this one, and what its
functions take. Where it is, numba is never imported. Machine code believes what it is given, so each call
from Python is held against what was compiled: other arrays are a TypeError, not other numbers.
"""

# mypy: disable-error-code="no-untyped-call"
# (numba says no types)

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar, cast

import numpy as np

Compiled = TypeVar("Compiled", bound=Callable[..., Any])
# What an argument must be: an array as (dtype, dimensions), a tuple as a list, a scalar as its type's name.
Kind = str | tuple[np.dtype[Any], int] | list[Any]

# The functions that Python calls, by name; others are called by compiled code only.
ENTRIES: Final[dict[str, Any]] = {}


def compile_code(
    *, is_entry: bool = False, fastmath: bool = False, inline: bool = False
) -> Callable[[Compiled], Compiled]:
    """Compiles a function, which lets Python's lock go while it runs.

    `is_entry`: Python calls it, with arrays in C's order. `fastmath`, where sums may be taken in any order,
    and `inline` are for those that it calls.
    """

    def decorate(function: Compiled) -> Compiled:
        name = function.__name__
        if NATIVE is not None:
            return cast("Compiled", NATIVE.find(name)) if is_entry else function
        from numba import njit  # noqa: PLC0415 - images have none

        compile_it: Any = njit(
            cache=True, nogil=True, fastmath=fastmath, inline="always" if inline else "never"
        )
        made = compile_it(function)
        if is_entry:
            ENTRIES[name] = made
        return cast("Compiled", made)

    return decorate


class NativeFunction:
    """One function of the native module, for each of the kinds of arguments that it was compiled for."""

    def __init__(self, name: str, overloads: list[tuple[list[Kind], Callable[..., Any]]]) -> None:
        self.__name__ = name
        self._overloads = overloads
        # A model's arrays, a tuple of twenty, are the same call after call: looking at each takes 6 µs.
        self._newest: list[tuple[Any, ...]] = [() for _ in overloads]

    def __call__(self, *arguments: Any) -> Any:  # noqa: ANN401 - as many kinds as there are functions
        for nth, (kinds, function) in enumerate(self._overloads):
            if self._fit(arguments, kinds, self._newest[nth]):
                self._newest[nth] = tuple(each if isinstance(each, tuple) else None for each in arguments)
                return function(*arguments)
        raise TypeError(f"{self.__name__} was not compiled for {[describe(each) for each in arguments]}")

    @staticmethod
    def _fit(arguments: tuple[Any, ...], kinds: list[Kind], newest: tuple[Any, ...]) -> bool:
        if len(arguments) != len(newest):
            return fits(arguments, kinds)
        return all(
            (value is known and value is not None) or fits(value, kind)
            for value, kind, known in zip(arguments, kinds, newest, strict=True)
        )


class Native:
    """What was compiled ahead of time."""

    def __init__(self, module: ModuleType, kinds: dict[str, list[list[Any]]]) -> None:
        self._module = module
        self._kinds = kinds

    @classmethod
    def load(cls, name: str = "services.model.native") -> "Native | None":
        """None where nothing was compiled ahead. Raises ImportError for a module that is broken."""
        try:
            module = import_module(name)
        except ModuleNotFoundError:
            return None
        return cls(module, json.loads(Path(str(module.__file__)).with_name("native.json").read_text()))

    def find(self, name: str) -> NativeFunction:
        """The function of that name. Raises KeyError: it was compiled from other sources."""
        return NativeFunction(
            name,
            [
                ([read_kind(each) for each in kinds], getattr(self._module, symbol_of(name, nth)))
                for nth, kinds in enumerate(self._kinds[name])
            ],
        )


def symbol_of(name: str, nth: int) -> str:
    """What the native module calls a function's nth kind."""
    return f"{name}__{nth}"


def read_kind(told: Any) -> Kind:  # noqa: ANN401 - from JSON
    """From native.json: a dict is an array, a list a tuple, all else a scalar."""
    if isinstance(told, dict):
        return np.dtype(told["dtype"]), int(told["dimensions"])
    return [read_kind(each) for each in told] if isinstance(told, list) else str(told)


def fits(value: Any, kind: Kind) -> bool:  # noqa: ANN401 - that is the question
    """Whether compiled code may read this value as that kind. Scalars are converted, or refused, by it."""
    if isinstance(kind, tuple):
        return (
            isinstance(value, np.ndarray)
            and value.dtype == kind[0]
            and value.ndim == kind[1]
            and value.flags.c_contiguous
        )
    if isinstance(kind, list):
        return isinstance(value, tuple) and len(value) == len(kind) and all(map(fits, value, kind))
    return not isinstance(value, np.ndarray | tuple)


def describe(value: Any) -> str:  # noqa: ANN401 - that is the question
    """What an argument is, for people."""
    if isinstance(value, np.ndarray):
        order = "" if value.flags.c_contiguous else ", not in C's order"
        return f"{value.dtype}[{value.ndim}{order}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(describe, value))})"
    return type(value).__name__


NATIVE: Final = Native.load()
