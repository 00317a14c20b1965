"""Exports of WooCommerce, Magento and Shopify as tables, as they are written by these shops."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from schemas.products import PriceChange, Product
from services.ops.catalogue.file_formats import Feed
from services.ops.catalogue.mappings import BadRow, OmittedRow, detect, entries
from tests.support.feeds import DEFAULTS, write_file

NOW = int(datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp() * 1000)
AT = replace(DEFAULTS, updated_at=NOW)

Cells = dict[str, object]


def table(folder: Path, columns: Sequence[str], *rows: Cells) -> Path:
    """A CSV file with these columns; cells that are not given are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_file(folder, "export.csv", text.getvalue())


def read(path: Path, kind: str) -> tuple[dict[str, Product], list[str], list[str]]:
    """Products by id, why rows were left out or refused, and what was told."""
    feed = Feed(path)
    mapping = detect(feed)
    assert mapping.name == kind
    told: list[str] = []
    found = [each for _, each in entries(feed, mapping, AT, lambda *odd: told.append(f"{odd[0]}: {odd[1]}"))]
    others = [f"{each.number}: {each.reason}" for each in found if isinstance(each, OmittedRow | BadRow)]
    return {each.product_id: each for each in found if isinstance(each, Product)}, others, told


WOOCOMMERCE = [
    "ID", "Type", "SKU", "GTIN, UPC, EAN, or ISBN", "Name", "Published", "Is featured?",
    "Visibility in catalog", "Short description", "Description", "Date sale price starts",
    "Date sale price ends", "Tax status", "Tax class", "In stock?", "Stock", "Low stock amount",
    "Backorders allowed?", "Sold individually?", "Weight (kg)", "Length (cm)", "Width (cm)", "Height (cm)",
    "Allow customer reviews?", "Purchase note", "Sale price", "Regular price", "Categories", "Tags",
    "Shipping class", "Images", "Download limit", "Download expiry days", "Parent", "Grouped products",
    "Upsells", "Cross-sells", "External URL", "Button text", "Position", "Brands", "Attribute 1 name",
    "Attribute 1 value(s)", "Attribute 1 visible", "Attribute 1 global",
]  # fmt: skip


def woo(number: int, **more: object) -> Cells:
    row: Cells = {"ID": number, "Type": "simple", "Name": f"Thing {number}", "Published": 1, "In stock?": 1}
    return row | {"Visibility in catalog": "visible", "Regular price": "10.00"} | more


def test_woocommerces_products_have_their_sale_and_deepest_category_and_no_hidden_one_is_there(
    tmp_path: Path,
) -> None:
    path = table(
        tmp_path,
        WOOCOMMERCE,
        woo(11, **{
            "Sale price": "8.00", "Categories": r"Sale, Clothing > Caps\, hats > Wool", "Tags": r"a, b\, c",
            "Images": "https://s.example/1.jpg, https://s.example/2.jpg", "Brands": "Acme &amp; Co",
            "Description": r"<p>Warm</p>\nSoft", "Attribute 1 name": "Color",
            "Attribute 1 value(s)": "Red, Blue", "Date sale price ends": "2026-11-30",
        }),
        woo(12, Published=0),
        woo(13, Published=-1),
        woo(14, Published=2),
        woo(15, **{"Visibility in catalog": "hidden"}),
        woo(16, **{"Type": "simple, downloadable, virtual", "Visibility in catalog": "search"}),
        woo(17, **{"In stock?": 0, "Stock": 5}),
        woo(18, **{"In stock?": "backorder"}),
        woo(19, **{"In stock?": "", "Stock": 0, "Backorders allowed?": "notify"}),
        woo(20, **{"In stock?": "", "Stock": 3}),
        woo(21, **{"Regular price": ""}),
    )  # fmt: skip
    found, others, _ = read(path, "woocommerce")
    assert others == [
        "2: private", "3: a draft", "4: pending review", "5: hidden from the catalogue",
        "11: regular_price: is missing",
    ]  # fmt: skip
    cap = found["11"]
    assert (cap.price, cap.availability, cap.brand) == (8.0, "in_stock", "Acme & Co")
    assert cap.category == ("Clothing", "Caps, hats", "Wool")
    assert cap.tags == ("a", "b, c", "Sale", "red", "blue", "sale")
    assert (cap.description, cap.image_url) == ("Warm\nSoft", "https://s.example/1.jpg")
    ends = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)
    assert cap.price_changes == (PriceChange(at=ends, price=10.0),)
    states = {each: found[each].availability for each in ("16", "17", "18", "19", "20")}
    assert states == {
        "16": "in_stock", "17": "out_of_stock", "18": "preorder", "19": "preorder", "20": "in_stock",
    }  # fmt: skip


