"""Dashboards of what lies behind: lag, the embedder, Kafka, Qdrant."""

from typing import Final

from infra.watching.panels import Dashboard, Panel, Query
from infra.watching.queries import MANY, WRONG, broker, broker_rate, percentile_of, spread_of, total_of

LAG: Final = Dashboard(
    name="lag",
    title="lag",
    question="Does anything wait, who does not read, and what cannot be read?",
    known_by="eddy_session_processor_unread_events",
    rows={
        "Services": [
            Panel(
                title="Services that answer",
                description="Instances whose /metrics answer, by job.",
                queries=[Query('sum by (job) (up{job=~"eddy-.+"})', "{{job}}")],
                unit="short",
                kind="stat",
                below="red",
                limits=((1, "green"),),
                runbook="service-down",
                width=16,
                height=4,
            ),
            Panel(
                title="Releases that run",
                description="Processes of each. Two are right during an update, and no longer.",
                queries=[Query("count by (version) (eddy_build_info{@})", "{{version}}")],
                unit="short",
                kind="stat",
                runbook="releases-mixed",
                width=8,
                height=4,
            ),
        ],
        "Events": [
            Panel(
                title="Events not read yet",
                description="Of the partitions of each session processor.",
                queries=[Query("eddy_session_processor_unread_events{@}", "{{instance}}")],
                unit="short",
                stacked=True,
                runbook="lag-growing",
            ),
            Panel(
                title="How old events are when they are folded",
                description="The lag in seconds: a session is late by as much.",
                queries=spread_of("eddy_session_processor_accepted_to_folded_seconds"),
                unit="s",
                limits=((5, "red"),),
                line=True,
                runbook="lag-growing",
            ),
            Panel(
                title="Accepted and read",
                description="Where the second line lies below the first, events pile up in Kafka.",
                queries=[
                    Query(total_of("eddy_ingest_events_accepted_total"), "accepted"),
                    Query(total_of("eddy_session_processor_events_total"), "read"),
                ],
                unit="cps",
                runbook="lag-growing",
            ),
            Panel(
                title="Partitions that stand still",
                description="Owned partitions with unread events that do not move.",
                queries=[Query("eddy_session_processor_stalled_partitions{@}", "{{instance}}")],
                unit="short",
                limits=WRONG,
                runbook="lag-growing",
            ),
            Panel(
                title="What became of events",
                description="news: changed a session; known: a duplicate; dead: no event at all.",
                queries=[Query(total_of("eddy_session_processor_events_total", "outcome"), "{{outcome}}")],
                unit="cps",
                stacked=True,
                runbook="poison-message",
            ),
            Panel(
                title="Products seen without a vector",
                description="They stand in events, and sessions wait for them: another shop's ids, or an "
                "embedder behind.",
                queries=[Query("eddy_session_processor_waiting_products{@}", "{{instance}}")],
                unit="short",
                runbook="rows-that-do-not-move-or-rows-of-what-is-popular-everywhere",
            ),
        ],
        "What cannot be read": [
            Panel(
                title="Messages left out",
                description="By topic: they cannot be read, and the service goes on without.",
                queries=[
                    Query(total_of(f"eddy_{service}_unreadable_total", "topic"), f"{service}: {{{{topic}}}}")
                    for service in ("recommender", "session_processor", "embedder")
                ],
                unit="cps",
                limits=WRONG,
                runbook="poison-message",
                width=12,
            ),
            Panel(
                title="Forgetting",
                description="Visitors that asked to be forgotten, and erasures carried out.",
                queries=[
                    Query(total_of("eddy_ingest_visitors_erased_total"), "asked"),
                    Query(total_of("eddy_session_processor_erased_total"), "done"),
                ],
                unit="cps",
                runbook="erasure-not-applied",
                width=12,
            ),
        ],
    },
)

