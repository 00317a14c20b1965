"""Times as people write them."""

import pytest

from services.time_range import BadTime, TimeRange, duration, format_time, parse_range

NOW = 1_732_449_600_000  # 2024-11-24T12:00:00Z
DAY = 24 * 60 * 60 * 1000
MIDNIGHT = NOW - DAY // 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-11-24", MIDNIGHT),
        ("2024-11-24T10:00", NOW - 2 * 60 * 60 * 1000),
        ("2024-11-24 10:00:00Z", NOW - 2 * 60 * 60 * 1000),
        ("2024-11-24T12:00:00+02:00", NOW - 2 * 60 * 60 * 1000),
        ("90m", NOW - 90 * 60_000),
        ("12h", MIDNIGHT),
        (" 7d ", NOW - 7 * DAY),
        ("2w", NOW - 14 * DAY),
        ("0h", NOW),
    ],
)
def test_dates_times_and_ages(text: str, expected: int) -> None:
    assert parse_range(text, None, NOW) == TimeRange(expected, None)
    assert parse_range(None, text, NOW).until == expected


def test_nothing_named_is_all_there_is() -> None:
    assert parse_range(None, None, NOW) == TimeRange()
    assert str(parse_range(None, None, NOW)) == "the beginning to now"


def test_the_end_may_lie_ahead() -> None:
    assert parse_range("7d", "2030-01-01", NOW).since == NOW - 7 * DAY


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("yesterday", None, "--since takes a date"),
        (None, "7y", "--until takes a date"),
        ("", None, "--since takes a date"),
        ("-1d", None, "--since takes a date"),
        ("2024-13-01", None, "--since takes a date"),
        ("2024-11-25", None, "lies in the future: it is 2024-11-24 12:00:00"),
        ("1d", "2d", "is not before --until"),
        ("1d", "1d", "is not before --until"),
        ("99999d", None, "lies before 1970"),
        ("1066-10-14", None, "lies before 1970"),
        ("0001-01-01T00:00:00+14:00", None, "lies before 1970"),
    ],
)
def test_what_is_no_range_is_told(since: str | None, until: str | None, told: str) -> None:
    with pytest.raises(BadTime, match=told):
        parse_range(since, until, NOW)


def test_the_options_may_be_called_otherwise() -> None:
    with pytest.raises(BadTime, match=r"--from 1d .* is not before --to 2d"):
        parse_range("1d", "2d", NOW, ("--from", "--to"))


@pytest.mark.parametrize(("text", "expected"), [("7d", 7 * DAY), (" 12h", DAY // 2), ("1w", 7 * DAY)])
def test_lengths_of_time(text: str, expected: int) -> None:
    assert duration("--window", text) == expected


@pytest.mark.parametrize("text", ["", "0d", "7", "d", "-1d", "7y", "1.5d"])
def test_what_is_no_length_of_time_is_told(text: str) -> None:
    with pytest.raises(BadTime, match="--window takes a length of time"):
        duration("--window", text)


@pytest.mark.parametrize("time_ms", [-(10**18), -(10**14), 0, 10**14, 10**15, 2**63 - 1])
def test_any_number_that_a_message_calls_a_time_is_shown(time_ms: int) -> None:
    assert format_time(time_ms)
