"""Take damaged text apart event by event, so that a bad one costs only itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from idlescope.trace.kineto.arguments import without_damaged_arguments
from idlescope.trace.kineto.records import (
    Event,
    RepairedEvent,
    decode_object,
    past_separators,
)
from idlescope.trace.kineto.repair import BEHIND_EVENT, STRAY_CLOSE, closes_list, object_end
from idlescope.trace.kineto.text_damage import TextDamage

EVENT_BYTES = 1 << 20  # no event is longer than this
RESUME_BYTES = 1 << 14  # nor longer than this, near damage
# args may begin so, too, but have no ph
_EVENT_START = re.compile(rb'\{\s*"(?:ph|cat|name|pid|tid|ts|dur|id|bp|s)"\s*:')
_OPEN, _CLOSE = b"{]"


@dataclass
class Salvage:
    """One pass over a text that starts between two events, at byte `offset` of the file.

    After `run`, `used` bytes of it are done with: their events are in `events`, each with its own
    text (repaired) and start in the file; what could not be read is counted in `damage`.
    """

    text: bytes
    offset: int
    damage: TextDamage
    final: bool  # nothing follows this text
    wrong_at: int | None = None  # the first byte that does not decode, where that is known
    astray: bool = (
        False  # the text begins, and afterwards its rest does, within what is unreadable
    )
    comma_before: bool | None = (
        None  # whether a comma stands before the text; None: at the start
    )

    used: int = 0
    closed: bool = False  # the list of events ends in the text
    events: list[Event] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._position = 0
        # where the stretch begins that cannot be read, and is not counted as lost yet
        self._lost_from = 0 if self.astray else None
        self.astray = False

    def run(self) -> None:
        """Take all whole events; an object that is still open is left for more text to end it.

        Where nothing follows, it is lost. Raises TraceError where most of the file is lost.
        """
        while not self.closed:
            before = self._position
            self._position = past_separators(self.text, before)
            if self._position == len(self.text):
                break
            if self._lost_from is None:
                self._count_commas(before)
                if self.text[self._position] == _CLOSE:
                    self._pass_bracket()
                    continue
            if not self._pass_object():
                break
        if self.final and not self.closed:
            self._give_up_rest()
        elif not self.used and self._lost_from is not None:
            self._give_up_most()

    def _pass_object(self) -> bool:
        """Take the object here, or go where the next one may begin; False where none does."""
        start_byte = self._position
        end = self._object_end()
        if (
            end < 0
            and self._lost_from is None
            and not self.final
            and self._limit() > len(self.text)
        ):
            return False  # its end is not read yet
        found_event = decode_object(self.text[start_byte:end]) if end > 0 else None
        following = None
        if found_event is None:
            following = _EVENT_START.search(self.text, start_byte + 1)
            found_event, end = self._kept_despite_arguments(end, following)
        # in the middle of damage, an object without a phase may be the arguments of an event
        if found_event is not None and (found_event.event.ph or self._lost_from is None):
            self._take(found_event, end)
            return True
        if self._lost_from is None:
            self._lost_from = start_byte
        if self.wrong_at is None:
            self.wrong_at = start_byte
        following = following or _EVENT_START.search(self.text, start_byte + 1)
        if following is not None:
            self._position = following.start()
        return following is not None

    def _kept_despite_arguments(
        self, end: int, following: re.Match[bytes] | None
    ) -> tuple[RepairedEvent | None, int]:
        """Return the event here without its damaged arguments, and where it ends."""
        start_byte = self._position
        possible_ends = [end] if end > 0 else []
        if following is not None:
            # a brace or quote too many or too few in the arguments hides where the object ends
            before_next = start_byte + len(
                self.text[start_byte : following.start()].rstrip(BEHIND_EVENT)
            )
            possible_ends = (
                [max(before_next, end), min(before_next, end)]
                if possible_ends
                else [before_next]
            )
        for possible_end in possible_ends:
            found_event = without_damaged_arguments(self.text[start_byte:possible_end])
            if found_event is not None:
                return found_event, possible_end
        return None, end

    def _object_end(self) -> int:
        """Return where the object here ends; 0 where none begins, -1 where no end is near."""
        if self.text[self._position] != _OPEN:
            return 0
        return object_end(self.text, self._position, min(self._limit(), len(self.text)))

    def _limit(self) -> int:
        """Return how far an object that begins here may reach.

        A quote too many hides the ends of objects: near damage none is looked for far off.
        """
        if self.wrong_at is None:
            return self._position + EVENT_BYTES
        return max(self._position, self.wrong_at) + RESUME_BYTES

    def _take(self, found_event: RepairedEvent, end: int) -> None:
        start_byte = self._position
        if self._lost_from is not None:
            self._lose_until(start_byte)
        self.damage.repaired(found_event.repairs, self.offset + start_byte)
        self.events.append(found_event.event)
        self.texts.append(found_event.text)
        self.starts.append(self.offset + start_byte)
        self._position = self.used = end

    def _pass_bracket(self) -> None:
        """End at the bracket that closes the list; pass one with an event behind it."""
        stray = STRAY_CLOSE.match(self.text, self._position)
        if stray is None:
            self.closed = True
            self.used = self._position + 1
            return
        self._note("brackets that close nothing were left out", 1, self._position)
        self._position = stray.end()

    def _count_commas(self, before: int) -> None:
        """Count commas too many, or the one that is missing, from `before` to what stands here."""
        at_start = before == 0
        commas = self.text.count(b",", before, self._position)
        if self.text[self._position] == _CLOSE:
            wanted = 0
            commas += int(at_start and self.comma_before is True)
        else:
            wanted = int(not at_start or self.comma_before is False)
        if commas > wanted:
            self._note("commas too many were left out", commas - wanted, before)
        elif commas < wanted:
            self._note("commas that are missing were taken as there", 1, before)

    def _give_up_rest(self) -> None:
        """Count what cannot be read up to the end of the file as lost."""
        if self._lost_from is not None:
            self.closed |= closes_list(self.text[self._lost_from :])
            self._lose_until(len(self.text))
        self.used = len(self.text)

    def _give_up_most(self) -> None:
        """Count a long text that holds no event as lost, but for its end: one may begin there."""
        if len(self.text) > 2 * RESUME_BYTES:
            self.used = len(self.text) - RESUME_BYTES
            self.astray = True
            self._lose_until(self.used)

    def _lose_until(self, end: int) -> None:
        assert self._lost_from is not None
        self.damage.lost(self.text[self._lost_from : end], self.offset + self._lost_from)
        self._lost_from = None

    def _note(self, what: str, count: int, position: int) -> None:
        self.damage.repaired([(what, count, position)], self.offset)