EMBEDDER: Final = Dashboard(
    name="embedder",
    title="embedder",
    question="Do products get their vectors, how fast, and what is wrong with their pictures?",
    known_by="eddy_embedder_products_known",
    rows={
        "Products": [
            Panel(
                title="Products that wait",
                description="For a model, for their picture's host, or for the acknowledgement of what "
                "was made.",
                queries=[
                    Query("sum(eddy_embedder_products_waiting{@})", "for a model"),
                    Query("sum(eddy_embedder_pictures_to_retry{@})", "for a picture"),
                    Query("sum(eddy_embedder_messages_unfinished{@})", "for Kafka or Qdrant"),
                ],
                unit="short",
                runbook="products-wait",
            ),
            Panel(
                title="What became of messages",
                description="published: with all its vectors; unchanged: nothing to do; dead: to "
                "products.dlq.",
                queries=[Query(total_of("eddy_embedder_products_total", "outcome"), "{{outcome}}")],
                unit="cps",
                stacked=True,
            ),
            Panel(
                title="Products that have vectors",
                description="By embedder; each knows all of them.",
                queries=[Query("eddy_embedder_products_known{@}", "{{instance}}")],
                unit="short",
            ),
        ],
        "Models": [
            Panel(
                title="Time by stage (p95)",
                description="A picture over the network, its decoding; one batch of each model; one batch"
                " to Qdrant.",
                queries=[Query(percentile_of(0.95, "eddy_embedder_stage_seconds", "stage"), "{{stage}}")],
                unit="s",
            ),
            Panel(
                title="Segments made",
                description="What models made, a second, by segment of the vector.",
                queries=[Query(total_of("eddy_embedder_segments_total", "segment"), "{{segment}}")],
                unit="cps",
                stacked=True,
            ),
            Panel(
                title="Words of searches",
                description="Time to answer POST /v1/words; the recommender waits for it.",
                queries=spread_of("eddy_embedder_words_seconds"),
                unit="s",
                runbook="words-away",
            ),
        ],
        "Problems": [
            Panel(
                title="Dead letters",
                description="Messages to products.dlq, by stage.",
                queries=[Query(total_of("eddy_embedder_dead_letters_total", "stage"), "{{stage}}")],
                unit="cps",
                limits=MANY,
                runbook="dead-letters",
            ),
            Panel(
                title="Pictures tried again",
                description="Their host was away; had: the picture came, refused: it is still missing.",
                queries=[Query(total_of("eddy_embedder_pictures_retried_total", "outcome"), "{{outcome}}")],
                unit="cps",
            ),
            Panel(
                title="Qdrant repaired",
                description="Products that the server was found to have otherwise than product-vectors.",
                queries=[Query(total_of("eddy_embedder_qdrant_repaired_total", "what"), "{{what}}")],
                unit="cps",
                limits=MANY,
            ),
        ],
    },
)

KAFKA: Final = Dashboard(
    name="kafka",
    title="Kafka",
    question="Are all brokers there and in step, and is Kafka what makes clicks late?",
    known_by="kafka_controller_active_controller",
    has_tenants=False,
    rows={
        "Safe": [
            Panel(
                title=title,
                description=told,
                queries=[Query(f"{reduce}({broker(metric)})", "")],
                unit="short",
                kind="stat",
                below=below,
                limits=limits,
                runbook="broker-away",
                width=6,
                height=4,
            )
            for title, told, reduce, metric, below, limits in (
                (
                    "Active controllers",
                    "Exactly one.",
                    "sum",
                    "kafka_controller_active_controller",
                    "red",
                    ((1, "green"), (2, "red")),
                ),
                (
                    "Partitions without a leader",
                    "Nobody can write to them.",
                    "max",
                    "kafka_controller_offline_partitions",
                    "green",
                    WRONG,
                ),
                (
                    "Under-replicated partitions",
                    "A broker is away or behind; what is acknowledged has fewer copies.",
                    "sum",
                    "kafka_server_under_replicated_partitions",
                    "green",
                    MANY,
                ),
                (
                    "Below min.insync.replicas",
                    "Writes are refused: ingest answers 503.",
                    "sum",
                    "kafka_server_under_min_isr_partitions",
                    "green",
                    WRONG,
                ),
            )
        ],
        "Fast": [
            Panel(
                title="Time of requests (p99)",
                description="As the broker sees them; a consumer's fetch also waits for messages to come.",
                queries=[Query(broker("kafka_network_request_p99_milliseconds"), "{{request}} {{instance}}")],
                unit="ms",
                runbook="broker-slow",
            ),
            Panel(
                title="Handlers idle",
                description="Share of time that request handlers have nothing to do. Below 0.3 the broker"
                " is short of CPU or disk.",
                queries=[Query(broker("kafka_server_handlers_idle_share"), "{{instance}}")],
                unit="percentunit",
                below="red",
                limits=((0.3, "green"),),
                line=True,
                runbook="broker-slow",
            ),
            Panel(
                title="Heap of the broker",
                description="Used memory of Java's heap.",
                queries=[Query(broker("jvm_memory_used_bytes", 'area="heap",'), "{{instance}}")],
                unit="bytes",
            ),
        ],
        "How much": [
            Panel(
                title="Messages in",
                description="Messages written, a second.",
                queries=[Query(broker_rate("kafka_server_messages_in_total"), "{{instance}}")],
                unit="cps",
            ),
            Panel(
                title="Bytes in and out",
                description="Between clients and brokers.",
                queries=[
                    Query(broker_rate("kafka_server_bytes_in_total"), "in {{instance}}"),
                    Query(broker_rate("kafka_server_bytes_out_total"), "out {{instance}}"),
                ],
                unit="Bps",
            ),
            Panel(
                title="Size of topics",
                description="On disk, of all partitions and replicas.",
                queries=[Query(f"sum by (topic) ({broker('kafka_log_size_bytes')})", "{{topic}}")],
                unit="bytes",
                stacked=True,
                runbook="disk-full",
            ),
        ],
    },
)


