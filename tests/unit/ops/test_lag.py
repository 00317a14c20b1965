"""What figures of a consumer group come to, in words."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ops.lag.report import (
    GroupLag,
    Member,
    PartitionLag,
    age,
    group_lag,
    list_groups,
    partition_lag,
    waits_long,
)
from services.ops.settings import OpsSettings

EVENTS, PRODUCTS = list_groups(OpsSettings(topic_prefix="t."))
MEMBER = Member("vm-8003", "10.0.0.1", tuple(range(8)))
NOW = 1_000_000.0


def group(*partitions: PartitionLag, members: tuple[Member, ...] = (MEMBER,)) -> GroupLag:
    owned = tuple(
        msgspec.structs.replace(each, member=MEMBER.name if members else None) for each in partitions
    )
    return group_lag(EVENTS, "t.events", "STABLE", members=members, partitions=owned, now=NOW)


def unread(lag: int, age_s: float, **fields: int) -> PartitionLag:
    made = partition_lag(0, 10, 0, 10 + lag)
    return msgspec.structs.replace(made, oldest_unread_at=int(NOW - age_s * 1000), **fields)


def test_groups_lie_behind_the_prefix() -> None:
    assert (EVENTS.group, PRODUCTS.group) == ("t.session-processor", "t.embedder")


@given(st.integers(-1001, 100), st.integers(0, 100), st.integers(0, 100))
def test_lag_and_loss_count_every_message_once(committed: int, low: int, more: int) -> None:
    found = partition_lag(3, committed, low, low + more)
    read = committed if committed >= 0 else low
    assert found.lag == sum(offset >= read for offset in range(low, low + more))
    assert found.lost == sum(offset >= read for offset in range(low))
    assert (found.committed is None) == (committed < 0)


def test_what_was_committed_a_moment_ago_is_healthy() -> None:
    found = group(unread(40, 0.8))
    assert found.is_healthy
    assert "40 on their way" in found.meaning
    assert found.oldest_unread_s == 0.8


def test_nobody_there_is_said_with_how_to_start_one_and_how_long_there_is_time() -> None:
    found = group(unread(1200, 3600), members=())
    assert found.meaning == "nobody reads; 1,200 wait, the oldest for 60 min"
    assert found.what_to_do.startswith("start it: python -m services.session_processor")
    assert "30 days" in found.what_to_do


def test_nobody_there_is_bad_also_while_nothing_waits() -> None:
    assert not group(partition_lag(0, 5, 0, 5), members=()).is_healthy


def test_old_messages_that_wait_mean_behind_and_more_members_help_up_to_the_partitions() -> None:
    found = group(unread(5, 120))
    assert found.meaning == "behind: 5 wait, the oldest for 2 min"
    assert "up to 7 more" in found.what_to_do
    full = group(unread(5, 120), members=tuple(Member(str(n), "h", (n,)) for n in range(8)))
    assert "more members" not in full.what_to_do


def test_what_retention_took_is_told_before_all_else() -> None:
    found = group(partition_lag(0, 5, 20, 20))
    assert found.lost == 15
    assert "15 messages were deleted" in found.meaning


def test_a_partition_that_nobody_has_yet_is_being_dealt_out() -> None:
    waiting = msgspec.structs.replace(unread(5, 60), member=None)
    found = group_lag(EVENTS, "t.events", "STABLE", members=(MEMBER,), partitions=(waiting,), now=NOW)
    assert found.meaning == "partitions are being dealt out"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.04, "0.0 s"), (119, "119.0 s"), (120, "2 min"), (7200, "2 h"), (864_000, "10 d")]
)
def test_ages_as_people_say_them(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_a_partition_that_does_not_move_is_named_with_who_has_it() -> None:
    found = group(unread(5, 660, stands_still=True), partition_lag(1, 5, 0, 5))
    assert found.meaning == "partition 0 stands still: 5 wait, the oldest for 11 min"
    assert "end the member that has it (vm-8003)" in found.what_to_do


@pytest.mark.parametrize(
    ("part", "expected"), [(unread(5, 11), True), (unread(5, 9), False), (partition_lag(0, 5, 0, 5), False)]
)
def test_only_what_waits_for_long_is_looked_at_twice(part: PartitionLag, expected: bool) -> None:
    assert waits_long(msgspec.structs.replace(part, member="m"), NOW) == expected
    assert not waits_long(part, NOW)  # nobody has it
