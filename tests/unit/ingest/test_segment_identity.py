"""Which joins go to Kafka: each once while it is known, and always the newest."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.identities import Identity
from services.ingest.keyed_facts import OF_IDENTITIES, KeyedFacts
from services.ingest.segment.identity import IdentityLink, PublishedLinks


class Links(PublishedLinks):
    """With facts of their own; `missing` tells only what is to be written."""

    def __init__(self) -> None:
        super().__init__(KeyedFacts(OF_IDENTITIES))

    def to_write(self, joins: list[IdentityLink]) -> list[Identity]:
        return self.missing(joins)[0]


def join(visitor_id: str, user_id: str, at: int, *, stated: bool = False, index: int = 0) -> IdentityLink:
    return IdentityLink(Identity(visitor_id=visitor_id, user_id=user_id, occurred_at=at), stated, index)


def test_a_join_is_missing_until_kafka_has_acknowledged_it() -> None:
    written = Links()
    seen = join("v1", "u1", 1)
    assert written.to_write([seen]) == [seen.identity]
    assert written.to_write([seen]) == [seen.identity]
    written.remember([seen.identity])
    assert written.to_write([seen]) == []
    assert written.to_write([join("v1", "u1", 2), join("v2", "u1", 2)]) == [join("v2", "u1", 2).identity]


def test_a_later_identify_is_written_again_and_the_same_one_is_not() -> None:
    written = Links()
    written.remember([join("v1", "u1", 1).identity])
    assert written.to_write([join("v1", "u1", 1, stated=True)]) == []
    assert written.to_write([join("v1", "u1", 2, stated=True)]) == [join("v1", "u1", 2).identity]


def test_another_user_of_the_same_device_is_written_and_an_older_message_is_not() -> None:
    written = Links()
    written.remember([join("v1", "u1", 5).identity])
    assert written.to_write([join("v1", "u2", 6)]) == [join("v1", "u2", 6).identity]
    # The topic is compacted: an older join behind the newer one would take its place.
    assert written.to_write([join("v1", "u2", 4, stated=True)]) == []


def test_of_one_batch_the_newest_of_each_visitor_counts_and_what_was_stated_stays_so() -> None:
    written = Links()
    written.remember([join("v1", "u1", 1).identity])
    batch = [join("v1", "u1", 3, stated=True), join("v1", "u1", 2), join("v2", "u2", 1), join("v1", "u1", 4)]
    assert written.to_write(batch) == [join("v1", "u1", 4).identity, join("v2", "u2", 1).identity]


def test_a_join_that_is_too_old_to_count_is_told() -> None:
    written = Links()
    written.remember([join("v1", "u1", 5).identity])
    missing, outdated = written.missing([join("v1", "u2", 4, index=3), join("v2", "u2", 4, index=4)])
    assert missing == [join("v2", "u2", 4).identity]
    assert [each.index for each in outdated] == [3]
    assert outdated[0].reason.startswith("v1: older than what is there")
    assert written.missing([join("v1", "u1", 4)]) == ([], [])  # it says nothing else


def test_after_an_erasure_older_joins_do_not_come_back_and_the_next_one_is_written() -> None:
    written = Links()
    written.remember([join("v1", "u1", 5).identity])
    written.forget(["v1"], 7)
    assert written.to_write([join("v1", "u1", 6, stated=True)]) == []
    assert written.to_write([join("v1", "u1", 7, stated=True)]) == []
    assert written.to_write([join("v1", "u1", 8)]) == [join("v1", "u1", 8).identity]


joins = st.builds(
    lambda visitor, user, at, stated: join(visitor, user, at, stated=stated),
    st.sampled_from(["v1", "v2"]),
    st.sampled_from(["u1", "u2"]),
    st.integers(0, 5),
    st.booleans(),
)


@given(st.lists(st.tuples(st.lists(joins, max_size=4), st.booleans()), max_size=6))
def test_whatever_comes_in_whatever_order_the_topic_names_the_newest_user(
    batches: list[tuple[list[IdentityLink], bool]],
) -> None:
    """By what compaction keeps of it: the last; and also where senders had to try again."""
    written = Links()
    topic: dict[str, Identity] = {}
    newest: dict[str, Identity] = {}
    for batch, acknowledged in batches:
        missing = written.to_write(batch)
        assert len({each.visitor_id for each in missing}) == len(missing)
        if not acknowledged:  # the sender tries again
            assert written.to_write(batch) == missing
            missing = written.to_write(batch)
        written.remember(missing)
        topic |= {each.visitor_id: each for each in missing}
        for each in batch:
            if each.identity.replaces(newest.get(each.identity.visitor_id)):
                newest[each.identity.visitor_id] = each.identity
    assert {name: each.user_id for name, each in topic.items()} == {
        name: each.user_id for name, each in newest.items()
    }
