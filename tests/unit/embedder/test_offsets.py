"""Only what has had all its effects is committed."""

from services.embedder.catalogue import Ledger, Place


def test_the_lowest_unfinished_message_holds_the_offset_back() -> None:
    ledger = Ledger()
    for offset in (5, 6, 9):
        ledger.open(Place(0, offset))
    assert ledger.committable() == {0: 5}
    ledger.fulfil(Place(0, 9))
    ledger.fulfil(Place(0, 6))
    assert ledger.committable() == {}
    ledger.fulfil(Place(0, 5))
    assert ledger.committable() == {0: 10}
    assert len(ledger) == 0


def test_a_message_is_done_after_its_last_effect() -> None:
    ledger = Ledger()
    ledger.open(Place(1, 0))
    ledger.expect(Place(1, 0))
    ledger.fulfil(Place(1, 0))
    assert ledger.committable() == {1: 0}
    ledger.fulfil(Place(1, 0))
    assert ledger.committable() == {1: 1}


def test_partitions_are_told_apart_and_only_changes_are_told() -> None:
    ledger = Ledger()
    ledger.open(Place(0, 3))
    ledger.open(Place(1, 3))
    ledger.fulfil(Place(1, 3))
    assert ledger.committable() == {0: 3, 1: 4}
    assert ledger.committable() == {}
