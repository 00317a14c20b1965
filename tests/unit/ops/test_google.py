"""Google Merchant feeds: XML as RSS and Atom, TSV, and what each attribute becomes."""

from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.products import Availability
from services.ops.catalogue.cell_values import Defaults
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import detect
from tests.support.feeds import DEFAULTS, RSS, read_feed, rss, write_file

DRESS = {
    "id": "SKU-1",
    "title": "Silk dress",
    "description": "<p>Light &amp; soft.</p>",
    "link": "https://shop.example/p/1",
    "image_link": "https://shop.example/1.jpg",
    "price": "80.00 USD",
    "availability": "in stock",
    "brand": "Solberg",
    "google_product_category": "2271",
    "product_type": "Home > Women > Dresses",
    "color": "Red/Blue",
    "material": "Silk",
    "pattern": "Striped",
    "gender": "Female",
    "size": "M",
    "condition": "new",
}


def test_an_item_of_rss_is_a_product(tmp_path: Path) -> None:
    path = write_file(tmp_path, "feed.xml", rss(DRESS))
    assert detect(Feed(path)).name == "google"
    [product], [] = read_feed(path)
    assert (product.product_id, product.name, product.description) == ("SKU-1", "Silk dress", "Light & soft.")
    assert (product.price, product.currency, product.availability) == (80.0, "USD", "in_stock")
    assert product.category == ("Home", "Women", "Dresses")
    assert product.type == "Dresses"
    assert product.tags == ("red", "blue", "silk", "striped", "female")
    assert (product.url, product.image_url) == (DRESS["link"], DRESS["image_link"])
    assert product.updated_at == DEFAULTS.updated_at


def test_the_same_rows_in_tsv_and_xml_are_the_same_products(tmp_path: Path) -> None:
    head = "\t".join(name.replace("_", " ") for name in DRESS)
    table = write_file(tmp_path, "feed.txt", f"{head}\n" + "\t".join(DRESS.values()) + "\n")
    assert read_feed(table) == read_feed(write_file(tmp_path, "feed.xml", rss(DRESS)))


def test_an_atom_entry_is_a_product(tmp_path: Path) -> None:
    path = write_file(
        tmp_path,
        "feed",
        '<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" '
        'xmlns:g="http://base.google.com/ns/1.0"><entry><id>tag:x</id><g:id>1</g:id><title>Lamp</title>'
        '<link href="https://shop.example/1"/><summary>Warm</summary><g:price>5 EUR</g:price>'
        "<updated>2026-01-01T00:00:00Z</updated></entry></feed>",
    )
    [product], [] = read_feed(path)
    assert (product.product_id, product.url, product.description) == ("1", "https://shop.example/1", "Warm")
    assert product.updated_at == 1_767_225_600_000


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("in_stock", "in_stock"),
        ("In Stock", "in_stock"),
        ("out of stock", "out_of_stock"),
        ("preorder", "preorder"),
        ("pre-order", "preorder"),
        ("backorder", "preorder"),
        ("https://schema.org/OutOfStock", "out_of_stock"),
    ],
)
def test_words_of_availability(tmp_path: Path, word: str, state: str) -> None:
    [product], [] = read_feed(write_file(tmp_path, "f.xml", rss(DRESS | {"availability": word})))
    assert product.availability == state


def test_an_unknown_word_of_availability_is_refused_with_the_word(tmp_path: Path) -> None:
    [], [bad] = read_feed(write_file(tmp_path, "f.xml", rss(DRESS | {"availability": "auf Lager"})))
    assert (bad.reason, bad.value) == ("availability: is a word that is not known", "auf Lager")


