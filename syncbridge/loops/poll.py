"""The loop of a worker that brings the remote changes of one two-way mapping into its table."""

from __future__ import annotations

from syncbridge.errors import RetryLater
from syncbridge.inbound.poll import Poller
from syncbridge.loops.loop import Connected, Surroundings
from syncbridge.project import lost


class PollLoop(Connected):
    """Polls at the mapping's interval, and when somebody asks for it. One worker does, the others stand by."""

    def __init__(self, around: Surroundings, mapping_id: int) -> None:
        super().__init__(around)
        self._mapping_id = mapping_id

    def open(self) -> None:
        project, mapping = self.around.project, self.around.compiled[self._mapping_id]
        assert mapping.two_way is not None  # loops are made of mappings that have a way back
        store = self._store(f"poll {mapping.name}")
        source = self._writing(store, f"write {mapping.name}")
        destination = project.destination(mapping.destination)
        kin = self.around.kin[self._mapping_id]
        self._poller = Poller(self._mapping_id, mapping, mapping.two_way, destination, store, source, kin=kin)

    def step(self) -> float:
        asked = self.around.polls[self._mapping_id]
        asked.clear()
        wait = self._poller.step()
        if lost(self._poller.store) or lost(self._poller.source):
            raise RetryLater("the connection to Postgres is gone")
        if wait > 0 and not self.around.ending.is_set():  # looked at after the clear: `wake_all` comes after it is set
            asked.wait(wait)
        return 0.0
