"""A shop's own columns, told by a TOML file: the example works, and mistakes are named."""

from pathlib import Path

import pytest

from schemas.products import Product
from services.ops.catalogue.columns import EXAMPLE, FIELDS, FieldName, read
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import BadRow, Found, entries, mapping_by
from tests.support.feeds import DEFAULTS, write_file

HEAD = (
    "Artikelnummer;Bezeichnung;Marke;Preis (brutto);Lagerstatus;Warengruppe;Beschreibung;Merkmale;Bild;"
    "Geändert am"
)
LAMP = "17;Lampe;Hell;1.299,00 €;auf Lager;Haus/Lampen;<p>Schön</p>;rot, warm;17.jpg;2026-01-01"


def find(folder: Path, rows: str, toml: Path, encoding: str = "cp1252") -> list[Found]:
    columns = read(toml)
    feed = Feed(write_file(folder, "p.csv", rows, encoding), columns.dialect)
    return [each for _, each in entries(feed, mapping_by(columns, feed), DEFAULTS)]


def test_the_example_reads_such_a_feed(tmp_path: Path) -> None:
    [product] = find(tmp_path, f"{HEAD}\n{LAMP}\n", EXAMPLE)
    assert product == Product(
        product_id="17",
        name="Hell Lampe",
        price=1299.0,
        currency="EUR",
        availability="in_stock",
        updated_at=1_767_225_600_000,
        category=("Haus", "Lampen"),
        description="Schön",
        brand="Hell",
        image_url="https://cdn.example.com/17.jpg",
        url="/artikel/17",
        tags=("rot", "warm"),
        markets=("de", "at"),
    )


def test_empty_cells_make_no_half_filled_templates(tmp_path: Path) -> None:
    [product] = find(tmp_path, f"{HEAD}\n17;Lampe;;5;;;;;;\n", EXAMPLE)
    assert isinstance(product, Product)
    assert (product.name, product.image_url, product.availability) == ("Lampe", None, "in_stock")


def test_a_bad_row_tells_its_cell(tmp_path: Path) -> None:
    [bad] = find(tmp_path, f"{HEAD}\n" + LAMP.replace("auf Lager", "bald") + "\n", EXAMPLE)
    assert isinstance(bad, BadRow)
    assert bad.value == "bald"


def test_a_column_inside_an_object_of_json_is_named_with_a_point(tmp_path: Path) -> None:
    toml = write_file(
        tmp_path, "c.toml", '[columns]\nproduct_id = "sku"\nname = "text.en"\n[constants]\nprice = "5 USD"\n'
    )
    columns = read(toml)
    feed = Feed(write_file(tmp_path, "p.jsonl", '{"sku": 7, "text": {"en": "Lamp"}}\n'))
    [(_, product)] = entries(feed, mapping_by(columns, feed), DEFAULTS)
    assert isinstance(product, Product)
    assert (product.product_id, product.name, product.price, product.currency) == ("7", "Lamp", 5.0, "USD")


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("columns = [", "TOML"),
        ('[columns]\nproduct_id = "a"\nname = "b"\n', "no column for price"),
        (
            '[columns]\nproduct_id = "a"\nname = "b"\nprice = "c"\nprize = "d"\n',
            r"prize: is no field of a product",
        ),
        ('[columns]\nproduct_id = "a"\nname = "b"\nprice = "c"\n[constants]\nprice = 1\n', "both a column"),
        (
            '[columns]\nproduct_id = "a"\nname = "b"\nprice = "c"\n[seperators]\ntags = ","\n',
            "seperators: is not",
        ),
        (
            '[columns]\nproduct_id = "a"\nname = "b"\nprice = "c"\n[availability]\nx = "there"\n',
            "availability.x",
        ),
        ('[columns]\nproduct_id = "a"\nname = "b"\nprice = "c"\n[price]\ndecimal = ";"\n', "price.decimal"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, toml: str, told: str) -> None:
    with pytest.raises(UnreadableFile, match=told):
        read(write_file(tmp_path, "c.toml", toml))


def test_a_column_that_the_feed_lacks_is_named_before_any_row(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"no column 'Preis \(brutto\)'"):
        find(tmp_path, f"{HEAD.replace('Preis (brutto)', 'Preis')}\n{LAMP}\n", EXAMPLE)


def test_every_field_of_a_product_can_be_told() -> None:
    assert set(FieldName.__args__) == set(FIELDS)  # type: ignore[attr-defined]
