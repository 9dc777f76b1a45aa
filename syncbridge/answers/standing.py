"""Where a record stands, in plain words, and what to do about it. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from syncbridge.answers.held import HeldRemote
from syncbridge.answers.status import in_words
from syncbridge.answers.story import Story
from syncbridge.model import MappingStatus, Operation
from syncbridge.store.backlog import Waiting
from syncbridge.store.parents import Parent


@dataclass(frozen=True, slots=True)
class Standing:
    """`in_order`: nobody has to do anything."""

    words: str
    in_order: bool
    remedy: str = ""


def stand(story: Story) -> Standing:
    """What a story comes to."""
    waiting = story.waiting
    if waiting is not None and waiting.status == "dead":
        why = ": ".join(part for part in (waiting.code, waiting.message) if part)
        return Standing(
            f"dead: {why}",
            in_order=False,
            remedy="A change of the row tries again by itself. When it is mended elsewhere, run:"
            f" syncbridge requeue {_record(story)}",
        )
    if waiting is not None and waiting.status == "held" and story.conflict is not None:
        return Standing(
            f"held: {story.conflict.detail}: {', '.join(story.conflict.candidates)}",
            in_order=False,
            remedy="A change of the row looks for existing records anew. To decide, run:"
            f" syncbridge conflicts resolve {_record(story)} --link REMOTE_ID, or with --create for a new record",
        )
    if story.held is not None:
        return _held(story, story.held)
    if waiting is not None:
        return _waits(story, waiting)
    if story.kept is not None and (story.row is not None or story.refusal):
        words = "its record was deleted at the destination, which the mapping ignores: it is not sent"
        return Standing(words, True, f"To create it again: {_resync(story)} --force")
    if story.trouble:
        return Standing(f"nothing waits, but the row could not be read: {story.trouble}", in_order=False)
    if story.refusal:
        return Standing(f"cannot be delivered as it is: {story.refusal}", False, "Mend the row or the mapping.")
    if not story.outgoing:
        return _only_comes(story)
    if story.row is not None:
        return _present(story)
    return _absent(story)


def _held(story: Story, held: HeldRemote) -> Standing:
    """A remote change is not in the row."""
    if held.decision:
        return Standing(f"held: {held.said}; it was decided, and a worker carries it out", in_order=True)
    return Standing(f"held: {held.said}", False, f"Run: syncbridge conflicts show {_record(story)}")


def _awaits(story: Story) -> Standing:
    """It waits for the records of other entities."""
    told = [f"{each.mapping} {each.key}, {_parent(each)}" for each in story.parents if each.held]
    stuck = [each for each in story.parents if each.held and each.state in ("dead", "held", "gone")]
    still = [each for each in story.parents if each.held and each.status in ("paused", "halted", "guard")]
    words = f"waits for {'; '.join(told)}" if told else "waits for other records"
    if stuck:
        return Standing(words, False, f"Run: syncbridge show {stuck[0].mapping} {shlex.quote(stuck[0].key)}")
    if still:
        return Standing(words, False, f"Run: syncbridge resume {still[0].mapping}")
    return Standing(words, in_order=True)


def _parent(parent: Parent) -> str:
    """Why that record is not there."""
    why = ": ".join(part for part in (parent.code, parent.message) if part)
    match parent.state:
        case "dead":
            return f"which is a dead letter: {why}"
        case "held":
            return f"which is held for a decision: {why}"
        case "gone":
            return "which has no record and no change that could make one: is there such a row?"
        case "waiting":
            return "which itself " + (parent.message or "waits")
        case "linked":
            return "which is there now"
    if parent.status not in ("active", "waiting"):
        return f"whose mapping is {in_words(MappingStatus(parent.status))}"
    return "which is on its way"


def _waits(story: Story, waiting: Waiting) -> Standing:
    name = story.mapping
    if waiting.status == "waiting":
        return _awaits(story)
    if waiting.job and story.delivering:
        return Standing(f"is on its way in bulk job {waiting.job}", in_order=True)
    if waiting.claimed and story.delivering:
        return Standing("is being sent now", in_order=True)
    if story.status is MappingStatus.WAITING:
        return Standing(
            f"waits: {name} waits for its destination, and goes on by itself: {story.reason}", in_order=True
        )
    if story.status is not MappingStatus.ACTIVE:
        why = f": {story.reason}" if story.reason else ""
        remedy = story.hint or f"Run: syncbridge resume {name}"
        return Standing(f"waits: {name} is {in_words(story.status)}{why}", False, remedy)
    if not story.delivering:
        return Standing("waits: no worker runs that could deliver it", False, "Run: syncbridge run")
    if waiting.attempts:
        why = ": ".join(part for part in (waiting.code, waiting.message) if part)
        return Standing(f"waits: refused {_times(waiting.attempts)}, and tried again by itself: {why}", in_order=True)
    if story.loading:
        return Standing("waits: nothing is sent before the first load is over, see syncbridge status", in_order=True)
    return Standing("waits: it is sent in a moment", in_order=True)


def _only_comes(story: Story) -> Standing:
    """Of a mapping that sends nothing."""
    again = f"syncbridge resync {story.mapping} --from destination"
    if story.base is None:
        row = "it has no record" if story.row is not None else "no such row"
        return Standing(f"{row}, and {story.mapping} sends nothing: rows come of records alone", in_order=True)
    if story.remote_read and story.remote is None:
        return _poll_decides(story, "the remote record is gone")
    if story.row is None:
        remedy = f"To have it back now: {again} --key {shlex.quote(story.key)}"
        return Standing("the row is gone here; it comes back when its record changes", True, remedy)
    if story.stays:
        remedy = f"To have the record's values back now: {again} --key {shlex.quote(story.key)}"
        return Standing(f"differs in Postgres until its record changes: {', '.join(story.stays)}", True, remedy)
    if story.remote_changed:
        return _poll_decides(story, f"was changed at the destination: {', '.join(story.remote_changed)}")
    return Standing("in sync" if story.remote_read else "in sync with what came last", in_order=True)


def _poll_decides(story: Story, words: str) -> Standing:
    """In order while somebody polls."""
    back = story.way_back
    if back is None or back.status is MappingStatus.ACTIVE:
        return Standing(f"{words}; the next poll decides", in_order=True)
    why = f": {back.reason}" if back.reason else ""
    remedy = f"Run: syncbridge resume {story.mapping} --direction in"
    told = f"{words}; nothing is decided while the way back is {in_words(back.status)}{why}"
    return Standing(told, False, f"{back.hint} {remedy}".strip())


def _present(story: Story) -> Standing:
    if story.base is None:
        if story.run_pending:
            return Standing("waits: the first sync or resync has not come to it yet", in_order=True)
        there = f"; a remote record has its key: {story.remote_id}" if story.remote_id else ""
        return Standing(f"was never delivered, and nothing waits{there}", False, f"Run: {_resync(story)}")
    if story.undecided:
        return _poll_decides(story, f"was changed on both sides: {', '.join(story.undecided)}")
    if story.sends:
        fields = ", ".join(story.sends)
        remedy = f"Capture may see it in a moment. If it does not, run: {_resync(story)}"
        return Standing(f"differs in Postgres from what was delivered, and nothing waits: {fields}", False, remedy)
    if story.remote_read and story.remote is None and story.two_way:
        return _poll_decides(story, "the remote record is gone")
    if story.remote_read and story.remote is None:
        remedy = f"To create it again: {_resync(story)} --force"
        return Standing("the remote record is gone: it was deleted at the destination", False, remedy)
    if story.remote_changed:
        fields = ", ".join(story.remote_changed)
        if story.two_way:
            return _poll_decides(story, f"was changed at the destination: {fields}")
        remedy = f"To send ours again: {_resync(story)} --force"
        return Standing(f"was changed at the destination: {fields}", False, remedy)
    if story.record is None:
        return Standing("delivered, and nothing waits; it was not compared with the destination", in_order=True)
    return Standing("in sync" if story.remote_read else "in sync with what was delivered last", in_order=True)


def _absent(story: Story) -> Standing:
    row = "the row does not pass the mapping's filter" if story.filtered else "no such row"
    if story.base is None:
        if story.remote is not None:
            return Standing(f"{row}, but a remote record has its key: {story.remote_id}", in_order=False)
        unknown = "" if story.remote_read else " that we know of"
        return Standing(f"{row}, and no remote record{unknown}", in_order=story.filtered)
    if story.operation is Operation.NOTHING:
        return Standing(f"{row}; the remote record is marked so", in_order=True)
    return Standing(f"{row}, but its remote record is still there, and nothing waits", False, f"Run: {_resync(story)}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _record(story: Story) -> str:
    return f"{story.mapping} {shlex.quote(story.key)}"


def _resync(story: Story) -> str:
    return f"syncbridge resync {story.mapping} --key {shlex.quote(story.key)}"
