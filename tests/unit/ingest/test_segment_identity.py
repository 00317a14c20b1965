"""Which joins go to Kafka: each once while it is known, and always the newest."""

import hmac
import json
from hashlib import sha256
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.identities import Identity
from services.ingest.keyed_facts import OF_IDENTITIES, KeyedFacts
from services.ingest.segment.identity import (
    WRITE_KEY_HOLDER,
    IdentityLink,
    IdentityPolicy,
    MessageSender,
    PublishedLinks,
)
from services.ingest.segment.mapping import validate_messages
from services.ingest.segment.messages import Kind, Parcel
from services.settings import PLACEHOLDER_IDS
from services.visitors.identity_graph import PlaceholderIds
from services.web.auth import UserSigner

IDENTITY_KEY: Final = "the key that signs user ids"
SIGNED: Final = hmac.new(IDENTITY_KEY.encode(), b"17", sha256).hexdigest()


class Links(PublishedLinks):
    """With facts of their own; `to_write` tells only what is missing."""

    def __init__(self) -> None:
        super().__init__(KeyedFacts(OF_IDENTITIES))

    def to_write(self, joins: list[IdentityLink]) -> list[Identity]:
        return self.missing(joins)[0]


def join(
    visitor_id: str, user_id: str, at: int, *, stated: bool = False, proven: bool = False, index: int = 0
) -> IdentityLink:
    identity = Identity(visitor_id=visitor_id, user_id=user_id, occurred_at=at, proven=proven)
    return IdentityLink(identity, stated, index=index)


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


def test_a_proof_is_written_and_no_later_claim_of_the_same_user_takes_it_back() -> None:
    written = Links()
    written.remember([join("v1", "u1", 1).identity])
    proof = join("v1", "u1", 2, proven=True)
    assert written.to_write([proof]) == [proof.identity]
    written.remember([proof.identity])
    for stated in (True, False):
        assert written.to_write([join("v1", "u1", 3, stated=stated)]) == []
    assert written.to_write([join("v1", "u2", 4)]) == [join("v1", "u2", 4).identity]
    # In one batch: identify with its proof, then a track that names both.
    batch = [join("v3", "u1", 1, stated=True, proven=True), join("v3", "u1", 2)]
    assert written.to_write(batch) == [join("v3", "u1", 2, proven=True).identity]
    other = [join("v3", "u1", 1, stated=True, proven=True), join("v3", "u2", 2)]
    assert written.to_write(other) == [join("v3", "u2", 2).identity]


def links(
    sender: MessageSender = WRITE_KEY_HOLDER, kind: Kind = "identify", **fields: Any
) -> list[IdentityLink]:
    policy = IdentityPolicy(PlaceholderIds(PLACEHOLDER_IDS), UserSigner(SecretStr(IDENTITY_KEY)))
    body = json.dumps({"anonymousId": "v1", "timestamp": "2026-01-01T00:00:00Z", **fields}).encode()
    parcel = Parcel([msgspec.Raw(body)])
    found = validate_messages(parcel, received_at=1_798_000_000_000, kind=kind, sender=sender, policy=policy)
    if found.rejected:
        raise AssertionError(found.rejected[0].reason)
    return found.joins


@pytest.mark.parametrize(
    ("fields", "proof", "is_proven"),
    [
        ({}, "none", False),
        ({"traits": {"user_hash": SIGNED}}, "signature", True),
        ({"traits": {"user_hash": SIGNED.upper()}}, "signature", True),
        ({"context": {"traits": {"user_hash": SIGNED}}}, "signature", True),
        ({"traits": {"user_hash": "0" * 64}}, "wrong_signature", False),
        ({"traits": {"user_hash": 7}, "context": {"traits": "x"}}, "none", False),
        ({"traits": {"user_hash": SIGNED}, "userId": "18"}, "wrong_signature", False),
    ],
)
def test_a_join_is_a_claim_until_the_shop_has_signed_the_user(
    fields: dict[str, Any], proof: str, is_proven: bool
) -> None:
    [link] = links(**{"userId": "17", **fields})
    assert (link.proof, link.identity.proven) == (proof, is_proven)


def test_a_back_end_needs_no_signature_and_a_signature_proves_no_alias() -> None:
    [link] = links(MessageSender(is_back_end=True), userId="17")
    assert link.identity.proven
    aliased: dict[str, Any] = {
        "kind": "alias",
        "previousId": "bob",
        "userId": "17",
        "traits": {"user_hash": SIGNED},
    }
    assert not any(each.identity.proven for each in links(**aliased))
    assert all(each.identity.proven for each in links(MessageSender(is_back_end=True), **aliased))


def test_without_a_key_no_signature_is_right() -> None:
    assert not UserSigner(None).matches("17", SIGNED)


@pytest.mark.parametrize(
    "user_id", ["undefined", "null", "None", "NaN", "guest", "anonymous", "0", 0, " ", "a@example.com"]
)
def test_ids_that_mean_nothing_never_join(user_id: object) -> None:
    assert links(userId=user_id) == []
    assert links(kind="alias", previousId=user_id, userId="17") == []
    assert links(kind="alias", previousId="bob", userId=user_id) == []
    assert links(anonymousId=user_id, userId="17") == []


def test_a_visitor_joins_itself_alone_by_its_token() -> None:
    itself = MessageSender(visitor_id="v1")
    [link] = links(itself, userId="17")
    assert not link.identity.proven
    with pytest.raises(AssertionError, match="another visitor"):
        links(itself, anonymousId="v2", userId="17")
    with pytest.raises(AssertionError, match="another visitor"):
        links(itself, kind="alias", previousId="bob", userId="17")


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
