"""The destination as the story needs it: what people do there, what goes wrong there, and what happens amid a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from syncbridge.destinations.base import Destination
from syncbridge.model import Fields, Normal

T = TypeVar("T")
Call = Literal["upsert", "delete", "read", "changes", "current", "scan"]
Trouble = Literal["lost answer", "unavailable", "quota", "session"]

#: Objects, and the external id of each.
KEYS = {"Account": "Company_Key__c", "Contact": "Person_Key__c"}
#: What the org fills by itself, on every change of FirstName.
AUTOMATION = ("FirstName", "Grade__c")


class Died(BaseException):
    """The worker is gone; no `except Exception` sees it."""


@dataclass
class Amid:
    """What happens before or after the next call of a kind, while its caller waits for the answer."""

    call: Call
    after: bool
    act: Callable[[], None]


@dataclass
class Calls:
    """Stands around each call that syncbridge makes."""

    tell: Callable[[str], None] = print
    amid: list[Amid] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    sent: int = 0  # records that were written or deleted
    arm: Callable[[Trouble], None] = lambda trouble: None
    disarm: Callable[[], None] = lambda: None

    def around(self, call: Call, about: str, make: Callable[[], T]) -> T:
        """Make the call, and let happen what was planned for it."""
        self._happen(call, after=False)
        if about:
            self.tell(f"    {call} {about}")
        if self.troubles:
            self.tell(f"    ({self.troubles[0]})")
            self.arm(self.troubles.pop(0))
        try:
            answer = make()
        finally:
            self.disarm()
        self._happen(call, after=True)
        return answer

    def _happen(self, call: Call, *, after: bool) -> None:
        due = [each for each in self.amid if (each.call, each.after) == (call, after)]
        self.amid = [each for each in self.amid if each not in due]
        for each in due:
            each.act()


class FarSide(ABC):
    """A destination, its calls, and the people and clocks there."""

    calls: Calls
    destination: Destination

    @property
    @abstractmethod
    def now(self) -> datetime:
        """By the destination's clock."""

    @abstractmethod
    def create(self, object: str, fields: Fields) -> str:
        """Somebody makes a record; its remote id."""

    @abstractmethod
    def merge(self, object: str, survivor: str, loser: str) -> None:
        """Somebody merges a record into another, which keeps its own values; what referred to it refers to that one."""

    @abstractmethod
    def edit(self, object: str, remote_id: str, fields: Fields) -> None:
        """Somebody changes a record."""

    @abstractmethod
    def delete(self, object: str, remote_id: str) -> None:
        """Somebody deletes a record."""

    @abstractmethod
    def undelete(self, object: str, remote_id: str) -> bool:
        """Somebody takes a record out of the bin; False when that cannot be."""

    @abstractmethod
    def records(self, object: str) -> dict[str, Fields]:
        """What is there now, by remote id."""

    @abstractmethod
    def binned(self, object: str) -> list[str]:
        """What could be undeleted, the oldest first."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Let the destination's clock go on."""

    @abstractmethod
    def be_late(self, seconds: float) -> None:
        """Show queries what is written from now on only after so many seconds."""

    @abstractmethod
    def calls_made(self) -> int:
        """Calls of syncbridge so far."""

    def close(self) -> None:
        self.destination.close()


def automated(record: Mapping[str, Normal], before: Mapping[str, Normal]) -> Fields:
    """What the org's automation sets beside this change."""
    source, target = AUTOMATION
    if source not in record or record[source] == before.get(source):
        return {}
    return {target: None if record[source] is None else f"auto {record[source]}"}