def _failed(protocol: str) -> str:
    failed = broker(f"{protocol}_responses_fail_total")
    return f"sum by (endpoint, status) (rate({failed}[$__rate_interval]))"


# By the names of Qdrant 1.19's /metrics (qdrant.tech, Monitoring & Telemetry).
QDRANT: Final = Dashboard(
    name="qdrant",
    title="Qdrant",
    question="Does the vector index answer, how fast, and are all nodes in step? Only where "
    "EDDY_QDRANT_URL is set.",
    known_by="app_info",
    has_tenants=False,
    rows={
        "Answers": [
            Panel(
                title=f"Time of {name} requests (p99)",
                description="By endpoint, as the server sees it.",
                queries=[
                    Query(
                        f"histogram_quantile(0.99, sum by (le, endpoint) "
                        f"(rate({broker(f'{name.lower()}_responses_duration_seconds_bucket')}[$__rate_interval])))",
                        "{{endpoint}}",
                    )
                ],
                unit="s",
                runbook="index-away",
            )
            for name in ("gRPC", "REST")
        ]
        + [
            Panel(
                title="Failed requests",
                description="By endpoint and status.",
                queries=[
                    Query(_failed("grpc"), "gRPC {{endpoint}} {{status}}"),
                    Query(_failed("rest"), "REST {{endpoint}} {{status}}"),
                ],
                unit="cps",
                limits=MANY,
                runbook="index-away",
            ),
        ],
        "What it holds": [
            Panel(
                title="Points",
                description="By collection; of Eddy's as many as products that have vectors.",
                queries=[Query(f"sum by (id) ({broker('collection_points')})", "{{id}}")],
                unit="short",
                runbook="index-lost",
            ),
            Panel(
                title="Optimisations that run",
                description="The graph is being built; searches are slower meanwhile.",
                queries=[Query(broker("collection_running_optimizations"), "{{id}} {{instance}}")],
                unit="short",
            ),
            Panel(
                title="Memory",
                description="Resident memory of each node.",
                queries=[Query(broker("memory_resident_bytes"), "{{instance}}")],
                unit="bytes",
            ),
        ],
        "Cluster": [
            Panel(
                title="Peers",
                description="As each node sees it: all should say the same.",
                queries=[Query(broker("cluster_peers_total"), "{{instance}}")],
                unit="short",
            ),
            Panel(
                title="Operations of consensus that wait",
                description="More than a few for more than moments: a node is behind.",
                queries=[Query(broker("cluster_pending_operations_total"), "{{instance}}")],
                unit="short",
            ),
            Panel(
                title="Dead replicas",
                description="Of all shards of all collections: more than none on a node for long is a fault.",
                queries=[Query(broker("collection_dead_replicas"), "{{instance}}")],
                unit="short",
                limits=WRONG,
                runbook="index-away",
            ),
        ],
    },
)