def test_woocommerces_variations_make_one_product_wherever_their_rows_lie(tmp_path: Path) -> None:
    parent: Cells = {"Type": "variable", "Regular price": "", "In stock?": ""}
    variation: Cells = {"Type": "variation", "Visibility in catalog": ""}
    path = table(
        tmp_path,
        WOOCOMMERCE,
        woo(1, SKU="SHIRT", Name="Shirt", Categories="Clothing", **parent),
        woo(
            2,
            SKU="SHIRT-S",
            Name="Shirt - S",
            Parent="SHIRT",
            **variation | {"In stock?": 0, "Regular price": 5},
        ),
        woo(3, Name="Trousers", **parent),
        woo(4, Name="Other"),
        woo(
            5,
            Name="Shirt - M",
            Parent="SHIRT",
            **variation | {"Regular price": "20.00", "Sale price": "15.00"},
        ),
        woo(6, Name="Trousers - M", Parent="id:3", **variation | {"Regular price": "30.00"}),
        woo(7, Name="Trousers - L", Parent="id:3", **variation | {"Regular price": "soon"}),
        woo(8, Name="Lonely - S", Parent="GONE", **variation),
        woo(9, Type="grouped", Name="Set", **{"Regular price": "", "Grouped products": "id:4, id:10"}),
        woo(10, Name="Part", **{"Regular price": "3.00"}),
    )
    found, others, told = read(path, "woocommerce")
    assert set(found) == {"1", "3", "4", "9", "10"}
    shirt = found["1"]
    assert (shirt.name, shirt.price, shirt.availability, shirt.tags) == ("Shirt", 15.0, "in_stock", ("sale",))
    assert (found["3"].price, found["9"].price) == (30.0, 3.0)
    assert "8: a variation whose product is not in the file" in others
    assert any("a variant is left out: regular_price: is no price" in each for each in told)


def test_a_variation_without_the_column_parent_belongs_to_the_product_it_is_named_as(tmp_path: Path) -> None:
    columns = [each for each in WOOCOMMERCE if each != "Parent"]
    path = table(
        tmp_path,
        columns,
        woo(13, Type="variable", SKU="SK3", Name="Shirt", **{"In stock?": 0, "Regular price": ""}),
        woo(
            14, Type="variation", SKU="SK3-S", Name="Shirt - S", **{"In stock?": 0, "Regular price": "20.00"}
        ),
    )
    found, others, _ = read(path, "woocommerce")
    assert (found["13"].price, found["13"].availability) == (20.0, "out_of_stock")
    assert others == ["2: a variant, merged into the product of its group"]


MAGENTO = [
    "sku", "store_view_code", "attribute_set_code", "product_type", "categories", "product_websites", "name",
    "description", "short_description", "weight", "product_online", "tax_class_name", "visibility", "price",
    "special_price", "special_price_from_date", "special_price_to_date", "url_key", "base_image",
    "created_at", "updated_at", "additional_attributes", "qty", "out_of_stock_qty", "allow_backorders",
    "is_in_stock", "manage_stock", "use_config_manage_stock", "configurable_variations", "associated_skus",
]  # fmt: skip


def magento(sku: str, **more: object) -> Cells:
    row: Cells = {
        "sku": sku,
        "attribute_set_code": "Default",
        "product_type": "simple",
        "name": f"Thing {sku}",
    }
    row |= {"product_online": "1", "visibility": "Catalog, Search", "price": "10.0000", "qty": "5.0000"}
    return row | {"is_in_stock": "1.0000", "manage_stock": "1", "use_config_manage_stock": "1"} | more


