"""Rows and clicks into them as dashboards count them."""

import pytest

from services.recommender.metrics import Metrics
from services.recommender.shown_rows import CLICK_WITHIN_MS, OTHER, SHOWN_WITHIN_MS, SLOTS_MAX, ShownRows


class Shop:
    """Rows whose time is the test's."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.metrics = Metrics()
        self.rows = ShownRows(self.metrics, lambda: self.now)

    def show(self, row: str, *products: str, slot: str = "home", fallback: str | None = None) -> None:
        self.rows.show(row, slot, "m1", fallback, products)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"eddy_recommender_{name}", labels)

    def count_clicked(self, slot: str = "home") -> float | None:
        return self.value("rows_clicked_total", slot=slot, model="m1")


@pytest.fixture
def shop() -> Shop:
    return Shop()


def test_a_row_counts_by_its_slot_its_model_and_its_fallback(shop: Shop) -> None:
    shop.show("r1")
    shop.show("r2", fallback="no_vectors")
    shop.rows.show("r3", "home", None, None, ())
    assert shop.value("rows_total", slot="home", model="m1", fallback="none") == 1
    assert shop.value("rows_total", slot="home", model="m1", fallback="no_vectors") == 1
    assert shop.value("rows_total", slot="home", model="none", fallback="none") == 1


def test_a_click_counts_once_a_row_however_often_it_is_told(shop: Shop) -> None:
    shop.show("r1")
    assert shop.count_clicked() == 0  # so that Prometheus sees it grow
    for row in ("r1", "r1", "of another recommender"):
        shop.rows.click(row)
    assert shop.count_clicked() == 1


def test_a_click_after_the_visit_is_none_of_the_row(shop: Shop) -> None:
    shop.show("r1")
    shop.now += CLICK_WITHIN_MS + 1
    shop.rows.click("r1")
    assert shop.count_clicked() == 0


def test_products_are_those_of_one_hour_each_once(shop: Shop) -> None:
    shop.show("r1", "p1", "p2")
    shop.now += SHOWN_WITHIN_MS
    shop.show("r2", "p2", "p3")
    assert shop.value("products_shown") == 3
    shop.now += 1
    shop.show("r3", "p3")
    assert shop.value("products_shown") == 2  # p1 is an hour and more ago


def test_names_of_slots_that_pages_invent_share_one_series(shop: Shop) -> None:
    for number in range(SLOTS_MAX + 5):
        shop.show(f"r{number}", slot=f"s{number}")
    shop.rows.click(f"r{SLOTS_MAX}")
    assert shop.value("rows_total", slot=OTHER, model="m1", fallback="none") == 5
    assert shop.count_clicked(OTHER) == 1


def test_memory_of_rows_is_bounded(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.recommender.shown_rows.REMEMBERED_MAX", 2)
    for row in ("r1", "r2", "r3"):
        shop.show(row)
    for row in ("r1", "r2", "r3"):
        shop.rows.click(row)
    assert shop.count_clicked() == 2
