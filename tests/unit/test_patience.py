"""Waiting in tests: what counts as not yet, what is raised in the end."""

import pytest

from tests.support.patience import eventually, patiently, wait_until


class Condition:
    """Answers one after the other; an exception is raised, the last one stays."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.calls = 0

    def __call__(self) -> object:
        self.calls += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def soon(self) -> object:
        return self()


NOT_YET = (AssertionError("no"), False, KeyError("k"), pytest.fail.Exception("not there"))


def test_errors_false_and_pytests_own_failures_are_not_yet() -> None:
    condition = Condition(*NOT_YET, None)
    wait_until(condition, 5, 0)
    assert condition.calls == len(NOT_YET) + 1


async def test_so_they_are_where_the_condition_is_awaited() -> None:
    condition = Condition(*NOT_YET, [])
    await eventually(condition.soon, 5, 0)
    assert condition.calls == len(NOT_YET) + 1


def test_a_check_gives_what_it_found() -> None:
    condition = Condition(False, AssertionError("no"), "found")

    @patiently(5, 0)
    def find() -> object:
        return condition()

    assert find() == "found"


@pytest.mark.parametrize("last", [KeyError("k"), pytest.fail.Exception("it is not there")])
def test_the_last_error_is_raised_in_the_end(last: BaseException) -> None:
    with pytest.raises(type(last)) as caught:
        wait_until(Condition(AssertionError("first"), last), 0.3, 0.001)
    assert caught.value is last


def test_what_stays_false_says_so() -> None:
    def never() -> bool:
        return False

    with pytest.raises(AssertionError, match=r"never still answers False after 0\.01 s"):
        wait_until(never, 0.01, 0.001)


def test_other_errors_than_those_that_are_expected_are_final() -> None:
    condition = Condition(AssertionError("no"), KeyError("k"), None)

    @patiently(5, 0, despite=AssertionError)
    def find() -> object:
        return condition()

    with pytest.raises(KeyError):
        find()
    assert condition.calls == 2


def test_an_interrupt_is_final() -> None:
    condition = Condition(KeyboardInterrupt(), None)
    with pytest.raises(KeyboardInterrupt):
        wait_until(condition, 5, 0)
