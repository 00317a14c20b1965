"""Properties that hold for any words, and ways of asking that a list of sentences leaves out."""

import random
from functools import cache

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.products import Product
from services.recommender.search.parser import LONGEST_QUERY, parse
from services.recommender.search.query import Inferred
from services.recommender.search.text import english, key_of
from services.recommender.search.vocabulary import Vocabulary
from storefront.demo.catalogue.generator import made
from tests.support.examples import examples
from tests.support.search.oracle import find_unasked_filters
from tests.support.search.query_set import Shop, vocabulary

HARD = ("categories", "brands", "types", "not_tags", "not_brands", "not_categories", "not_types")
STEERING = (
    "not", "no", "without", "except", "non", "but", "and", "or", "for", "with", "like", "by", "from",
    "under", "over",
    "between", "around", "max", "up to", "less than", "at least", "a", "the", "my", "cheap", "popular", "-",
    ",", "&", "/",
    "$", "€", "euros", "dollars", "20", "49,90", "1.299", "5", "k", "size", "free", "similar to",
    "looks like",
)  # fmt: skip
OTHERS = (
    "iphone", "socks", "summer", "leather", "wedding", "zara", "strap", "box", "wite", "sneekers", "jaket",
    "umberlla",
    "son", "husband", "girls", "navy", "maroon", "dots", "jumper", "tee", "polka", "crimson", "fiver",
    "fifty", "next",
    "stripe", "drill", "hamer", "men", "womans", "maps", "cats", "ilsa", "lumens",
)  # fmt: skip
SHOPS: tuple[Shop, ...] = ("demo", "hardware", "home")


@cache
def names(shop: Shop) -> list[str]:
    summary = vocabulary(shop).summary(1_000)
    steps = {step for path in summary.categories for step in path.split("/")}
    return sorted({*summary.brands, *steps, *summary.types, *summary.tags})


@st.composite
def sentences(draw: st.DrawFn) -> tuple[Shop, str]:
    """Names of the shop, whole, cut or mistyped, between words that steer and words that say nothing."""
    shop = draw(st.sampled_from(SHOPS))
    known = st.sampled_from(names(shop))
    part = known.map(lambda name: name.split()[0])
    mistyped = known.map(lambda name: name[:2] + name[3:])
    word = st.one_of(known, part, mistyped, st.sampled_from(STEERING), st.sampled_from(OTHERS))
    return shop, " ".join(draw(st.lists(word, max_size=10)))


@examples(400)
@given(sentences())
def test_no_hard_filter_comes_of_nothing(said: tuple[Shop, str]) -> None:
    shop, query = said
    assert find_unasked_filters(query, parse(query, vocabulary(shop))) == []


@examples(400)
@given(sentences())
def test_filters_are_values_of_the_catalogue_and_never_contradict(said: tuple[Shop, str]) -> None:
    shop, query = said
    told, words = parse(query, vocabulary(shop)), vocabulary(shop)
    assert all(words.has("category", path) for path in (*told.categories, *told.not_categories))
    assert all(words.has("brand", name) for name in (*told.brands, *told.not_brands))
    assert all(words.has("type", name) for name in (*told.types, *told.not_types))
    assert all(words.has("tag", name) for name in (*told.tags, *told.not_tags))
    for name in ("categories", "brands", "types", "tags"):
        assert not set(getattr(told, name)) & set(getattr(told, f"not_{name}"))
    if told.price_min is not None and told.price_max is not None:
        assert told.price_min <= told.price_max


@given(sentences())
def test_the_description_holds_only_words_of_the_query_and_wished_tags(said: tuple[Shop, str]) -> None:
    shop, query = said
    told = parse(query, vocabulary(shop))
    typed = set(key_of(query).split())
    spelled = {word for tag in told.tags for word in key_of(tag).split()}
    brands = {word for name in vocabulary(shop).summary(99).brands for word in key_of(name).split()}
    excluded = {word for tag in told.not_tags for word in key_of(tag).split()}
    corrected = {word for meant in told.corrections.values() for word in meant.split()}
    assert set(key_of(told.description).split()) <= typed | spelled | brands | excluded | corrected


