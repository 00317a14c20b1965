"""`erase VISITOR`."""

from typing import Annotated

import typer
from rich.table import Table

from schemas.events import is_visitor_id
from services.endings import AnswerIsNo, CannotBeDone
from services.history import erasing
from services.history.progress import shown_on
from services.history.timerange import shown
from services.ops.erase.answers import Erased
from services.ops.erase.erasing import erase as erase_person
from services.ops.shell import (
    AsJson,
    confirm,
    console,
    ending_clearly,
    print_json,
    progress_console,
    settings,
)


def erase(  # noqa: PLR0917 - typer knows them by name
    visitor: Annotated[str, typer.Argument(help="a visitor_id; user:… is a user's own")],
    only: Annotated[
        bool, typer.Option("--only", help="this visitor_id alone, not all that are the same person")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="kept with the erasure, such as a ticket's number")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0, help="seconds to wait for the session processors' word")
    ] = 10.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a visitor, and all visitors that are the same person. It cannot be undone.

    Within a second the session is gone on all workers and open pages start anew; what lies on topics is left
    out by every reader until it ages out; later events start from nothing. Prints what was removed where, and
    what is gone when. Ends with 1 when no session processor has confirmed it: it is done when one starts.

    Example: python -m services.ops erase 01JD7Z8QX3N5R2V9W4T6Y8B1CM --reason "ticket 4711"
    """
    with ending_clearly(stopped="run it again: an erasure that was begun is completed"):
        if not is_visitor_id(visitor):
            raise CannotBeDone(f"{visitor!r} is no visitor_id: 1 to 64 letters, digits or any of _.:-")
        found = settings()
        person = erasing.person_of(found, visitor)
        if only:
            person = person.alone(visitor)
        others = [each for each in person.visitor_ids if each != visitor]
        told = f", and as the same person {', '.join(others)}" if others else ""
        confirm(f"forget {visitor}{told}?", yes=yes)
        with shown_on(progress_console) as progress:
            made = erase_person(found, visitor, person, reason=reason, within_s=wait, progress=progress)
        if as_json:
            print_json(made)
        else:
            _show(made)
        if made.unconfirmed:
            raise AnswerIsNo(
                f"not confirmed within {wait:.0f} s: {', '.join(made.unconfirmed)}. "
                "Start a session processor, which does it first of all"
            )


def _show(made: Erased) -> None:
    console.print(f"forgotten up to {shown(made.erased_at)}: {', '.join(made.visitors)}", highlight=False)
    table = Table("where", "removed now", "left out by every reader", "gone by", "")
    for place in made.places:
        gone_by = "" if place.gone_by is None else shown(place.gone_by)
        table.add_row(place.where, place.removed, place.left_out, gone_by, place.note)
    console.print(table)
