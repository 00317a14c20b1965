"""`catalogue check` and `catalogue load --dry-run` as an operator runs them: reports and exit statuses."""

import json
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
