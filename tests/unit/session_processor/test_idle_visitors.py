"""Who has been idle for too long, in the events' own time, partition by partition."""

from services.session_processor.idle_visitors import HOUR_MS, LATE_MS, IdleVisitors

DAY = 24 * HOUR_MS
IDLE = 30 * DAY
NOW = 1000 * DAY
CLOCK = float(2000 * DAY)
MANY = 100


def note_visitors(*seen: tuple[bytes, int, int]) -> IdleVisitors:
    visitors = IdleVisitors(IDLE)
    for visitor, partition, at in seen:
        visitors.note_seen(visitor, partition, at, CLOCK)
    return visitors


def test_a_visitor_is_due_when_even_a_late_event_would_find_nothing_that_counts() -> None:
    visitors = note_visitors((b"idle", 0, NOW), (b"other", 0, NOW + IDLE + LATE_MS))
    assert visitors.due(0, MANY) == []
    visitors.note_seen(b"other", 0, NOW + IDLE + LATE_MS + HOUR_MS, CLOCK)
    assert visitors.due(0, MANY) == [b"idle"]
    assert b"idle" not in visitors
    assert b"other" in visitors


def test_nobody_is_named_twice() -> None:
    visitors = note_visitors((b"idle", 0, NOW), (b"other", 0, NOW + 2 * IDLE))
    assert visitors.due(0, MANY) == [b"idle"]
    visitors.note_seen(b"other", 0, NOW + 3 * IDLE, CLOCK)
    assert visitors.due(0, MANY) == []


def test_whoever_comes_back_is_not_idle() -> None:
    visitors = note_visitors((b"back", 0, NOW), (b"back", 0, NOW + IDLE), (b"other", 0, NOW + IDLE + DAY))
    assert visitors.due(0, MANY) == []


def test_whoever_comes_back_in_the_moment_of_being_named_is_noted_again() -> None:
    visitors = note_visitors((b"back", 0, NOW), (b"other", 0, NOW + 2 * IDLE))
    assert visitors.due(0, MANY) == [b"back"]
    visitors.note_seen(b"back", 0, NOW + 2 * IDLE, CLOCK)
    assert b"back" in visitors


def test_time_goes_by_in_each_partition_by_itself() -> None:
    visitors = note_visitors((b"lagging", 0, NOW), (b"elsewhere", 1, NOW + 2 * IDLE))
    assert visitors.due(0, MANY) == []
    assert visitors.due(1, MANY) == []


def test_a_date_in_the_future_makes_nobody_idle() -> None:
    visitors = IdleVisitors(IDLE)
    visitors.note_seen(b"today", 0, NOW, clock=NOW)
    visitors.note_seen(b"from the future", 0, NOW + 2 * IDLE, clock=NOW)
    assert visitors.due(0, MANY) == []


def test_an_old_event_is_not_the_partitions_time() -> None:
    visitors = note_visitors((b"now", 0, NOW), (b"late", 0, NOW - 2 * IDLE))
    assert visitors.due(0, MANY) == [b"late"]
    assert b"now" in visitors


def test_many_are_named_bit_by_bit_the_longest_idle_first() -> None:
    idle = [(b"%d" % number, 0, NOW + number * HOUR_MS) for number in range(5)]
    visitors = note_visitors(*idle, (b"other", 0, NOW + 2 * IDLE))
    found = [visitors.due(0, 2) for _ in range(4)]
    assert found == [[b"0", b"1"], [b"2", b"3"], [b"4"], []]


def test_who_has_left_is_not_named() -> None:
    visitors = note_visitors((b"idle", 0, NOW), (b"other", 0, NOW + 2 * IDLE))
    visitors.forget(b"idle")
    visitors.forget(b"idle")
    assert visitors.due(0, MANY) == []