@given(st.text(max_size=200))
def test_any_text_is_understood_somehow(text: str) -> None:
    for shop in SHOPS:
        msgspec.json.encode(parse(text, vocabulary(shop)).weights)


@given(st.text(alphabet="$€<>=~-+&/.,'\"() 0159kax%", max_size=60))
@example("~1+0€")
def test_any_signs_and_numbers_are_understood_somehow(text: str) -> None:
    assert find_unasked_filters(text, parse(text, vocabulary("demo"))) == []


@given(sentences())
def test_an_answer_survives_json(said: tuple[Shop, str]) -> None:
    told = parse(said[1], vocabulary(said[0]))
    assert msgspec.json.decode(msgspec.json.encode(told), type=Inferred) == told


@given(sentences(), st.sampled_from(["  ", "\t", "\n"]))
def test_white_space_means_nothing(said: tuple[Shop, str], space: str) -> None:
    shop, query = said
    assert parse(query.replace(" ", space), vocabulary(shop)) == parse(query, vocabulary(shop))


def test_words_are_understood_whatever_their_case() -> None:
    quiet, loud = (parse(words, vocabulary("demo")) for words in ("mens red shirt", "MENS RED SHIRT"))
    assert quiet == loud


def test_the_order_of_the_products_means_nothing() -> None:
    products = [each.product for each in made(300, 7)]
    one = Vocabulary.of(products)
    random.Random(1).shuffle(products)
    other = Vocabulary.of(products)
    for query in (
        "womens shoes",
        "red or blue knitwear by ilse",
        "casa verd mugs",
        "accessories not for kids",
    ):
        assert parse(query, one) == parse(query, other)


def test_an_empty_catalogue_leaves_all_words_to_the_description() -> None:
    told = parse("red shoes under $50 by ilse", Vocabulary.of([]))
    assert told == Inferred(
        description="red shoes ilse", weights={"image": 1.0}, price_max=50.0, currency="USD"
    )


def test_a_query_is_read_up_to_its_longest_length() -> None:
    told = parse("red shirt " + "x" * LONGEST_QUERY + " under 50", vocabulary("demo"))
    assert told.types == ("shirt",)
    assert told.price_max is None


def product(number: int, **fields: object) -> Product:
    return msgspec.convert(
        {
            "product_id": f"x{number}",
            "name": "x",
            "price": 1.0,
            "currency": "EUR",
            "availability": "in_stock",
            "updated_at": 0,
            **fields,
        },
        Product,
    )


def shop_of(*rows: dict[str, object]) -> Vocabulary:
    return Vocabulary.of(product(number, **row) for number, row in enumerate(rows))


def test_a_feed_that_spells_one_name_in_several_ways_is_searched_in_all_of_them() -> None:
    words = shop_of(
        {"brand": "BOSCH", "type": "Drill"}, {"brand": "Bosch", "type": "Drills"}, {"brand": "Bosch"}
    )
    told = parse("bosch drill", words)
    assert told.brands == ("Bosch", "BOSCH")
    assert set(told.types) == {"Drill", "Drills"}


def test_a_category_for_people_is_found_by_every_word_for_them() -> None:
    words = shop_of(
        {"category": ["Clothing", "Men's Clothing"]}, {"category": ["Clothing", "Women's Clothing"]}
    )
    assert parse("something for guys", words).categories == ("Clothing/Men's Clothing",)
    assert parse("ladies", words).categories == ("Clothing/Women's Clothing",)


def test_a_shelf_of_two_things_is_found_by_one_of_them() -> None:
    told = parse("rollers", shop_of({"category": ["Paint", "Brushes & rollers"]}))
    assert told.categories == ("Paint/Brushes & rollers",)
    assert told.description == "rollers"