def test_a_sale_is_the_price_while_it_lasts(tmp_path: Path) -> None:
    during = "2023-11-01T00:00-0800/2023-12-01T00:00-0800"  # the feed's time is 2023-11-14
    after = "2023-11-15T00:00Z/2023-12-01T00:00Z"
    sales = [
        ({"sale_price": "60 USD"}, 60.0),
        ({"sale_price": "60 USD", "sale_price_effective_date": during}, 60.0),
        ({"sale_price": "60 USD", "sale_price_effective_date": after}, 80.0),
        ({"sale_price": "90 USD"}, 80.0),
        ({"sale_price": "60 EUR"}, 80.0),
    ]
    for fields, price in sales:
        [product], [] = read_feed(write_file(tmp_path, "f.xml", rss(DRESS | fields)))
        assert product.price == price
        assert ("sale" in product.tags) == (price == 60.0)


def test_googles_own_category_counts_only_as_words_and_where_the_shop_has_none(tmp_path: Path) -> None:
    def category(**fields: str) -> tuple[str, ...]:
        item = {name: text for name, text in (DRESS | fields).items() if text}
        [product], [] = read_feed(write_file(tmp_path, "f.xml", rss(item)))
        return product.category

    assert category(google_product_category="Apparel > Dresses") == ("Home", "Women", "Dresses")
    assert category(google_product_category="Apparel > Dresses", product_type="") == ("Apparel", "Dresses")
    assert category(google_product_category="2271", product_type="") == ()


def test_variants_stay_apart_or_become_one(tmp_path: Path) -> None:
    group = {"item_group_id": "G"}
    items = [
        DRESS | group | {"id": "1", "price": "80 USD", "availability": "out_of_stock", "color": "Red"},
        DRESS | group | {"id": "2", "price": "70 USD", "color": "Blue"},
        DRESS | {"id": "3"},
    ]
    path = write_file(tmp_path, "f.xml", rss(*items))
    apart, _ = read_feed(path)
    assert [each.product_id for each in apart] == ["1", "2", "3"]
    [one, other], [] = read_feed(path, Defaults("EUR", DEFAULTS.updated_at, "merged"))
    assert (one.product_id, one.price, one.availability) == ("G", 70.0, "in_stock")
    assert "blue" in one.tags
    assert "red" not in one.tags  # it is sold out
    assert other.product_id == "3"


def test_a_bad_item_does_not_stop_the_rest(tmp_path: Path) -> None:
    items = [DRESS | {"price": "soon"}, DRESS | {"id": "2"}, {"id": "3", "title": "No price"}]
    products, bad = read_feed(write_file(tmp_path, "f.xml", rss(*items)))
    assert [each.product_id for each in products] == ["2"]
    assert [(each.number, each.reason) for each in bad] == [
        (1, "price: is no price"),
        (3, "price: is missing"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE r [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
        "<rss><channel><item><id>&b;</id></item></channel></rss>",
        "<rss><channel><item><g:id>1</g:id></item></channel></rss>",
        rss(DRESS)[:-40],
        "<html><body><p>Not found</p></body></html>",
    ],
    ids=["entities", "prefix that nobody declared", "cut off", "a page"],
)
def test_what_is_no_feed_is_one_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnreadableFile, match=r"f\.xml"):
        read_feed(write_file(tmp_path, "f.xml", text))


def test_items_that_were_read_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "big.xml"
    item = rss(DRESS).partition("<item>")[2].rpartition("</item>")[0]
    head, tail = rss().split("</channel>")
    with path.open("w") as file:
        file.write(head)
        for _ in range(2_000):
            file.write(f"<item>{item}</item>")
        file.write(f"</channel>{tail}")
    feed = Feed(path)
    shares = [feed.share for _ in feed.rows()]
    assert len(shares) == 2_000
    assert shares == sorted(shares)
    assert shares[0] < 0.2
    assert feed.share == 1.0


