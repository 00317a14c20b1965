"""Files become events and products: the known mappings, the defaults, and rows that are none."""

import gzip
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.events import Event
from schemas.products import Product
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import MAPPINGS, BadRow, Defaults, detect, entries, events, products

DEFAULTS = Defaults("EUR", 1_700_000_000_000)
REES46 = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def test_a_rees46_row_is_an_event_and_a_product(tmp_path: Path) -> None:
    row = "2019-10-01 00:00:01 UTC,cart,17200506,2053,furniture.living_room.sofa,ikea,543.10,519107250,abc\n"
    path = file(tmp_path, "rees46.csv.gz", REES46 + row)
    assert detect(Feed(path)).name == "rees46"
    (event,) = events(Feed(path), MAPPINGS["rees46"])
    assert isinstance(event, Event)
    assert (event.type, event.visitor_id, event.occurred_at) == (
        "add_to_cart",
        "rees46-519107250",
        1569888001000,
    )
    (product,) = products(Feed(path), MAPPINGS["rees46"], DEFAULTS)
    assert isinstance(product, Product)
    assert product.name == "Ikea Sofa 17200506"
    assert product.category == ("Furniture", "Living room", "Sofa")


def test_the_same_rows_give_the_same_ids_and_different_rows_others(tmp_path: Path) -> None:
    row = "2019-10-01 00:00:01 UTC,view,1,2,,,5,6,abc\n"
    path = file(tmp_path, "rees46.csv", REES46 + row + row)
    first, second = (list(events(Feed(path), MAPPINGS["rees46"])) for _ in range(2))
    assert first == second
    assert len({event.event_id for event in first if isinstance(event, Event)}) == 2


def test_bad_rows_are_numbered_and_do_not_stop_the_rest(tmp_path: Path) -> None:
    good = "2019-10-01 00:00:01 UTC,view,1,2,,,5,6,abc\n"
    bad = "yesterday,view,1,2,,,5,6,abc\n"
    bad += "2019-10-01 00:00:01 UTC,stare,1,2,,,5,6,abc\n"
    bad += "2019-10-01 00:00:01 UTC,view\n"
    path = file(tmp_path, "x.csv", REES46 + good + bad + good)
    found = list(events(Feed(path), MAPPINGS["rees46"]))
    assert [type(each) for each in found] == [Event, BadRow, BadRow, BadRow, Event]
    assert [each.number for each in found if isinstance(each, BadRow)] == [2, 3, 4]


def test_a_uci_row_keeps_the_order_of_the_session(tmp_path: Path) -> None:
    head = "year;month;day;order;country;session ID;page 1 (main category);page 2 (clothing model);colour;"
    head += "location;model photography;price;price 2;page\n"
    path = file(tmp_path, "uci.csv", head + "2008;4;1;2;29;7;1;A16;14;6;1;33;2;1\n")
    (event,) = events(Feed(path), detect(Feed(path)))
    assert isinstance(event, Event)
    assert (event.visitor_id, event.product_id, event.occurred_at) == ("uci-7", "A16", 1207008002000)
    (product,) = products(Feed(path), detect(Feed(path)), DEFAULTS)
    assert isinstance(product, Product)
    assert product.name == "Trousers A16, white"


def test_a_shops_own_csv_needs_little_and_gets_defaults(tmp_path: Path) -> None:
    path = file(
        tmp_path, "p.csv", "product_id,name,price,category,tags\n1,Lamp,9.5,Home > Lamps,warm|small\n"
    )
    (product,) = products(Feed(path), detect(Feed(path)), DEFAULTS)
    assert isinstance(product, Product)
    assert product.category == ("Home", "Lamps")
    assert product.tags == ("warm", "small")
    assert (product.currency, product.availability, product.updated_at) == (
        "EUR",
        "in_stock",
        1_700_000_000_000,
    )


def test_a_file_of_no_known_kind_says_which_columns_it_has(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="fit none of the mappings"):
        detect(Feed(file(tmp_path, "x.csv", "a,b\n1,2\n")))


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet", "x.csv.gz", "x.txt"])
def test_garbage_is_one_clear_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(bytes(range(256)) * 10)
    with pytest.raises(UnreadableFile, match="x"):
        detect(Feed(path))


def test_all_of_the_rees46_file_is_events(data_folder: Path) -> None:
    found = list(events(Feed(data_folder / "rees46_oct2019_17k.csv.gz"), MAPPINGS["rees46"]))
    counted = Counter(event.type for event in found if isinstance(event, Event))
    assert counted == {"view_item": 17_056, "add_to_cart": 165, "purchase": 214}


def test_a_feed_of_products_has_no_events(tmp_path: Path) -> None:
    path = file(tmp_path, "feed.csv", "id,title,price\n1,Lamp,5\n")
    with pytest.raises(UnreadableFile, match="no events"):
        list(events(Feed(path), MAPPINGS["google"]))


def test_a_row_that_repeats_a_product_adds_none(tmp_path: Path) -> None:
    path = file(tmp_path, "p.csv", "product_id,name,price\n1,Lamp,5\n1,Other,6\n2,Chair,7\n")
    found = list(products(Feed(path), detect(Feed(path)), DEFAULTS))
    assert [each.name for each in found if isinstance(each, Product)] == ["Lamp", "Chair"]
    assert len(found) == 2


