"""Compiles ahead of time what makes rows: `python -m services.recommender.pipeline.native [--cpu x86-64-v3]`.

Writes `native`, a module that needs neither numba nor LLVM, and native.json, what its functions take, beside
`services/model/compiled.py`, which then takes both; `--out` names another folder. Kinds of arguments are
those of the warm-up. Needs a C++ compiler, Python's headers and setuptools. In a checkout it is in the way:
what is compiled ahead does not follow a change of its source.
"""

# mypy: disable-error-code="no-untyped-call"
# (numba says no types)

import json
from importlib import import_module
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import numba
import typer
from numba import types
from numba.core.compiler import Flags
from numba.np.ufunc import array_exprs

BESIDE: Final = Path(__file__).resolve().parents[2] / "model"
# The oldest processors that an image is to run on, unless told otherwise: Haswell (2013), Zen.
CPU: Final = "x86-64-v3"

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="the folder that gets native and native.json")] = BESIDE,
    cpu: Annotated[str, typer.Option(help="LLVM's name of the processors that it is for, or generic")] = CPU,
) -> None:
    """Compile ahead of time what makes rows."""
    names = compile_ahead(out, cpu)
    typer.echo(f"{out}: {', '.join(names)} for {cpu}")


def compile_ahead(out: Path, cpu: str) -> list[str]:
    """Writes the module; the names of its functions."""
    settings = vars(numba.config)
    settings.update(CPU_NAME=cpu, CPU_FEATURES="")
    with TemporaryDirectory() as folder:
        settings["CACHE_DIR"] = folder  # what is kept elsewhere is for this machine's own processor
        from services.model.compiled import ENTRIES, NATIVE, symbol_of  # noqa: PLC0415 - reads CACHE_DIR
        from services.recommender.pipeline.warmup import warm  # noqa: PLC0415 - reads CACHE_DIR

        # numba names what it compiles of an array's expression by an address, and the linker sorts by names.
        numbers = count()
        vars(array_exprs)["hash"] = lambda _: next(numbers)
        if NATIVE is not None:
            raise SystemExit("remove services/model/native.* first: there is nothing that could be compiled")
        warm()
        _write(out, Path(folder) / "exports", cpu, {
            symbol_of(name, nth): (entry.py_func, overload.signature)
            for name, entry in ENTRIES.items()
            for nth, overload in enumerate(entry.overloads.values())
        })  # fmt: skip
    kinds = {name: [[*map(tell_kind, each)] for each in entry.signatures] for name, entry in ENTRIES.items()}
    (out / "native.json").write_text(json.dumps(kinds, indent=1) + "\n")
    return [*kinds]


def _write(out: Path, exports: Path, cpu: str, functions: dict[str, tuple[Any, Any]]) -> None:
    # Loaded here, as it needs setuptools, and says that it may go.
    numba_pycc: Any = import_module("numba.pycc")
    exports.write_text("{ global: PyInit_native; local: *; };")

    class Linked(numba_pycc.CC):  # type: ignore[misc]
        """Without what differs each time: names with addresses in them, and a number made of all names."""

        _extra_ldflags = {"posix": ["-s", "-Wl,--build-id=none", f"-Wl,--version-script={exports}"]}  # noqa: RUF012 - as in its base

    numba_pycc.compiler.Flags = _flags
    made = Linked("native", source_module="services.model.compiled")
    made.output_dir, made.target_cpu = str(out), cpu
    for symbol, (function, signature) in functions.items():
        made.export(symbol, signature)(function)
    made.compile()


def _flags() -> Flags:
    """numba's flags of a function, by which it lets Python's lock go."""
    flags: Any = Flags()
    flags.release_gil = True
    return flags  # type: ignore[no-any-return]


def tell_kind(kind: Any) -> Any:  # noqa: ANN401 - one of numba's types, and JSON
    """How native.json tells one of numba's types. Raises ValueError for an array that is not in C's order."""
    if isinstance(kind, types.Array):
        if kind.layout != "C":
            raise ValueError(f"an array that Python gives must lie in C's order: {kind}")
        return {"dtype": str(kind.dtype), "dimensions": kind.ndim}
    parts: Any = kind if isinstance(kind, types.BaseTuple) else None
    return str(kind) if parts is None else [tell_kind(each) for each in parts]


if __name__ == "__main__":
    app(prog_name="python -m services.recommender.pipeline.native")
