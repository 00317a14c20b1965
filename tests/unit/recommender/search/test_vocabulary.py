"""What a catalogue's names can be called."""

import pytest

from services.recommender.search.text import forms, key_of, normalise_text, plural, singular, tokens
from services.recommender.search.vocabulary import Summary, Vocabulary
from tests.support.search.query_set import vocabulary


@pytest.mark.parametrize(
    ("name", "key"),
    [("Birk & Loft", "birk and loft"), ("T-Shirt", "t shirt"), ("Crêpe", "crepe"), ("Men's", "mens"),
     ("Würth", "wurth"),
     ("Smørrebrød", "smorrebrod"), ("18V", "18 v"), ("Levi’s 501", "levis 501"), ("!!!", "")],
)  # fmt: skip
def test_a_name_is_looked_up_without_case_accents_and_signs(name: str, key: str) -> None:
    assert key_of(name) == key


def test_tokens_tell_words_numbers_and_signs_apart() -> None:
    found = [(token.text, token.kind, token.gap) for token in tokens("50€ w/o X-ray")]
    assert found == [
        ("50", "number", True), ("€", "sign", False), ("w/o", "word", True),
        ("x", "word", True), ("-", "sign", False), ("ray", "word", False),
    ]  # fmt: skip


def test_folding_twice_is_folding_once() -> None:
    assert normalise_text(normalise_text("ÅNGSTRÖM’S Œuvre")) == normalise_text("ÅNGSTRÖM’S Œuvre")


@pytest.mark.parametrize(
    ("name", "others"),
    [("scarf", {"scarves", "scarfs"}), ("shoes", {"shoe"}), ("sleeping bag", {"sleeping bags"}), ("glasses",
     set()),
     ("shorts", set()), ("dress", {"dresses", "dresss"}), ("knife", {"knives", "knifes"}), ("tops", set()),
     ("18 v", set())],
)  # fmt: skip
def test_a_name_has_a_plural_or_a_singular(name: str, others: set[str]) -> None:
    assert set(forms(name)) == others


@pytest.mark.parametrize(
    ("one", "many"),
    [("knife", "knives"), ("shelf", "shelves"), ("cookie", "cookies"), ("berry", "berries"),
     ("toy", "toys"), ("shoe", "shoes"), ("hero", "heroes"), ("photo", "photos"), ("watch", "watches"),
     ("blouse", "blouses"), ("bus", "buses"),
     ("lens", "lenses"), ("axe", "axes"), ("box", "boxes"), ("valve", "valves"), ("quiz", "quizzes"),
     ("buzz", "buzzes"), ("analysis", "analyses"), ("woman", "women"), ("human", "humans"), ("mouse", "mice"),
     ("child", "children"), ("person", "people"), ("deaf", "deafs"), ("salmon", "salmon")],
)  # fmt: skip
def test_plural_and_singular_lead_to_each_other(one: str, many: str) -> None:
    assert singular(many) == one
    if singular(one) is None:
        assert plural(one) == many


def test_a_synonym_stands_for_what_the_catalogue_has() -> None:
    assert [meaning.values for meaning in vocabulary("demo").meanings("trainers")] == [("sneakers",)]
    assert vocabulary("hardware").meanings("trainers") == ()


def test_a_shade_that_the_catalogue_has_is_itself() -> None:
    assert vocabulary("demo").meanings("navy")[0].values == ("navy",)
    assert vocabulary("demo").meanings("maroon")[0].values == ("red",)


def test_words_may_be_run_together_or_apart() -> None:
    assert vocabulary("demo").phrase_of_letters("sleepingbag") == ("sleeping", "bag")
    assert vocabulary("demo").phrase_of_letters("backpack") == ("backpack",)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("sneekers", "sneakers"), ("umberlla", "umbrella"), ("hsirt", "shirt"), ("trousres", "trousers"),
     ("wite", "white"),
     ("mats", None), ("rde", None), ("lamp", None), ("qwertz", None), ("12345", None), ("", None)],
)  # fmt: skip
def test_a_mistyped_word_is_corrected_and_no_other(typed: str, meant: str | None) -> None:
    assert vocabulary("demo").correct(typed) == meant


def test_the_summary_names_the_most_frequent() -> None:
    summary = vocabulary("hardware").summary(2)
    assert summary.categories == ("Power tools", "Hand tools")
    assert Vocabulary.of([]).summary(5) == Summary((), (), (), ())
