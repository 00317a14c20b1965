"""A shop's own columns, told by a TOML file: the example works, and mistakes are named."""

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.products import Product
from services.ops.catalogue.columns import EXAMPLE, FIELDS, FieldName, read
from services.ops.catalogue.file_formats import Feed, UnreadableFile
from services.ops.catalogue.mappings import BadRow, Found, OmittedRow, entries, mapping_by
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


WOOCOMMERCE = """
[columns]
product_id = "ID"
name = "Name"
price = "Regular price"
sale_price = "Sale price"
sale_ends = "Date sale price ends"
published = "Published"
availability = "In stock?"
category = "Categories"
tags = "Tags"
group = "Parent"
[separators]
categories = ","
tags = ","
[published]
"2" = true
"""


def test_sale_publication_stock_and_several_categories_can_be_told(tmp_path: Path) -> None:
    head = (
        "ID,Name,Published,In stock?,Sale price,Date sale price ends,Regular price,Categories,Tags,Parent\n"
    )
    rows = (
        '11,Cap,1,1,8.00,2099-01-01,10.00,"Clothing > Caps, Sale","a, b",\n'
        "12,Hidden,0,1,,,10.00,Clothing,,\n13,Old,-1,1,,,10.00,Clothing,,\n14,Pending,2,0,n/a,,10.00,,,\n"
        "15,Shirt,1,0,,,5.00,,,g\n16,Shirt,1,1,,,20.00,,,g\n"
    )
    columns = read(write_file(tmp_path, "c.toml", WOOCOMMERCE))
    feed = Feed(write_file(tmp_path, "p.csv", head + rows))
    merged = replace(DEFAULTS, variants="merged")
    found = [each for _, each in entries(feed, mapping_by(columns, feed), merged)]
    cap, pending, shirt = (each for each in found if isinstance(each, Product))
    assert (cap.price, cap.category, cap.tags) == (8.0, ("Clothing", "Caps"), ("a", "b", "Sale", "sale"))
    assert [each.price for each in cap.price_changes] == [10.0]
    assert (pending.name, pending.price, pending.availability) == ("Pending", 10.0, "out_of_stock")
    assert (shirt.product_id, shirt.price, shirt.availability) == ("g", 20.0, "in_stock")
    assert [each.reason for each in found if isinstance(each, OmittedRow)] == [
        "not published: 0", "not published: -1", "a variant, merged into the product of its group",
    ]  # fmt: skip