def test_of_rows_about_one_product_the_newest_comes_last_and_of_equals_the_first_counts(
    tmp_path: Path,
) -> None:
    head = "product_id,name,price,updated_at\n"
    rows = "1,old,1,2026-01-01\n1,new,1,2026-01-03\n1,between,1,2026-01-02\n1,as new,1,2026-01-03\n"
    found = products(Feed(file(tmp_path, "p.csv", head + rows)), MAPPINGS["eddy"], DEFAULTS)
    assert [each.name for each in found if isinstance(each, Product)] == ["old", "new"]


def test_a_time_in_seconds_is_refused_as_it_is_over_http(tmp_path: Path) -> None:
    head = "product_id,name,price,updated_at\n"
    [bad, good] = products(
        Feed(file(tmp_path, "p.csv", head + "1,a,1,1764374400\n2,b,1,1764374400000\n")),
        MAPPINGS["eddy"],
        DEFAULTS,
    )
    assert isinstance(bad, BadRow)
    assert "updated_at: looks like seconds and would be 1970-01-21" in bad.reason
    assert bad.value == "1764374400"
    assert isinstance(good, Product)


def test_ids_of_events_may_be_numbers_and_times_texts(tmp_path: Path) -> None:
    lines = [
        '{"event_id":7,"type":"view_item","visitor_id":12.0,"product_id":34,"occurred_at":"2026-01-01"}',
        '{"event_id":"01JD7Z8QX3N5R2V9W4T6Y8B1CM","type":"purchase","visitor_id":"v","occurred_at":1767225600000,'
        '"items":[{"product_id":34,"quantity":2},{"product_id":"x"}],"session_id":null}',
    ]
    path = file(tmp_path, "e.jsonl", "\n".join(lines))
    first, second = events(Feed(path), detect(Feed(path), of_events=True))
    assert isinstance(first, Event)
    assert isinstance(second, Event)
    assert (first.visitor_id, first.product_id) == ("12", "34")
    [again, _] = events(Feed(path), MAPPINGS["eddy"])
    assert again == first  # the event's id follows from the file's
    assert first.occurred_at == second.occurred_at
    assert second.products() == ("34", "x")


def test_events_of_a_table_are_taken_as_products_are(tmp_path: Path) -> None:
    head = "event_id;type;visitor_id;product_id;occurred_at;value\n"
    path = file(tmp_path, "e.csv", f"sep=;\n{head}1;view_item;2;3;2026-01-01;\n")
    [found] = events(Feed(path), detect(Feed(path), of_events=True))
    assert isinstance(found, Event)
    assert (found.visitor_id, found.product_id, found.value) == ("2", "3", None)


@pytest.mark.parametrize(
    ("text", "of_events", "told"),
    [
        ("event_id,type,visitor_id,product_id\n1,view_item,2,3\n", False, "events load"),
        ('event_id,type,visitor_id,query\n1,search,2,"shoes"\n', False, "events load"),
        ("product_id,name,price\n1,Lamp,5\n", True, "catalogue load"),
        ("id,title,price\n1,Lamp,5\n", True, "catalogue load"),
        ("user,item,when\n1,2,3\n", True, "event_id, type, visitor_id"),
        ("user,item,when\n1,2,3\n", False, "--columns"),
    ],
)
def test_a_file_of_the_other_kind_is_told_with_the_command_for_it(
    tmp_path: Path, text: str, of_events: bool, told: str
) -> None:
    with pytest.raises(UnreadableFile, match=told):
        detect(Feed(file(tmp_path, "x.csv", text)), of_events=of_events)


def test_what_a_product_may_lack_is_left_out_and_told_where_it_cannot_be_taken(tmp_path: Path) -> None:
    row = {
        "product_id": 1, "name": "Lamp", "price": 5, "availability": "in_stock", "brand": "x" * 201,
        "url": "/" + "x" * 3000, "tags": ["a", "y" * 201], "popularity": 7, "description": "z" * 20_001,
    }  # fmt: skip
    path = file(tmp_path, "p.jsonl", json.dumps(row))
    told: list[str] = []
    feed = Feed(path)
    [(_, found)] = entries(feed, detect(feed), DEFAULTS, lambda _row, what, _example: told.append(what))
    assert isinstance(found, Product)
    assert (found.brand, found.url, found.tags, found.popularity) == (None, None, ("a",), None)
    assert len(found.description or "") == 20_000
    fields = sorted({each.split(":")[0].split()[0] for each in told})
    assert fields == ["brand", "description", "popularity", "tags", "url"]


def test_links_and_pictures_that_are_no_whole_addresses_are_the_shops(tmp_path: Path) -> None:
    rows = [
        {"product_id": "1", "name": "a", "price": 1, "url": "/p/1", "image_url": "i/1.jpg"},
        {"product_id": "2", "name": "b", "price": 1, "url": "https://x.example/2", "image_url": "data:,x"},
    ]
    path = file(tmp_path, "p.jsonl", "\n".join(map(json.dumps, rows)))
    defaults = replace(DEFAULTS, shop_url="https://s.example/de/")
    found = [each for each in products(Feed(path), MAPPINGS["eddy"], defaults) if isinstance(each, Product)]
    assert [(each.url, each.image_url) for each in found] == [
        ("https://s.example/p/1", "https://s.example/de/i/1.jpg"),
        ("https://x.example/2", "data:,x"),
    ]
