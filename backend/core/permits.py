"""The proof that a mutation came through the gate.

Whatever changes a cluster or a decision asks for a `Permit` and spends it. Only `backend.flows.gate` issues permits; a
test holds the sources to that.
"""

from __future__ import annotations

from backend.core.actors import Actor
from backend.core.errors import RefusedError


class Permit:
    """Leave for one mutation of one object by one actor; it can be spent once.

    Attributes:
        mutation: name in the gate's table of mutations, such as `deploy.apply`.
        object: what may be changed, as the ledger names it.
        actor: who asked.
    """

    __slots__ = ("_spent", "actor", "mutation", "object")

    def __init__(self, *, mutation: str, object: str, actor: Actor) -> None:
        self.mutation = mutation
        self.object = object
        self.actor = actor
        self._spent = False

    def spend(self, *mutations: str) -> None:
        """Use the permit up.

        Args:
            mutations: the names that the caller serves; the permit must be for one of them.

        Raises:
            RefusedError: the permit is for something else, or was used before.
        """
        if self.mutation not in mutations:
            raise RefusedError(
                f"{self.mutation} of {self.object}",
                f"its permit does not cover {' or '.join(mutations)}",
                "report this: an action asked the gate for something other than it does",
            )
        if self._spent:
            raise RefusedError(
                f"{self.mutation} of {self.object}", "its permit was used already", "start the action again"
            )
        self._spent = True
