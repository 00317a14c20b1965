"""What a dashboard is made of, and the JSON that Grafana reads of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, Literal

Json = dict[str, Any]
Kind = Literal["timeseries", "stat"]

COLUMNS: Final = 24
SCHEMA_VERSION: Final = 39  # of Grafana 10.4; newer ones bring it up to their own
SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
# Stands in expressions for what the variables choose. A series without the label has the empty one.
CHOSEN: Final = "@"
CHOICE: Final = 'tenant=~"$tenant",instance=~"$instance"'
TENANT: Final = "#"  # for recorded series, which are sums over instances
TENANT_CHOICE: Final = 'tenant=~"$tenant"'


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of PromQL and how its series are called: `{{slot}}` is a label's value."""

    expression: str
    legend: str

    @property
    def text(self) -> str:
        """The expression as Grafana sends it, but for its variables."""
        chosen = self.expression.replace(CHOSEN, CHOICE)
        return chosen.replace(f"{{{TENANT}}}", f"{{{TENANT_CHOICE}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One question and its answer. `limits`: from which value on it has which colour, below green.

    `line`: the limits are drawn as lines. `runbook`: the section that tells what to do.
    """

    title: str
    description: str
    queries: Sequence[Query]
    unit: str
    kind: Kind = "timeseries"
    limits: Sequence[tuple[float, str]] = ()
    below: str = "green"
    line: bool = False
    stacked: bool = False
    runbook: str | None = None
    width: int = 8
    height: int = 8

    def model(self, number: int, place: tuple[int, int]) -> Json:
        """Grafana's model of it at (x, y)."""
        steps: list[Json] = [{"color": self.below, "value": None}]
        steps += [{"color": colour, "value": value} for value, colour in self.limits]
        is_stat = self.kind == "stat"
        custom: Json = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 10,
            "showPoints": "never",
            "spanNulls": False,
            "thresholdsStyle": {"mode": "line" if self.line else "off"},
            "stacking": {"group": "A", "mode": "normal" if self.stacked else "none"},
        }
        defaults: Json = {
            "unit": self.unit,
            "min": 0,
            "color": {"mode": "thresholds" if is_stat else "palette-classic"},
            "thresholds": {"mode": "absolute", "steps": steps},
        }
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": place[0], "y": place[1], "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults | ({} if is_stat else {"custom": custom}), "overrides": []},
            "options": _STAT if is_stat else _TIMESERIES,
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "datasource": SOURCE,
                    "expr": query.text,
                    "legendFormat": query.legend,
                    "editorMode": "code",
                    "range": not is_stat,
                    "instant": is_stat,
                }
                for place, query in enumerate(self.queries)
            ],
            "links": [_link_runbook(self.runbook)] if self.runbook else [],
        }


_TIMESERIES: Final[Json] = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_STAT: Final[Json] = {
    "colorMode": "value",
    "graphMode": "none",
    "justifyMode": "auto",
    "orientation": "auto",
    "percentChangeColorMode": "standard",
    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    "showPercentChange": False,
    "textMode": "value_and_name",
    "wideLayout": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """A page of Grafana: headings, and the panels below each. `question`: what it answers, for the docs."""

    name: str
    title: str
    question: str
    rows: Mapping[str, Sequence[Panel]]
    known_by: str  # whose series tell which tenants and instances there are
    has_tenants: bool = True

    @property
    def panels(self) -> Iterator[Panel]:
        """All of them, in their order."""
        return (panel for panels in self.rows.values() for panel in panels)

    def model(self) -> Json:
        """Grafana's model of it."""
        return {
            "uid": f"eddy-{self.name}",
            "title": f"Eddy: {self.title}",
            "description": self.question,
            "tags": ["eddy"],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "links": [_LINK_OTHERS],
            "annotations": {"list": []},
            "templating": {"list": list(self._variables())},
            "panels": list(self._place()),
        }

    def _place(self) -> Iterator[Json]:
        numbers, y = count(1), 0
        for heading, panels in self.rows.items():
            yield _heading(heading, next(numbers), y)
            y += 1
            x = height = 0
            for panel in panels:
                if x + panel.width > COLUMNS:
                    x, y, height = 0, y + height, 0
                yield panel.model(next(numbers), (x, y))
                x, height = x + panel.width, max(height, panel.height)
            y += height

    def _variables(self) -> Iterable[Json]:
        yield {
            "name": "source",
            "type": "datasource",
            "label": "Prometheus",
            "query": "prometheus",
            "refresh": 1,
            "includeAll": False,
            "multi": False,
        }
        tenant = (("tenant", "Tenant"),) if self.has_tenants else ()
        for name, told in (*tenant, ("instance", "Instance")):
            yield {
                "name": name,
                "type": "query",
                "label": told,
                "datasource": SOURCE,
                "query": {"query": f"label_values({self.known_by}, {name})", "refId": name},
                "refresh": 2,
                "sort": 1,
                "includeAll": True,
                # Also what has no such label, as of one tenant alone.
                "allValue": ".*",
                "multi": True,
                "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            }
        yield {
            "name": "docs",
            "type": "textbox",
            "label": "Where Eddy's docs are",
            "query": "infra/docs",
            "current": {"selected": True, "text": "infra/docs", "value": "infra/docs"},
            "hide": 2,
        }


_LINK_OTHERS: Final[Json] = {
    "title": "Eddy",
    "type": "dashboards",
    "tags": ["eddy"],
    "asDropdown": True,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "",
    "url": "",
}


def _link_runbook(anchor: str) -> Json:
    return {
        "title": "What to do",
        "type": "link",
        "url": f"${{docs}}/runbook.md#{anchor}",
        "targetBlank": True,
        "asDropdown": False,
        "includeVars": False,
        "keepTime": False,
        "tags": [],
        "icon": "doc",
        "tooltip": "",
    }


def _heading(title: str, number: int, y: int) -> Json:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        "panels": [],
    }
