"""`catalogue check` and `catalogue load --dry-run` as an operator runs them: reports and exit statuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from services.ops.__main__ import app
from tests.support.feeds import rss, write_file

GOOD = {
    "id": "1", "title": "Lamp", "description": "Warm", "price": "5 EUR", "availability": "in stock",
    "brand": "Hell", "product_type": "Home", "image_link": "https://x.example/1.jpg",
}  # fmt: skip


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["catalogue", *arguments])
    return done.exit_code, done.output


def check(path: Path, *more: str) -> tuple[int, dict[str, Any]]:
    status, output = run("check", str(path), "--json", *more)
    return status, json.loads(output)


def test_a_sound_feed_has_nothing_to_tell(tmp_path: Path) -> None:
    status, report = check(write_file(tmp_path, "f.xml", rss(GOOD, GOOD | {"id": "2"})))
    assert status == 0
    assert (report["format"], report["mapping"], report["rows"], report["products"]) == (
        "xml",
        "google",
        2,
        2,
    )
    assert report["refused"] == report["odd"] == report["left_out"] == []
    assert not any(report["missing"].values())


def test_what_is_missing_or_odd_is_counted_with_its_rows(tmp_path: Path) -> None:
    rows = [
        GOOD,
        {"id": "2", "title": "Bare", "price": "0 EUR", "availability": "sold out"},
        GOOD,
        GOOD | {"id": "4", "price": "7 USD", "image_link": "1.jpg"},
        GOOD | {"id": "5", "availability": "auf Lager"},
        GOOD | {"id": "6", "availability": "bald"},
        {"id": "7", "title": "No price"},
        GOOD | {"id": "8", "title": "x" * 501},
        GOOD | {"id": "9", "updated": "2099-01-01"},
    ]
    status, report = check(write_file(tmp_path, "f.xml", rss(*rows)))
    assert status == 1
    assert (report["rows"], report["products"]) == (9, 4)
    refused = {each["what"]: each for each in report["refused"]}
    words = refused["availability: is a word that is not known"]
    assert (words["count"], words["rows"], words["examples"]) == (2, [5, 6], ["auf Lager", "bald"])
    assert refused["price: is missing"]["rows"] == [7]
    assert any(what.startswith("name:") for what in refused)
    missing = {"image_url": 1, "description": 1, "brand": 1, "category": 1, "price": 1}
    assert report["missing"] == missing
    odd = {each["what"]: each["rows"] for each in report["odd"]}
    assert odd["price is 0"] == [2]
    assert odd["product_id is there more than once: the newest row counts, of equals the first"] == [3]
    assert odd["currency is USD, of most EUR"] == [4]
    assert odd["image_url is no http(s) address"] == [4]
    assert odd["updated_at is after the file's own time: it hides later changes"] == [9]
    assert report["availability"] == {"in_stock": 3, "out_of_stock": 1, "preorder": 0}
    assert report["currencies"] == {"EUR": 3, "USD": 1}


def test_the_tables_for_people_say_the_same(tmp_path: Path) -> None:
    path = write_file(tmp_path, "f.xml", rss(GOOD, GOOD | {"id": "2", "price": "soon"}))
    status, output = run("load", str(path), "--dry-run")
    assert status == 1
    assert "price: is no price" in output
    assert "nothing was sent" in output
    assert run("check", str(path))[1] == output


@pytest.mark.parametrize("name", ["a.csv", "a.xml", "a.parquet"])
def test_a_file_that_cannot_be_read_is_status_2_and_one_sentence(tmp_path: Path, name: str) -> None:
    status, output = run("check", str(write_file(tmp_path, name, "<rss><item>")))
    assert status == 2
    assert name in output


def test_the_example_of_columns_is_printed_and_can_be_used(tmp_path: Path) -> None:
    status, example = run("columns")
    assert status == 0
    rows = (
        "Artikelnummer;Bezeichnung;Marke;Preis (brutto);Lagerstatus;Warengruppe;Beschreibung;Merkmale;Bild;"
    )
    path = write_file(tmp_path, "p.csv", rows + "Geändert am\n1;Lampe;Hell;5,50 €;;;;;;\n", "cp1252")
    status, report = check(path, "--columns", str(write_file(tmp_path, "c.toml", example)))
    assert (status, report["products"], report["mapping"]) == (0, 1, "columns")


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    path = str(write_file(tmp_path, "p.csv", "product_id,name,price\n1,a,1\n"))
    toml = str(write_file(tmp_path, "c.toml", ""))
    assert run("check", path, "--columns", toml, "--mapping", "google")[0] == 2
    assert run("check", path, "--currency", "euro")[0] == 2


def test_shopifys_prices_are_in_the_currency_that_was_told(tmp_path: Path) -> None:
    row = {"id": 1, "title": "Shirt", "variants": [{"price": "5.00"}]}
    path = write_file(tmp_path, "p.json", json.dumps({"products": [row, row | {"id": 2, "status": "draft"}]}))
    status, report = check(path, "--currency", "SEK")
    assert (status, report["currencies"]) == (0, {"SEK": 1})
    assert [each["what"] for each in report["left_out"]] == ["a draft"]
    table = run("check", str(path), "--currency", "SEK")[1]
    assert re.search(r"without brand +│ 1 \(100\.0%\)", table), "of the products, not of the draft, too"


def test_encoding_decimal_mark_and_words_of_availability_can_be_given(tmp_path: Path) -> None:
    text = "id;title;price;availability\n1;Schön;1.299;auf Lager\n2;Grün;5.500;\n"
    path = write_file(tmp_path, "p.csv", text, "cp1252")
    status, output = run("check", str(path))
    assert status == 2
    assert "--encoding" in output
    status, report = check(path, "--encoding", "cp1252")
    assert (status, report["products"]) == (1, 0)
    remedies = {each["what"]: each["remedy"] for each in report["refused"]}
    assert '--availability "auf Lager=in_stock"' in remedies["availability: is a word that is not known"]
    assert "--availability in_stock" in remedies["availability: is not told"]
    words = ("--availability", "AUF LAGER=in_stock", "--availability", "out_of_stock")
    status, report = check(path, "--encoding", "cp1252", "--decimal", ".", *words)
    assert (status, report["availability"]) == (0, {"in_stock": 1, "out_of_stock": 1, "preorder": 0})
    assert report["odd"] == []
    _, report = check(path, "--encoding", "cp1252", *words)
    [group] = report["odd"]
    assert group["what"].startswith("price may mean another")
    assert group["examples"] == ["1.299 is read as 1,299.00", "5.500 is read as 5,500.00"]


@pytest.mark.parametrize("told", ["there", "x=there", "=", "in_stock=x"])
def test_a_state_of_availability_that_is_none_is_refused(tmp_path: Path, told: str) -> None:
    path = write_file(tmp_path, "p.csv", "product_id,name,price\n1,a,1\n")
    status, output = run("check", str(path), "--availability", told)
    assert status == 2
    assert "in_stock" in output


def test_a_shops_address_that_is_none_is_refused(tmp_path: Path) -> None:
    path = write_file(tmp_path, "p.csv", "product_id,name,price\n1,a,1\n")
    assert run("check", str(path), "--shop-url", "shop.example")[0] == 2


def test_an_encoding_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    path = write_file(tmp_path, "p.csv", "product_id,name,price\n1,a,1\n")
    status, output = run("check", str(path), "--encoding", "klingon")
    assert (status, "klingon" in output, "Traceback" in output) == (2, True, False)


def test_the_last_line_says_what_a_shopper_would_see_wrong(tmp_path: Path) -> None:
    path = write_file(tmp_path, "f.xml", rss(GOOD))
    assert run("check", str(path))[1].splitlines()[-1] == "A shopper would see nothing wrong."
    rows = [
        GOOD | {"id": "1", "price": "0 EUR"},
        GOOD | {"id": "2", "price": "7 USD"},
        GOOD | {"id": "3", "image_link": ""},
        GOOD | {"id": "4", "sale_price": "9 EUR"},
        GOOD | {"id": "5", "price": "soon"},
        GOOD | {"id": "6", "title": "SchÃ¶n"},
        GOOD | {"id": "7", "title": "b\ufffdd"},
    ]
    last = run("check", str(write_file(tmp_path, "f.xml", rss(*rows))))[1].splitlines()[-1]
    for told in (
        "1 product at price 0", "1 product in another currency", "1 product without a picture",
        "1 product without their sale", "1 product not at all", "2 products with broken letters",
    ):  # fmt: skip
        assert told in last


def test_all_that_a_load_passes_over_is_told(tmp_path: Path) -> None:
    head = "id\ttitle\tdescription\tprice\tavailability\tgoogle_product_category\tsale_price\n"
    rows = (
        '1\tPan\t"XL" pan\t5 EUR\tin stock\t2271\tn/a\n2\tLid\tx\t1.299 EUR\tin stock\n'
        "2\tLid\tx\t5 EUR\tin stock\t\t4 USD\n"
    )
    status, report = check(write_file(tmp_path, "f.tsv", head + rows))
    assert status == 0
    told = {each["what"].split(":")[0]: each["rows"] for each in report["odd"]}
    assert told == {
        'a quote (") opens a cell and does not close it': [1],
        "google_product_category is a number, and product_type is empty": [1],
        "sale_price": [1],
        "fewer cells than columns": [2],
        "price may mean another": [2],
        "sale_price is in another currency than the price, so there is no sale": [3],
        "product_id is there more than once": [3],
    }


def test_of_two_rows_about_one_product_the_newer_counts_and_it_is_one(tmp_path: Path) -> None:
    row = {"product_id": "k", "name": "Kettle", "price": 40, "currency": "EUR", "availability": "in_stock"}
    older, newer = row | {"updated_at": 1795889433000}, row | {"updated_at": 1795893033000}
    for several in ([older, newer], [newer, older]):
        path = write_file(tmp_path, "p.jsonl", "\n".join(map(json.dumps, several)))
        _, report = check(path)
        assert (report["rows"], report["products"]) == (2, 1)
        first = next(each["what"] for each in report["odd"])
        assert first.startswith("product_id is there more than once")


def test_of_a_file_that_broke_off_what_was_read_is_told_and_then_where(tmp_path: Path) -> None:
    path = write_file(
        tmp_path, "f.xml", rss(GOOD, GOOD | {"id": "2", "price": "0 EUR"}, GOOD | {"id": "3"})[:-60]
    )
    status, output = run("check", str(path))
    assert status == 2
    assert "price is 0" in output
    assert "was it cut off?" in output
    assert "A shopper would see" in output