def test_magentos_products_have_special_prices_categories_and_stock(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        MAGENTO,
        magento("bag", **{
            "categories": "Default Category/Gear,Default Category/Gear/Bags,Default Category/New",
            "special_price": "8.000000",
            "special_price_from_date": "11/1/26", "special_price_to_date": "11/30/26",
            "additional_attributes": "color=Black|Red,material=Nylon,manufacturer=Acme,size=M",
            "url_key": "bag", "base_image": "/b/a/bag.jpg", "updated_at": "11/20/26, 4:32 PM",
        }),
        magento("bag", store_view_code="de", name="Tasche", price=""),
        magento("off", product_online="2"),
        magento("part", visibility="Not Visible Individually"),
        magento("none", is_in_stock="0"),
        magento("later", qty="0.0000", allow_backorders="1"),
        magento("endless", is_in_stock="0", manage_stock="0", use_config_manage_stock="0"),
    )  # fmt: skip
    found, others, _ = read(path, "magento")
    assert others == [
        "2: texts of a store view", "3: disabled",
        "4: not visible individually, and part of no product in the file",
    ]  # fmt: skip
    bag = found["bag"]
    assert (bag.name, bag.price, bag.category, bag.brand) == ("Thing bag", 8.0, ("Gear", "Bags"), "Acme")
    assert bag.tags == ("New", "black", "red", "nylon", "sale")
    assert (bag.url, bag.image_url) == ("/bag.html", "/media/catalog/product/b/a/bag.jpg")
    assert bag.updated_at == int(datetime(2026, 11, 20, 16, 32, tzinfo=UTC).timestamp() * 1000)
    assert [each.price for each in bag.price_changes] == [10.0]
    states = {each: found[each].availability for each in ("none", "later", "endless")}
    assert states == {"none": "out_of_stock", "later": "preorder", "endless": "in_stock"}


def test_magentos_configurable_products_are_made_of_their_parts(tmp_path: Path) -> None:
    hidden = {"visibility": "Not Visible Individually"}
    path = table(
        tmp_path,
        MAGENTO,
        magento("shirt-s", price="5", is_in_stock="0", additional_attributes="color=Red", **hidden),
        magento("shirt-m", price="20", additional_attributes="color=Blue", **hidden),
        magento("shirt-l", price="30"),
        magento("shirt", product_type="configurable", price="", qty="0", configurable_variations=(
            "sku=shirt-s,size=S|sku=shirt-m,size=M|sku=shirt-l,size=L"
        )),
        magento("gone", product_type="configurable", is_in_stock="0", price="", configurable_variations=(
            "sku=shirt-m,size=M"
        )),
        magento("shirt", store_view_code="de", name="Hemd", product_type="configurable"),
    )  # fmt: skip
    found, others, _ = read(path, "magento")
    assert set(found) == {"shirt", "gone", "shirt-l"}
    assert (found["shirt"].name, found["shirt"].price) == ("Thing shirt", 20.0)
    assert found["shirt"].availability == "in_stock"
    assert found["gone"].availability == "out_of_stock"
    assert len(others) + len(found) == 6


SHOPIFY = [
    "Handle", "Title", "Body (HTML)", "Vendor", "Product Category", "Type", "Tags", "Published",
    "Option1 Name",
    "Option1 Value", "Option2 Name", "Option2 Value", "Variant SKU", "Variant Grams",
    "Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy",
    "Variant Fulfillment Service", "Variant Price", "Variant Compare At Price", "Variant Requires Shipping",
    "Variant Taxable", "Variant Barcode", "Image Src", "Image Position", "Image Alt Text", "Gift Card",
    "SEO Title", "SEO Description", "Variant Image", "Cost per item", "Price / International", "Status",
]  # fmt: skip
SHOPIFY_NEW = {
    "Handle": "URL handle", "Body (HTML)": "Description", "Product Category": "Product category",
    "Published": "Published on online store", "Variant SKU": "SKU", "Option1 Name": "Option1 name",
    "Option1 Value": "Option1 value", "Variant Inventory Tracker": "Inventory tracker",
    "Variant Inventory Qty": "Inventory quantity",
    "Variant Inventory Policy": "Continue selling when out of stock", "Variant Price": "Price",
    "Variant Compare At Price": "Compare-at price", "Image Src": "Product image URL",
}  # fmt: skip


