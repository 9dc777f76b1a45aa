"""The loop of a worker that hears what was enqueued."""

from __future__ import annotations

from syncbridge.loops.loop import IDLE, Connected
from syncbridge.store import fan_out, outbox, polls


class ListenLoop(Connected):
    """Wakes the loops of a mapping when something was enqueued for it, by whatever process."""

    def open(self) -> None:
        self._listener = self._store("listen")
        for channel in (outbox.CHANNEL, fan_out.CHANNEL, polls.CHANNEL):
            self._listener.execute(f"listen {channel}")
        self.around.wake_all()  # for what came while nobody listened

    def step(self) -> float:
        for notice in self._listener.notifies(timeout=IDLE, stop_after=1):
            if notice.channel == fan_out.CHANNEL:
                self.around.fan_out.set()
                continue
            if notice.channel == polls.CHANNEL:
                asked = self.around.polls.get(polls.woken(notice.payload) or 0)
                if asked is not None:
                    asked.set()
                continue
            mapping_id, records = outbox.woken(notice.payload) or (0, 0)
            signal = self.around.signals.get(mapping_id)
            if signal is not None:
                signal.linger.came(records)
                signal.wake.set()
        return 0.0