@pytest.mark.parametrize("query", ["no rollers", "not maroon"])
def test_a_part_is_no_reason_to_leave_out_the_whole(query: str) -> None:
    told = parse(query, shop_of({"category": ["Brushes & rollers"], "tags": ["red"]}))
    assert told == Inferred(unknown=(query.split()[1],))


def test_a_brand_with_an_everyday_name_must_be_said_to_be_one() -> None:
    words = vocabulary("hardware")
    assert parse("next day delivery", words).brands == ()
    assert parse("not next week", words).not_brands == ()
    assert parse("paintbrush by next", words).brands == ("Next",)
    assert parse("a paintbrush from Next", words).brands == ("Next",)
    assert parse("some Next paintbrushes", words).brands == ("Next",)


@pytest.mark.parametrize("query", ["watch strap", "shoe rack", "lamp shade", "coat hanger", "cushion cover"])
def test_a_part_of_a_thing_or_something_for_it_is_not_the_thing(query: str) -> None:
    told = parse(query, vocabulary("demo"))
    assert told == Inferred(description=query)


@pytest.mark.parametrize("query", ["hats or knitwear", "socks and shoes", "shoes and socks"])
def test_half_a_wish_is_no_filter(query: str) -> None:
    told = parse(query, vocabulary("demo"))
    assert not any(getattr(told, name) for name in HARD)


@pytest.mark.parametrize(
    ("query", "excluded"),
    [
        ("shirt that isn't black", {"black"}),
        ("shirts -black", {"black"}),
        ("neither striped nor dotted", {"striped", "dotted"}),
        ("not black, red or blue", {"black", "red", "blue"}),
        ("not black, blue shirt", {"black"}),
        ("not black and striped", {"black"}),
        ("no stripes, dots or checks", {"striped", "dotted", "checked"}),
        ("please nothing pink", {"pink"}),
        ("no more black", {"black"}),
        ("not too much purple", {"purple"}),
        ("rather red than blue", set()),
        ("not only red", set()),
        ("no idea, red maybe", set()),
    ],
)
def test_an_exclusion_goes_as_far_as_its_list(query: str, excluded: set[str]) -> None:
    told = parse(query, vocabulary("demo"))
    assert set(told.not_tags) == excluded
    assert not set(told.tags) & excluded


def test_free_of_something_is_without_it_unless_the_catalogue_calls_it_so() -> None:
    assert parse("leather-free gloves", vocabulary("hardware")).not_tags == ("leather",)
    assert parse("latex-free gloves", vocabulary("hardware")).tags == ("latex-free",)
    assert parse("red mug free shipping", vocabulary("demo")).tags == ("red",)


def test_a_list_of_exclusions_may_have_words_that_the_catalogue_lacks() -> None:
    told = parse("not ugly, red or blue", vocabulary("demo"))
    assert told.unknown == ("ugly",)
    assert told.not_tags == ()


def test_without_a_shade_is_not_without_its_colour() -> None:
    assert parse("crimson-free shirt", vocabulary("demo")).not_tags == ()


def test_a_compound_with_non_is_a_word_like_any_other() -> None:
    assert parse("non-stick mug", vocabulary("demo")) == Inferred(description="non-stick", types=("mug",))


def test_a_right_english_word_is_never_taken_for_a_mistyped_one() -> None:
    known = vocabulary("demo")
    assert all(known.correct(word) is None for word in english().common)
    assert parse("yoga mats", known) == Inferred(description="yoga mats")


@pytest.mark.parametrize(
    "query",
    [
        "white dresser",
        "woven",
        "chaussures homme",
        "menos",
        "bottes",
        "matras",
        "botas",
        "kleider",
        "bottle opener",
    ],
)
def test_a_right_word_of_any_language_is_never_taken_for_a_mistyped_one(query: str) -> None:
    told = parse(query, vocabulary("demo"))
    assert told.corrections == {}
    assert not any(getattr(told, name) for name in HARD)


