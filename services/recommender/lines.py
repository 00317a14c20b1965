"""The lines of models that are served: the shop's own, and those that experiments name."""

from collections.abc import Callable, Iterable

from services.model.behaviour import Behaviour
from services.recommender.generations import Generations


class Lines:
    """By the name of its key on `models`, the generations of a line of releases.

    The shop's own line is always followed, another one while an experiment names it. `create` makes the
    follower of one more line.
    """

    def __init__(self, own: str, generations: Generations, create: Callable[[str], Generations]) -> None:
        self._own = own
        self._followed = {own: generations}
        self._create = create
        self._newest: dict[str, bytes | None] = {}

    def model(self, name: str | None) -> Behaviour | None:
        """What serves of a line, None for the shop's own; an empty name is no model at all."""
        followed = self._followed.get(self._own if name is None else name)
        return followed.model if followed is not None else None

    def released(self, name: str, message: bytes | None) -> None:
        """The newest message about a line."""
        self._newest[name] = message
        if name in self._followed:
            self._followed[name].follow(message)

    def follow(self, names: Iterable[str]) -> None:
        """Follows these and the shop's own; others are let go."""
        wanted = {self._own, *filter(None, names)}
        for name in self._followed.keys() - wanted:
            self._followed.pop(name).stop()
        for name in wanted - self._followed.keys():
            followed = self._followed[name] = self._create(name)
            if name in self._newest:
                followed.follow(self._newest[name])

    async def settled(self) -> None:
        """Returns when each line's newest release serves or is refused, or its store has failed once."""
        for followed in list(self._followed.values()):
            await followed.settled()

    async def close(self) -> None:
        """Stops following; what serves goes on."""
        for followed in self._followed.values():
            await followed.close()