def test_merged_variants_have_price_and_tags_of_what_can_be_bought_wherever_their_rows_lie(
    tmp_path: Path,
) -> None:
    def variant(number: int, group: str, price: str, state: str, **more: str) -> dict[str, str]:
        item = {"id": f"v{number}", "item_group_id": group, "title": f"{group} {number}"}
        return item | {"price": price, "availability": state} | more

    items = [
        variant(1, "shirt", "50 EUR", "out_of_stock", sale_price="5 EUR", color="red"),
        variant(2, "shirt", "50 EUR", "in_stock", color="blue"),
        variant(3, "trousers", "70 EUR", "out_of_stock"),
        {"id": "x", "title": "Other", "price": "1 EUR", "availability": "in_stock"},
        variant(4, "trousers", "60 EUR", "in_stock"),
        variant(5, "hat", "9 EUR", "out_of_stock"),
        variant(6, "hat", "7 EUR", "out_of_stock"),
        variant(7, "sock", "4 EUR", "preorder"),
        variant(8, "sock", "5 EUR", "in_stock"),
    ]
    path = write_file(tmp_path, "f.xml", rss(*items))
    found, bad = read_feed(path, Defaults("EUR", DEFAULTS.updated_at, "merged"))
    assert bad == []
    by_id = {each.product_id: (each.price, each.availability, each.tags) for each in found}
    assert by_id == {
        "shirt": (50.0, "in_stock", ("blue",)),
        "trousers": (60.0, "in_stock", ()),
        "x": (1.0, "in_stock", ()),
        "hat": (7.0, "out_of_stock", ()),
        "sock": (5.0, "in_stock", ()),
    }
    assert {each.product_id: each.name for each in found}["trousers"] == "trousers 3"


@given(st.permutations(range(6)))
def test_the_order_of_variants_changes_no_price(order: list[int]) -> None:
    states = ("in_stock", "out_of_stock", "preorder")
    head = "id\titem_group_id\ttitle\tprice\tavailability\n"
    rows = [f"{n}\tG{n % 2}\tThing\t{10 + n} EUR\t{states[n % 3]}\n" for n in order]
    with TemporaryDirectory() as folder:
        path = write_file(Path(folder), "f.tsv", head + "".join(rows))
        found, bad = read_feed(path, Defaults("EUR", DEFAULTS.updated_at, "merged"))
    assert bad == []
    # G0: 0 in stock, 2 preorder, 4 sold out; G1: 3 in stock, 1 sold out, 5 preorder
    assert {each.product_id: (each.price, each.availability) for each in found} == {
        "G0": (10.0, "in_stock"),
        "G1": (13.0, "in_stock"),
    }


def test_a_variant_that_is_refused_takes_no_other_with_it(tmp_path: Path) -> None:
    group = {"item_group_id": "G"}
    items = [DRESS | group | {"id": "1", "price": "soon"}, DRESS | group | {"id": "2"}]
    for several in (items, items[::-1]):
        path = write_file(tmp_path, "f.xml", rss(*several))
        [one], [bad] = read_feed(path, Defaults("EUR", DEFAULTS.updated_at, "merged"))
        assert (one.product_id, one.price, bad.reason) == ("G", 80.0, "price: is no price")
        assert bad.product_ids == ("1", "G")


def test_tags_inside_an_element_are_read_as_text(tmp_path: Path) -> None:
    items = (
        "<item><g:id>1</g:id><title>Cheese slicer</title><description><p>Sharp</p><p>Steel &amp; oak</p>"
        "</description><g:price>9.99 EUR</g:price><g:availability>in stock</g:availability>"
        "<g:shipping><g:country>DE</g:country></g:shipping></item>"
        "<item><g:id>2</g:id><title>Grater <b>new</b></title><g:brand><i>Acme</i></g:brand>"
        "<g:price>9.99 EUR</g:price><g:availability>in stock</g:availability></item>"
    )
    [slicer, grater], [] = read_feed(write_file(tmp_path, "f.xml", RSS.format(items)))
    assert slicer.description == "Sharp\nSteel & oak"
    assert (grater.name, grater.brand) == ("Grater new", "Acme")


