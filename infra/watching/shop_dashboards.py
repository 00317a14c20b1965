"""Dashboards of what shoppers see: the way of a click, rows, sockets and requests."""

from collections.abc import Sequence
from typing import Final

from infra.watching.objectives import OBJECTIVES, STAGES
from infra.watching.panels import Dashboard, Panel, Query
from infra.watching.queries import WRONG, spread_of, total_of

MONTH: Final = "30d"


def _stages() -> Sequence[Panel]:
    return [
        Panel(
            title=f"{name} (p99 ≤ {budget * 1000:.0f} ms)",
            description=told,
            queries=spread_of(metric),
            unit="s",
            limits=((budget, "red"),),
            line=True,
            runbook=runbook,
        )
        for (name, (metric, budget, told)), runbook in zip(
            STAGES.items(),
            ("broker-slow", "lag-growing", "broker-slow", "pushes-late", "clicks-late"),
            strict=True,
        )
    ]


def _promises() -> Sequence[Panel]:
    found: list[Panel] = []
    for each in OBJECTIVES:
        left = f"1 - avg_over_time({each.series}_1h{{#}}[{MONTH}]) / {each.budget:g}"
        found += [
            Panel(
                title=f"{each.told}: budget left",
                description="Of the month's allowed share, what is left: the hours of 30 days, each as "
                "much as another. "
                "Below 0 the promise is broken.",
                queries=[Query(left, "{{tenant}}")],
                unit="percentunit",
                kind="stat",
                below="red",
                limits=((0, "orange"), (0.25, "green")),
                runbook=each.runbook,
                width=6,
                height=5,
            ),
            Panel(
                title=f"{each.told}: how fast it is spent",
                description="1 is as fast as 30 days allow. Above 14.4 over an hour and five minutes "
                "somebody is woken.",
                queries=[
                    Query(f"{each.series}_{window}{{#}} / {each.budget:g}", f"{window} {{{{tenant}}}}")
                    for window in ("5m", "1h", "6h")
                ],
                unit="short",
                limits=((1, "orange"), (14.4, "red")),
                line=True,
                runbook=each.runbook,
                width=6,
                height=5,
            ),
        ]
    return found


CLICK: Final = Dashboard(
    name="click",
    title="the way of a click",
    question="Is a click on the page in 100 ms, and if not, which stage takes the time?",
    known_by="eddy_recommender_accepted_to_pushed_seconds_count",
    rows={
        "Promises": _promises(),
        "Stages, each with its budget": _stages(),
        "How much": [
            Panel(
                title="Events accepted",
                description="Events that Kafka has acknowledged, a second.",
                queries=[Query(total_of("eddy_ingest_events_accepted_total"), "accepted")],
                unit="cps",
            ),
            Panel(
                title="Events not accepted",
                description="turned away: answered 503, the sender sends them again. Else refused for "
                "good, by kind.",
                queries=[
                    Query(total_of("eddy_ingest_events_turned_away_total"), "turned away"),
                    Query(total_of("eddy_ingest_events_rejected_total", "kind"), "{{kind}}"),
                ],
                unit="cps",
                runbook="events-turned-away",
            ),
            Panel(
                title="Pushes, and pushes saved",
                description="Rows pushed; those that a newer state made needless; those taken over from "
                "another page.",
                queries=[
                    Query(total_of("eddy_recommender_pushes_total"), "pushed"),
                    Query(total_of("eddy_recommender_coalesced_total"), "replaced by newer"),
                    Query(total_of("eddy_recommender_shared_rows_total"), "taken over"),
                ],
                unit="cps",
            ),
        ],
    },
)

_ROWS: Final = "eddy_recommender_rows_total"
_AS_ASKED: Final = 'fallback="none",'
_CLICKED: Final = "eddy_recommender_rows_clicked_total"