@pytest.mark.parametrize("names", [{}, SHOPIFY_NEW], ids=["until 2025", "since 2025"])
def test_shopifys_table_is_the_same_products_as_its_json(tmp_path: Path, names: dict[str, str]) -> None:
    goes_on, ends = ("TRUE", "FALSE") if names else ("continue", "deny")
    tee: Cells = {
        "Handle": "tee", "Title": "Tee", "Body (HTML)": "<p>Soft, &amp; warm</p>\n<p>Wool</p>",
        "Vendor": "A &amp; B", "Product Category": "Apparel > Clothing", "Type": "Shirts",
        "Tags": "red, cotton",
        "Published": "TRUE", "Option1 Name": "Color", "Option1 Value": "Red", "Status": "active",
        "Variant Inventory Tracker": "shopify", "Variant Inventory Qty": "0",
        "Variant Inventory Policy": ends,
        "Variant Price": "5.00", "Image Src": "https://s.example/1.jpg",
    }  # fmt: skip
    variant: Cells = {
        "Handle": "tee", "Option1 Value": "Blue", "Variant Inventory Tracker": "shopify",
        "Variant Inventory Qty": "3", "Variant Price": "15.00", "Variant Compare At Price": "25.00",
    }  # fmt: skip
    rows: list[Cells] = [
        tee,
        variant,
        {"Handle": "tee", "Image Src": "https://s.example/2.jpg"},
        {"Handle": "cap", "Title": "Cap", "Variant Price": "7", "Status": "draft", "Published": "TRUE"},
        {"Handle": "sock", "Title": "Sock", "Variant Price": "7", "Status": "active", "Published": "FALSE"},
        {"Handle": "old", "Title": "Old", "Variant Price": "7", "Status": "archived", "Published": "TRUE"},
        {"Handle": "vip", "Title": "Vip", "Variant Price": "7", "Status": "unlisted", "Published": "TRUE"},
        {
            "Handle": "later", "Title": "Later", "Product Category": "Home > Lamps", "Variant Price": "7",
            "Variant Inventory Tracker": "shopify", "Variant Inventory Qty": "-2",
            "Variant Inventory Policy": goes_on, "Status": "active", "Published": "TRUE",
        },
    ]  # fmt: skip
    columns = [names.get(each, each) for each in SHOPIFY]
    path = table(
        tmp_path, columns, *({names.get(name, name): cell for name, cell in row.items()} for row in rows)
    )
    found, others, _ = read(path, "shopify_csv")
    assert set(found) == {"tee", "old", "later"}
    tee_found = found["tee"]
    assert (tee_found.price, tee_found.availability, tee_found.brand) == (15.0, "in_stock", "A & B")
    assert tee_found.description == "Soft, & warm\nWool"
    assert tee_found.tags == ("red", "cotton", "blue", "sale")
    assert (tee_found.category, tee_found.url) == (("Shirts",), "/products/tee")
    assert tee_found.image_url == "https://s.example/1.jpg"
    assert (found["later"].availability, found["later"].category) == ("preorder", ("Home", "Lamps"))
    assert found["old"].availability == "out_of_stock"
    assert {each.partition(": ")[2] for each in others} == {
        "a variant, merged into the product of its group", "a draft", "published nowhere",
        "not active, but unlisted",
    }  # fmt: skip