def test_entities_are_decoded_everywhere(tmp_path: Path) -> None:
    item = {
        "id": "1", "title": "Salt &amp; pepper", "description": "Fine &amp; good", "brand": "Dolce &amp; Co",
        "product_type": "Home &amp; Garden &gt; T&eacute;s", "color": "Black &amp; white",
        "link": "https://s.example/?a=1&amp;copy=2", "image_link": "https://s.example/1.jpg?a=1&amp;b=2",
        "price": "5 EUR", "availability": "in stock",
    }  # fmt: skip
    head = "\t".join(item)
    table = write_file(tmp_path, "f.tsv", f"{head}\n" + "\t".join(item.values()) + "\n")
    for path in (write_file(tmp_path, "f.xml", rss(item)), table):
        [found], [] = read_feed(path)
        assert (found.name, found.description, found.brand) == ("Salt & pepper", "Fine & good", "Dolce & Co")
        assert found.category == ("Home & Garden", "Tés")
        assert found.tags == ("black & white",)
        assert found.url == "https://s.example/?a=1&copy=2"
        assert found.image_url == "https://s.example/1.jpg?a=1&b=2"


def test_a_cell_without_a_word_of_availability_is_refused_unless_it_is_given_one(tmp_path: Path) -> None:
    head = "id\ttitle\tprice\tavailability\n"
    path = write_file(
        tmp_path, "f.tsv", f"{head}1\ta\t1 EUR\tin stock\n2\tb\t1 EUR\t\n3\tc\t1 EUR\tauf Lager\n"
    )
    [sound], [empty, foreign] = read_feed(path)
    assert sound.product_id == "1"
    assert (empty.reason, empty.remedy) == (
        "availability: is not told",
        "say what that means, --availability in_stock",
    )
    assert '--availability "auf Lager=in_stock"' in str(foreign)
    words: dict[str, Availability] = {"": "out_of_stock", "Auf lager": "in_stock"}
    found, bad = read_feed(path, Defaults("EUR", DEFAULTS.updated_at, words=words))
    assert bad == []
    assert [each.availability for each in found] == ["in_stock", "out_of_stock", "in_stock"]


def test_an_item_without_availability_counts_as_an_empty_cell_where_others_tell_it(tmp_path: Path) -> None:
    bare = {name: text for name, text in DRESS.items() if name != "availability"}
    path = write_file(tmp_path, "f.xml", rss(bare, DRESS | {"id": "2"}))
    [told], [untold] = read_feed(path)
    assert (told.product_id, untold.reason) == ("2", "availability: is not told")
    [nowhere], [] = read_feed(write_file(tmp_path, "f.xml", rss(bare)))
    assert nowhere.availability == "in_stock"


def test_of_several_categories_the_deepest_counts_and_the_others_become_tags(tmp_path: Path) -> None:
    def read(told: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        elements = "".join(f"<g:product_type>{escape(each)}</g:product_type>" for each in told.split("|"))
        bare = {
            name: text for name, text in DRESS.items() if name in ("id", "title", "price", "availability")
        }
        text = rss(bare).replace("</item>", f"{elements}</item>")
        [product], [] = read_feed(write_file(tmp_path, "f.xml", text))
        return product.category, product.tags

    assert read("New > Now, Women > Shoes > Boots") == (("Women", "Shoes", "Boots"), ("Now",))
    assert read("Sale|Women > Shoes") == (("Women", "Shoes"), ("Sale",))
    assert read("Home, Garden > Tools, Saws") == (("Home, Garden", "Tools, Saws"), ())


def test_of_two_rows_about_one_variant_the_newer_counts(tmp_path: Path) -> None:
    head = "id\titem_group_id\ttitle\tprice\tavailability\tupdated_at\n"
    older, newer = "1\tG\tHat\t5 EUR\tin stock\t2026-01-01\n", "1\tG\tHat\t9 EUR\tout of stock\t2026-01-02\n"
    other = "2\tG\tHat\t7 EUR\tin stock\t2026-01-01\n"
    for rows in (older + newer + other, other + newer + older):
        path = write_file(tmp_path, "f.tsv", head + rows)
        [one], [] = read_feed(path, Defaults("EUR", DEFAULTS.updated_at, "merged"))
        assert (one.price, one.availability) == (7.0, "in_stock")
