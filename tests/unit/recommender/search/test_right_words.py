"""The list of right words, and how it is looked up."""

from hypothesis import given
from hypothesis import strategies as st

from services.recommender.search.right_words import WordList, is_gibberish, language_of

WORD = st.text(alphabet="abcz", min_size=1, max_size=6)
WORDS = st.lists(WORD, unique=True)


@given(WORDS, WORD)
def test_a_list_has_its_words_and_no_others(words: list[str], other: str) -> None:
    found = WordList("\n".join(sorted(words)).encode())
    assert all(word in found for word in words)
    assert (other in found) == (other in words)


def test_right_words_are_known_by_language_and_mistakes_are_not() -> None:
    assert all(language_of(word) == "english" for word in ("dresser", "woven", "with", "trouser"))
    foreign = ("chaussures", "menos", "bottes", "kleid", "zapatos", "scarpe", "schoenen", "sukienka")
    assert all(language_of(word) == "foreign" for word in foreign)
    mistakes = ("sneekers", "jaket", "umbrela", "definately", "accesories", "wite", "dres", "asdfqwer")
    assert not any(map(language_of, mistakes))


def test_letters_of_no_word_are_told_from_names_and_mistakes() -> None:
    gibberish = ("asdfqwer", "asdf", "qwer", "xyzzy", "hjklasdf", "zxcvbn", "dfgdfg", "aaaaaa", "jfkdls")
    assert all(map(is_gibberish, gibberish))
    words = (
        "dresser", "gabardine", "nubuck", "silnylon", "wallett", "sneekers", "umbrlela", "ultraboost",
        "sommerkleid", "ikea", "xbox", "kurtka", "velcro", "größe", "платье", "t3x", "",
    )  # fmt: skip
    assert not any(map(is_gibberish, words))