# The header of an export, as a shop's back office in that language writes it.
LOCAL = {
    "German": (
        'ID,Typ,Artikelnummer,Name,Veröffentlicht,"Ist hervorgehoben?","Sichtbarkeit im Katalog",'
        'Kurzbeschreibung,Beschreibung,"Datum, an dem Angebotspreis beginnt",'
        '"Datum, an dem Angebotspreis endet",Steuerstatus,Steuerklasse,Vorrätig?,Lager,'
        '"Geringe Lagermenge","Lieferrückstände erlaubt?",Angebotspreis,"Regulärer Preis",Kategorien,'
        'Schlagwörter,Bilder,"Übergeordnetes Produkt","Attribut 1 Name","Attribut 1 Wert(e)"'
    ),
    "French": (
        'ID,Type,UGS,Nom,Publié,"Mis en avant ?","Visibilité dans le catalogue","Description courte",'
        'Description,"Date de début de promo","Date de fin de promo","État de la TVA","Classe de TVA",'
        '"En stock ?",Stock,"Montant de stock faible","Autoriser les commandes de produits en rupture ?",'
        '"Tarif promo","Tarif régulier",Catégories,Étiquettes,Images,Parent,"Nom de l’attribut 1",'
        '"Valeur(s) de l’attribut 1"'
    ),
    "Spanish": (
        'ID,Tipo,SKU,Nombre,Publicado,"¿Está destacado?","Visibilidad en el catálogo","Descripción corta",'
        'Descripción,"Día en que empieza el precio rebajado","Día en que termina el precio rebajado",'
        '"Estado del impuesto","Clase de impuesto",¿Existencias?,Inventario,"Cantidad de bajo inventario",'
        '"¿Permitir reservas de productos agotados?","Precio rebajado","Precio normal",Categorías,Etiquetas,'
        'Imágenes,Superior,"Nombre del atributo 1","Valor(es) del atributo 1"'
    ),
    "Italian": (
        'ID,Tipo,COD,Nome,Pubblicato,"In primo piano?","Visibilità nel catalogo","Breve descrizione",'
        'Descrizione,"Data di partenza del prezzo in saldo","Termine data del prezzo di vendita",'
        '"Stato delle imposte","Aliquota di imposta","In stock?",Magazzino,"Soglia",'
        '"Abilita gli ordini arretrati?","Prezzo in offerta","Prezzo di listino",Categorie,Etichette,'
        'Immagine,Genitore,"Attributo 1 nome","Attributo 1 valuta(e)"'
    ),
}


@pytest.mark.parametrize("language", LOCAL)
def test_woocommerces_columns_may_be_in_the_language_of_the_back_office(
    tmp_path: Path, language: str
) -> None:
    rows = (
        '1,simple,A,Lamp,1,0,visible,Short,Long,2026-11-01,2026-11-30,,,1,3,,0,"8,50","10,00",Home > Lamps,'
        "warm,https://s.example/1.jpg,,Color,Red\n"
        '2,variable,B,Shirt,1,0,visible,,,,,,,1,,,0,,,"Clothing",,,,,\n'
        '3,variation,B-S,Shirt - S,1,0,,,,,,,,0,,,0,,"5,00",,,,B,,\n'
        '4,variation,B-M,Shirt - M,1,0,,,,,,,,1,,,0,,"20,00",,,,B,,\n'
        '5,simple,C,Draft,-1,0,visible,,,,,,,1,,,0,,"5,00",,,,,,\n'
        '6,simple,D,Sofa,1,0,visible,,,,,,,1,,,0,,"1.299",,,,,,\n'
    )
    path = write_file(tmp_path, "export.csv", f"{LOCAL[language]}\n{rows}")
    found, others, told = read(path, "woocommerce")
    assert set(found) == {"1", "2", "6"}
    assert (found["6"].price, told) == (1299.0, [])  # as the other prices of the file say
    lamp = found["1"]
    assert (lamp.name, lamp.price, lamp.description) == ("Lamp", 8.5, "Long")
    assert (lamp.category, lamp.tags) == (("Home", "Lamps"), ("warm", "red", "sale"))
    assert lamp.image_url == "https://s.example/1.jpg"
    assert [each.price for each in lamp.price_changes] == [10.0]
    assert (found["2"].price, found["2"].availability) == (20.0, "in_stock")
    assert "5: a draft" in others
