"""What several threads ask for at once is done at once, and each gets its own answer."""

import threading
import time
from collections.abc import Callable

import pytest

from app.grouping import GROUP_MAX, Grouped


class Work:
    """A function for many that stops at a gate, so that a test decides who waits meanwhile."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = threading.Event()
        self.has_begun = threading.Event()
        self.error: Callable[[list[int]], BaseException | None] = lambda _: None

    def do(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        self.has_begun.set()
        assert self.gate.wait(10)
        error = self.error(items)
        if error is not None:
            raise error
        return [item * 10 for item in items]


def ask_all(work: Work, grouped: Grouped[int, int], items: list[int]) -> list[int | BaseException | None]:
    """One thread for each. The first is at its work before the others ask, and they all wait before it goes on."""
    answers: list[int | BaseException | None] = [None] * len(items)

    def ask(index: int) -> None:
        try:
            answers[index] = grouped.ask(items[index])
        except BaseException as error:
            answers[index] = error

    threads = [threading.Thread(target=ask, args=(index,), daemon=True) for index in range(len(items))]
    threads[0].start()
    assert work.has_begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    while len(grouped._waiting) < len(items) - 1:
        time.sleep(0.001)
    work.gate.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive(), "somebody still waits"
    return answers


def test_who_comes_alone_waits_for_nobody() -> None:
    work = Work()
    work.gate.set()
    assert Grouped(work.do, undone_by=ValueError).ask(7) == 70
    assert work.groups == [[7]]


def test_those_who_wait_meanwhile_are_done_together_and_each_gets_its_own_answer() -> None:
    work = Work()
    items = list(range(1, 9))
    assert ask_all(work, Grouped(work.do, undone_by=ValueError), items) == [item * 10 for item in items]
    assert len(work.groups) == 2
    assert sorted(work.groups[1]) == items[1:]


def test_those_who_come_again_are_waited_for_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Work()
    grouped = Grouped(work.do, undone_by=ValueError)
    monkeypatch.setattr("app.grouping.GATHER_S", 60.0)  # so that a wait for somebody who does not come would be seen

    def ask(times: int) -> None:
        for _ in range(times):
            grouped.ask(1)

    first, *others = (threading.Thread(target=ask, args=(times,), daemon=True) for times in (3, 2, 2, 2))
    first.start()
    assert work.has_begun.wait(10)
    for thread in others:
        thread.start()
    while len(grouped._waiting) < len(others):
        time.sleep(0.001)
    work.gate.set()
    for thread in (first, *others):
        thread.join(10)
        assert not thread.is_alive(), "somebody still waits"
    assert [len(group) for group in work.groups] == [1, 4, 4]


def test_who_does_not_come_again_is_waited_for_once_and_not_for_long() -> None:
    work = Work()
    grouped = Grouped(work.do, undone_by=ValueError)
    ask_all(work, grouped, [1, 2, 3, 4])
    assert grouped._crowd > 1
    grouped.ask(5)
    assert grouped._crowd == 1
    assert work.groups[-1] == [5]


def test_two_with_one_identity_are_never_in_one_group() -> None:
    work = Work()
    answers = ask_all(
        work, Grouped(work.do, undone_by=ValueError, identity=lambda item: item % 10 or None), [1, 2, 12, 22, 30, 40]
    )
    assert answers == [10, 20, 120, 220, 300, 400]
    for group in work.groups:
        named = [item % 10 for item in group if item % 10]
        assert len(named) == len(set(named))
    assert len(work.groups) == 4


def test_a_group_has_an_end() -> None:
    work = Work()
    items = list(range(1, GROUP_MAX + 10))
    assert ask_all(work, Grouped(work.do, undone_by=ValueError), items) == [item * 10 for item in items]
    assert max(len(group) for group in work.groups) == GROUP_MAX


def test_what_is_wrong_with_one_is_nothing_to_the_others() -> None:
    work = Work()
    work.error = lambda items: ValueError("a three") if 3 in items else None
    one, two, three, four = ask_all(work, Grouped(work.do, undone_by=ValueError), [1, 2, 3, 4])
    assert (one, two, four) == (10, 20, 40)
    assert isinstance(three, ValueError)


def test_what_may_have_been_done_already_is_not_done_again() -> None:
    work = Work()
    work.error = lambda items: RuntimeError("after the commit") if len(items) > 1 else None
    one, *others = ask_all(work, Grouped(work.do, undone_by=ValueError), [1, 2, 3])
    assert one == 10
    assert all(isinstance(answer, RuntimeError) for answer in others)
    assert len(work.groups) == 2


def test_when_a_thread_is_ended_nobody_waits_for_it() -> None:
    work = Work()
    work.error = lambda items: SystemExit() if len(items) > 1 else None
    grouped = Grouped(work.do, undone_by=ValueError)
    one, *others = ask_all(work, grouped, [1, 2, 3])
    assert one == 10
    assert all(isinstance(answer, SystemExit) for answer in others)
    assert grouped.ask(5) == 50, "the next one begins anew"


@pytest.mark.parametrize("threads", [2, 8])
def test_under_load_every_item_is_done_once(threads: int) -> None:
    done: list[int] = []

    def do(items: list[int]) -> list[int]:
        done.extend(items)
        return [-item for item in items]

    grouped: Grouped[int, int] = Grouped(do, undone_by=ValueError)
    wrong: list[int] = []

    def ask(first: int) -> None:
        for item in range(first, first + 500):
            if grouped.ask(item) != -item:
                wrong.append(item)

    workers = [threading.Thread(target=ask, args=(number * 1000,), daemon=True) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
        assert not worker.is_alive()
    assert not wrong
    assert len(done) == len(set(done)) == threads * 500