ROWS: Final = Dashboard(
    name="rows",
    title="rows",
    question="Are rows fresh, and are they any good: clicked, varied, what was asked for?",
    known_by=_ROWS,
    rows={
        "Quality": [
            Panel(
                title=f"Click rate by {label}",
                description="Rows that somebody clicked into within 30 minutes, of those shown. Over an "
                "hour: of few "
                "rows a rate says little. A click counts when it comes, so a slot that was just opened "
                "begins at 0.",
                queries=[
                    Query(
                        f"sum by ({label}) (increase({_CLICKED}{{@}}[1h]))"
                        f" / sum by ({label}) (increase({_ROWS}{{@}}[1h]))",
                        f"{{{{{label}}}}}",
                    )
                ],
                unit="percentunit",
            )
            for label in ("slot", "model")
        ]
        + [
            Panel(
                title="Coverage",
                description="Share of the catalogue's products that stood in a row within an hour, by "
                "recommender. "
                "One that falls shows the same few to everybody.",
                queries=[
                    Query(
                        "eddy_recommender_products_shown{@} / (eddy_recommender_products{@} > 0)",
                        "{{instance}}",
                    )
                ],
                unit="percentunit",
            ),
            Panel(
                title="Fallbacks by slot",
                description="Share of rows that are not what was asked for, such as what is popular "
                "instead of one's own.",
                queries=[
                    Query(
                        f"1 - {total_of(_ROWS, 'slot', _AS_ASKED)} / {total_of(_ROWS, 'slot')}",
                        "{{slot}}",
                    )
                ],
                unit="percentunit",
                limits=((0.5, "red"),),
                line=True,
                runbook="rows-fall-back",
            ),
            Panel(
                title="Fallbacks by reason",
                description="new_visitor is as it should be: nothing is known yet. The others have a cause.",
                queries=[Query(total_of("eddy_recommender_fallbacks_total", "reason"), "{{reason}}")],
                unit="cps",
                stacked=True,
                runbook="rows-fall-back",
            ),
            Panel(
                title="Rows by slot and model",
                description="Rows shown and recorded, a second. model: the version that served, or none.",
                queries=[Query(total_of(_ROWS, "slot, model"), "{{slot}} {{model}}")],
                unit="cps",
                stacked=True,
            ),
        ],
        "Freshness": [
            Panel(
                title="From the event to the new row",
                description="What is on a page is so old at most when it moves.",
                queries=spread_of("eddy_recommender_accepted_to_pushed_seconds"),
                unit="s",
                limits=((1, "red"),),
                line=True,
                runbook="pushes-late",
                width=6,
            ),
            Panel(
                title="Products not yet searchable",
                description="Products that have vectors and are not known to a recommender, and those "
                "that wait for a model.",
                queries=[
                    Query(
                        "scalar(max(eddy_embedder_products_known)) - eddy_recommender_indexed{@}",
                        "not at {{instance}}",
                    ),
                    Query("sum(eddy_embedder_products_waiting)", "wait for a model"),
                ],
                unit="short",
                runbook="index-lost",
                width=6,
            ),
            Panel(
                title="Products that filters miss",
                description="By how many products in stock a filter on the Qdrant server differs from the "
                "topics, either way. 0 is right, also where there is no server.",
                queries=[Query("abs(eddy_recommender_index_count_difference{@})", "{{instance}}")],
                unit="short",
                runbook="index-counts-differ",
                width=6,
            ),
            Panel(
                title="Visits learned from since the model",
                description="The served model grows with visits of now; 0 where EDDY_LIVE_LEARNING_S is 0.",
                queries=[Query("eddy_recommender_live_visits{@}", "{{instance}}")],
                unit="short",
                width=6,
            ),
        ],
        "Models and records": [
            Panel(
                title="Model served",
                description="1 for the version that serves, by recommender: all should serve the same.",
                queries=[Query("eddy_recommender_model_served{@}", "{{model}} {{version}} {{instance}}")],
                unit="short",
                runbook="no-model",
            ),
            Panel(
                title="Models refused, store away",
                description="Releases that are broken, and attempts that the store did not answer.",
                queries=[
                    Query(total_of("eddy_recommender_model_refused_total"), "refused"),
                    Query(total_of("eddy_recommender_model_store_away_total"), "store away"),
                ],
                unit="cps",
                limits=WRONG,
                runbook="model-refused",
            ),
            Panel(
                title="Records of rows",
                description="Rows recorded for trainings and experiments, and those whose record was lost.",
                queries=[
                    Query(total_of("eddy_recommender_impressions_total"), "recorded"),
                    Query(total_of("eddy_recommender_impressions_lost_total"), "lost"),
                ],
                unit="cps",
                runbook="impressions-lost",
            ),
        ],
    },
)

