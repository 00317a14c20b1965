"""Columns of WooCommerce's product export, which are in the language of the shop's back office. Pure."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from services.ops.catalogue.rows import Row
from services.ops.catalogue.shop_feeds import rename_columns

# German, French, Spanish, Italian; several where versions differ.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "type": ("Typ", "Tipo"),
    "sku": ("Artikelnummer", "UGS", "COD"),
    "name": ("Nom", "Nombre", "Nome"),
    "published": ("Veröffentlicht", "Publié", "Publicado", "Pubblicato"),
    "visibility_in_catalog": (
        "Sichtbarkeit im Katalog", "Visibilité dans le catalogue", "Visibilidad en el catálogo",
        "Visibilità nel catalogo",
    ),
    "short_description": (
        "Kurzbeschreibung", "Description courte", "Descripción corta", "Breve descrizione",
        "Descrizione breve",
    ),
    "description": ("Beschreibung", "Descripción", "Descrizione"),
    "date_sale_price_starts": (
        "Datum, an dem Angebotspreis beginnt", "Date de début de promo",
        "Día en que empieza el precio rebajado", "Data di partenza del prezzo in saldo",
    ),
    "date_sale_price_ends": (
        "Datum, an dem Angebotspreis endet", "Date de fin de promo",
        "Día en que termina el precio rebajado", "Termine data del prezzo di vendita",
    ),
    "in_stock?": ("Vorrätig?", "En stock ?", "En stock?", "¿Existencias?", "¿En inventario?", "In stock?"),
    "stock": ("Lager", "Lagerbestand", "Inventario", "Magazzino"),
    "backorders_allowed?": (
        "Lieferrückstände erlaubt?", "Autoriser les commandes de produits en rupture ?",
        "¿Permitir reservas de productos agotados?", "Abilita gli ordini arretrati?",
    ),
    "sale_price": ("Angebotspreis", "Tarif promo", "Precio rebajado", "Prezzo in offerta"),
    "regular_price": ("Regulärer Preis", "Tarif régulier", "Precio normal", "Prezzo di listino"),
    "categories": ("Kategorien", "Catégories", "Categorías", "Categorie"),
    "tags": ("Schlagwörter", "Étiquettes", "Etiquetas", "Etichette", "Tag"),
    "images": ("Bilder", "Imágenes", "Immagine", "Immagini"),
    "parent": ("Übergeordnetes Produkt", "Superior", "Genitore"),
    "grouped_products": (
        "Gruppierte Produkte", "Groupes de produits", "Productos agrupados", "Prodotti raggruppati",
    ),
    "external_url": ("Externe URL", "URL externe", "URL externa", "URL esterna"),
    "brands": ("Marken", "Marques", "Marcas", "Brand"),
}  # fmt: skip
UNCATEGORISED: Final = frozenset(
    {"Uncategorized", "Unkategorisiert", "Non classé", "Sin categorizar", "Sin categoría", "Senza categoria"}
)

_ENGLISH: Final = {
    own: name
    for name, translations in NAMES.items()
    for own in rename_columns(dict.fromkeys(translations, ""))
}
_ATTRIBUTE: Final = re.compile(r"at+ribut\w*_(\d+)|(\d+)$")
_KINDS: Final = (("value(s)", ("wert", "valeur", "valor", "valuta", "value")), ("name", ("nom", "name")))


def english_columns(row: Row) -> Row:
    """The row under the export's English names: "Regulärer Preis" is regular_price."""
    found: Row = {}
    for name, value in rename_columns(row).items():
        english = _english(name)
        if found.get(english) is None:
            found[english] = value
    return found


@lru_cache(1024)  # an export has some fifty, in every row
def _english(name: str) -> str:
    if name in _ENGLISH:
        return _ENGLISH[name]
    if "attribut" in name or "atribut" in name:
        number = _ATTRIBUTE.search(name)
        kind = next((kind for kind, words in _KINDS if any(word in name for word in words)), None)
        if number is not None and kind is not None:
            return f"attribute_{number[1] or number[2]}_{kind}"
    return name