def test_a_correction_filters_only_where_nothing_else_is_unknown() -> None:
    assert parse("sneekers for summer", vocabulary("demo")).types == ("sneakers",)
    told = parse("sneekers xplorz", vocabulary("demo"))
    assert told == Inferred(description="sneakers xplorz", corrections={"sneekers": "sneakers"})
    told = parse("stiped xplorz", vocabulary("demo"))
    assert (told.tags, told.corrections) == (("striped",), {"stiped": "striped"})
    assert parse("xplorz not stiped", vocabulary("demo")).not_tags == ()


@pytest.mark.parametrize(
    ("query", "categories"),
    [
        ("womens boyfriend shorts", ("Women",)),
        ("boyfriend shorts for women", ("Women",)),
        ("women's watch from my husband", ("Women",)),
        ("watch from my husband", ()),
        ("watch for my husband", ("Men",)),
        ("mens shirt from my wife", ("Men",)),
        ("kids cap from grandma", ("Kids",)),
        ("shirt for my husband from his wife", ("Men",)),
        ("kids shirt like daddy", ("Kids",)),
        ("boyfriend shirt", ()),
        ("dad hat", ()),
        ("my husband watch", ("Men",)),
    ],
)
def test_explicit_people_words_beat_relatives(query: str, categories: tuple[str, ...]) -> None:
    assert parse(query, vocabulary("demo")).categories == categories


@pytest.mark.parametrize(
    ("query", "shop", "excluded"),
    [
        ("stripes and dots free shirt", "demo", {"striped", "dotted"}),
        ("stripes, dots and checks free", "demo", {"striped", "dotted", "checked"}),
        ("stripe- and dot-free shirt", "demo", {"striped", "dotted"}),
        ("floral or striped free", "demo", {"floral", "striped"}),
        ("red and floral free shirt", "demo", {"floral"}),
        ("shirt sans stripes", "demo", {"striped"}),
        ("sans stripes and dots", "demo", {"striped", "dotted"}),
        ("comic sans serif mug", "demo", set()),
        ("gloves latex free and leather free", "hardware", {"leather"}),
        ("brass and glass free pendant light", "home", {"brass", "glass"}),
    ],
)
def test_free_of_several_things(query: str, shop: Shop, excluded: set[str]) -> None:
    told = parse(query, vocabulary(shop))
    assert set(told.not_tags) == excluded
    assert not set(told.tags) & excluded


@pytest.mark.parametrize(
    ("query", "order"),
    [
        ("cheapest red dress", "cheapest"),
        ("red dress lowest price", "cheapest"),
        ("the least expensive red dress", "cheapest"),
        ("dearest red dress", "dearest"),
        ("most expensive red dress", "dearest"),
        ("newest red dress", "newest"),
        ("latest red dresses", "newest"),
        ("best rated red dress", "best_rated"),
        ("top rated red dress", "best_rated"),
        ("cheap red dress", None),
        ("not the cheapest red dress", None),
        ("red dress cheapest to most expensive", "cheapest"),
        ("red dress price high to low", "dearest"),
        ("popular red dress", None),
    ],
)
def test_a_superlative_asks_for_an_order(query: str, order: str | None) -> None:
    told = parse(query, vocabulary("demo"))
    assert (told.order, told.types, told.tags) == (order, ("dress",), ("red",))


@pytest.mark.parametrize(
    ("query", "shop"),
    [
        ("bed sheets", "home"), ("sofa legs", "home"), ("watch winder", "demo"), ("mug warmer", "demo"),
        ("tent stakes", "demo"), ("bottle openers", "demo"), ("wer hat das", "demo"),
        ("kann man das tragen", "demo"),
        ("eine hose für herren", "hardware"), ("kussen voor de rug", "demo"),
    ],
)  # fmt: skip
def test_a_word_that_says_something_else_here_is_no_filter(query: str, shop: Shop) -> None:
    told = parse(query, vocabulary(shop))
    assert not any(getattr(told, name) for name in HARD)
