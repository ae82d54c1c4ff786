"""What several threads ask for at once is done at once: a natural group commit.

    ask(item) ─┐                     ┌─> its answer
    ask(item) ─┼─> do([item, item])──┼─> its answer
    ask(item) ─┘                     └─> its answer

There is no thread of its own. Who comes first does the work for all that wait; while it does, the next group forms, and one
of it goes next. Where several asked at once a moment ago, it first waits for as many, GATHER_S at the longest: they have their
answers and come again, and two groups would do the work twice. Who comes alone waits for nobody.
"""

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

GROUP_MAX = 64
GATHER_S = 0.0005  # about what a client needs to read its answer and to ask again

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _Entry(Generic[Item, Answer]):
    __slots__ = ("answer", "error", "gate", "is_done", "item")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.gate = Lock()  # held until there is an answer, or until it is this one's turn to do the work
        self.gate.acquire()
        self.is_done = False
        self.error: BaseException | None = None
        self.answer: Answer

    def settle(self, answer: Answer) -> None:
        self.answer = answer
        self.is_done = True

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.is_done = True


class Grouped(Generic[Item, Answer]):
    """Answers for single items from a function that answers for many.

    do         items to as many answers, in order.
    undone_by  what it raises when it has done nothing for anybody: then each is tried alone, for what is wrong with one item
               is nothing to the others. Anything else is everybody's: done again, something might be done twice.
    identity   of an item, or None: two items with one identity are never in one group.
    """

    def __init__(
        self, do: Callable[[list[Item]], list[Answer]], *, undone_by: type[Exception],
        identity: Callable[[Item], Hashable] = lambda _: None,
    ) -> None:  # fmt: skip
        self._do = do
        self._undone_by = undone_by
        self._identity = identity
        self._lock = Lock()
        self._waiting: list[_Entry[Item, Answer]] = []
        self._is_busy = False
        self._crowd = 1  # how many asked at once the last time
        self._gathering: Lock | None = None  # held while somebody waits for as many

    def ask(self, item: Item) -> Answer:
        """The answer for one item. Raises what `do` raises for it."""
        entry: _Entry[Item, Answer] = _Entry(item)
        with self._lock:
            self._waiting.append(entry)
            if self._gathering is not None and len(self._waiting) >= self._crowd:
                self._gathering.release()
                self._gathering = None
            must_wait, self._is_busy = self._is_busy, True
        if must_wait:
            entry.gate.acquire()
        if not entry.is_done:
            self._work(entry)
        if entry.error is not None:
            raise entry.error
        return entry.answer

    def _work(self, own: _Entry[Item, Answer]) -> None:
        """Do a group that `own` is in, and hand on to whoever waits by then."""
        self._gather()
        with self._lock:
            group = self._take(own)
        try:
            self._answer(group)
        except BaseException as error:  # this thread is being ended: nobody may wait for it
            for entry in group:
                if not entry.is_done:
                    entry.fail(error)
        with self._lock:
            self._crowd = min(GROUP_MAX, len(group) + len(self._waiting))
            following = self._waiting[0] if self._waiting else None
            self._is_busy = following is not None
        for entry in group:
            if entry is not own:
                entry.gate.release()
        if following is not None:
            following.gate.release()

    def _gather(self) -> None:
        with self._lock:
            if len(self._waiting) >= self._crowd:
                return
            gathering = self._gathering = Lock()
            gathering.acquire()
        gathering.acquire(timeout=GATHER_S)
        with self._lock:
            self._gathering = None

    def _take(self, own: _Entry[Item, Answer]) -> list[_Entry[Item, Answer]]:
        group, left = [own], []
        taken = {self._identity(own.item)}
        for entry in self._waiting:
            identity = self._identity(entry.item)
            if entry is own:
                continue
            if len(group) < GROUP_MAX and (identity is None or identity not in taken):
                taken.add(identity)
                group.append(entry)
            else:
                left.append(entry)
        self._waiting = left
        return group

    def _answer(self, group: list[_Entry[Item, Answer]]) -> None:
        try:
            answers = self._do([entry.item for entry in group])
        except Exception as error:
            if len(group) > 1 and isinstance(error, self._undone_by):
                for entry in group:
                    self._answer([entry])
                return
            for entry in group:
                entry.fail(error)
            return
        for entry, answer in zip(group, answers, strict=True):
            entry.settle(answer)
