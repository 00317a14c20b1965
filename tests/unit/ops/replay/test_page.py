"""The page stands alone, shows the report's figures, and takes nothing that it is told for markup."""

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from services.ops.replay.evaluation import front
from services.ops.replay.figures import SHADOW, SHOWN, Difference, ReplayReport
from services.ops.replay.plots import plots
from services.ops.replay.recommendations import Row
from services.ops.replay.render import front_rows, html, pair_rows, quality_rows, write_page
from services.ops.replay.report import report
from tests.support.replay import ASKED, CATALOGUE, FED, SESSIONS, WORSE, K, case, shop, with_target_at

EVIL = "<img src=x onerror=alert(1)>&\"'"


@pytest.fixture(scope="module")
def replay_report() -> ReplayReport:
    cases, rows = shop(1, 60, WORSE)
    return report(ASKED, FED, SESSIONS, cases, rows, CATALOGUE, ["17 targets are gone"], 1_731_000_000_000)


@pytest.fixture(scope="module")
def page(replay_report: ReplayReport) -> str:
    return html(replay_report)


class Page(HTMLParser):
    """Elements, their attributes, and the texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    read = Page(page)
    assert not {"script", "img", "link", "iframe", "object", "image"} & set(read.tags)
    for name, value in read.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href", "srcset"}:
            assert (value or "").startswith("#")
    assert not re.search(r"@import|url\((?!#)", page)


def test_every_figure_is_on_the_page(page: str, replay_report: ReplayReport) -> None:
    texts = set(Page(page).texts)
    cells = [cell for _, cells in (*quality_rows(replay_report), *pair_rows(replay_report)) for cell in cells]
    assert len(cells) > 50
    assert set(cells) <= texts
    assert set(replay_report.notes) <= texts
    head, _, rest = replay_report.verdict.partition(": ")
    assert {head, rest} <= texts


def test_six_plots_in_the_pages_own_colours(page: str) -> None:
    assert page.count("<svg") == 6
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", page))
    assert used <= set(re.findall(r"(--[a-z0-9-]+):", page))
    assert {"--series-1", "--series-2", "--series-3"} <= used
    assert not set(re.findall(r"#[0-9a-f]{6}", "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))))


def test_marks_stand_where_the_figures_are(replay_report: ReplayReport) -> None:
    rates, _, differences, *_, by_length, overlaps = plots(replay_report)
    for plot, found in (
        (rates, [each.hit_rate for each in replay_report.qualities]),
        (differences, [each.hit_rate_difference for each in replay_report.compared]),
    ):
        start, end = (float(tick.text.replace("−", "-").rstrip("%")) for tick in plot.across[:2])
        unit = (plot.across[1].at - plot.across[0].at) / (end - start)
        for mark, figure in zip(plot.intervals, found, strict=True):
            for place, value in (
                (mark.low, figure.low),
                (mark.value, figure.value),
                (mark.high, figure.high),
            ):
                assert place is not None
                assert value is not None
                assert place == pytest.approx(plot.across[0].at + (100 * value - start) * unit, abs=0.2)
    for curve, quality in zip(by_length.curves, replay_report.qualities, strict=True):
        assert len(curve.dots) == len(quality.hits_by_rank)
        assert [y for _, y in curve.dots] == sorted((y for _, y in curve.dots), reverse=True)
    heights = [bar.height for bar in overlaps.bars]
    counts = replay_report.compared[0].overlaps
    assert [height / max(heights) for height in heights] == pytest.approx(
        [count / max(counts) for count in counts], abs=0.01
    )


def test_the_front_of_objectives_is_drawn_and_told(replay_report: ReplayReport) -> None:
    cases = [case(number) for number in range(40)]
    clicks, bought = cases[:30], cases[20:]
    mixtures = {
        "click": {each: with_target_at(1 if each in clicks else 0) for each in cases},
        "buy:0.5,click:0.5": {each: with_target_at(number % 2) for number, each in enumerate(cases)},
        "buy": {each: with_target_at(1 if each in bought else 0) for each in cases[1:]},
    }
    found = front(mixtures, clicks, bought, K, 0.95)
    assert [each.click_cases for each in found] == [29] * 3  # the same cases for each
    assert [each.clicks.value for each in found] == [1, 15 / 29, 10 / 29]
    assert [each.buys.value for each in found] == [0.5, 0.5, 1]
    whole = msgspec.structs.replace(replay_report, front=found)
    texts = set(Page(html(whole)).texts)
    assert {cell for _, cells in front_rows(whole) for cell in cells} <= texts
    [curve] = plots(whole)[-1].curves
    assert len(curve.dots) == 3
    assert curve.dots[0][0] > curve.dots[-1][0]  # clicks across
    assert curve.dots[0][1] > curve.dots[-1][1]  # purchases upright, and up is less
    assert front({}, clicks, bought, K, 0.95) == ()


def test_the_same_report_makes_the_same_page(page: str, replay_report: ReplayReport) -> None:
    assert html(replay_report) == page


def test_what_others_have_named_is_text_and_nothing_else(replay_report: ReplayReport) -> None:
    asked = msgspec.structs.replace(
        replay_report.asked, visitor_id=EVIL, models=(EVIL,), settings={EVIL: EVIL}
    )
    sessions = msgspec.structs.replace(SESSIONS, differences=(Difference(EVIL, EVIL),))
    qualities = tuple(
        msgspec.structs.replace(each, name=EVIL, models=(EVIL,)) for each in replay_report.qualities
    )
    pairs = tuple(msgspec.structs.replace(each, name=EVIL) for each in replay_report.compared)
    text = html(
        msgspec.structs.replace(
            replay_report, asked=asked, sessions=sessions, qualities=qualities, compared=pairs,
            notes=(EVIL,), verdict=f"{EVIL}: {EVIL}",
        )
    )  # fmt: skip
    read = Page(text)
    assert "<img" not in text
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert sum(EVIL in each for each in read.texts) >= 8


def test_dollars_in_a_name_are_no_formula(replay_report: ReplayReport) -> None:
    qualities = tuple(msgspec.structs.replace(each, name="$x^$ & _") for each in replay_report.qualities)
    assert "$x^$ &amp; _" in html(msgspec.structs.replace(replay_report, qualities=qualities))


def test_without_rows_there_are_sessions_and_no_plots() -> None:
    text = html(report(ASKED, FED, SESSIONS, [], {}, CATALOGUE, [], 1))
    assert "<svg" not in text
    assert "298 equal" in text


def test_figures_that_cannot_be_told_are_no_trouble() -> None:
    rows = {SHADOW: {case(0): Row(())}, SHOWN: {}}
    text = html(report(ASKED, FED, None, [case(0), case(1)], rows, 0, [], 1))
    assert text.count("<svg") == 3


def test_the_page_is_written_whole_or_not_at_all(
    replay_report: ReplayReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new folder" / "report.html"
    write_page(replay_report, target)
    before = target.read_text()
    assert before.endswith("</html>")
    assert [each.name for each in target.parent.iterdir()] == ["report.html"]

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_page(msgspec.structs.replace(replay_report, notes=("another",)), target)
    assert target.read_text() == before
    assert [each.name for each in target.parent.iterdir()] == ["report.html"]