SOCKETS: Final = Dashboard(
    name="sockets",
    title="sockets and requests",
    question="How many pages are open, who is refused, and what memory do visitors take?",
    known_by="eddy_recommender_sockets",
    rows={
        "Open pages": [
            Panel(
                title="Sockets",
                description="Open live sockets by recommender. EDDY_CONNECTIONS_MAX is the limit of each.",
                queries=[Query("eddy_recommender_sockets{@}", "{{instance}}")],
                unit="short",
                stacked=True,
            ),
            Panel(
                title="Pushes",
                description="Rows pushed a second, by recommender.",
                queries=[Query(total_of("eddy_recommender_pushes_total", "instance"), "{{instance}}")],
                unit="cps",
                stacked=True,
            ),
            Panel(
                title="Slow readers",
                description="Sockets aborted because their client took no data.",
                queries=[Query(total_of("eddy_recommender_slow_readers_total"), "aborted")],
                unit="cps",
                limits=((1, "red"),),
                line=True,
                runbook="slow-readers",
            ),
        ],
        "Requests": [
            Panel(
                title=f"Refused by a limit: {service}",
                description="By limit; the runbook says who is behind each.",
                queries=[Query(total_of(f"eddy_{service}_refused_total", "limit"), "{{limit}}")],
                unit="cps",
                limits=((10, "red"),),
                line=True,
                runbook="requests-refused",
                width=12,
            )
            for service in ("ingest", "recommender")
        ]
        + [
            Panel(
                title=f"Answered with an error: {service}",
                description="By status. 503 is a service that waits for something, 500 an error of ours.",
                queries=[Query(total_of(f"eddy_{service}_problems_total", "status"), "{{status}}")],
                unit="cps",
                runbook=runbook,
                width=12,
            )
            for service, runbook in (("ingest", "broker-away"), ("recommender", "recommender-not-ready"))
        ],
        "Visitors": [
            Panel(
                title="Sessions held",
                description="Visitors whose session a recommender holds.",
                queries=[Query("eddy_recommender_sessions{@}", "{{instance}}")],
                unit="short",
            ),
            Panel(
                title="Memory of sessions",
                description="Of the recommender (EDDY_SESSIONS_MB) and of the session processor "
                "(EDDY_SESSION_TABLE_MB).",
                queries=[
                    Query("eddy_recommender_sessions_bytes{@}", "recommender {{instance}}"),
                    Query("eddy_session_processor_table_bytes{@}", "session processor {{instance}}"),
                ],
                unit="bytes",
                runbook="visitors-evicted",
            ),
            Panel(
                title="Visitors evicted",
                description="Forgotten because memory is bounded; many of rank once are invented, buyers "
                "should stay.",
                queries=[
                    Query(
                        total_of("eddy_recommender_sessions_evicted_total", "rank"), "recommender: {{rank}}"
                    ),
                    Query(
                        total_of("eddy_session_processor_evicted_total", "rank"),
                        "session processor: {{rank}}",
                    ),
                ],
                unit="cps",
                runbook="visitors-evicted",
            ),
        ],
    },
)
