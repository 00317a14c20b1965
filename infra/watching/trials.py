"""For each alarm what it is for, as series of numbers: `promtool test rules` tries them on the real engine.

All trials begin with a system that is well; what a trial changes is all that is wrong in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

HOURS: Final = 150  # minutes: longer than the short windows of tickets
FIRING: Final = 'count by (alertname) (ALERTS{alertstate="firing"})'

# In promtool's notation, a value a minute: `A+BxN` is A, then N times B more; `AxN` stays. N: its length.
_PUSHED: Final = "eddy_recommender_accepted_to_pushed_seconds"
_FOLDED: Final = "eddy_session_processor_accepted_to_folded_seconds_bucket"
_ACKNOWLEDGED: Final = "eddy_ingest_acknowledged_seconds_bucket"
MANY: Final = "0+6000xN"  # 100 a second
NONE: Final = "0xN"
ONCE: Final = "0x5 1xN"  # one, in the sixth minute
MINUTELY: Final = "0+1xN"

_NEW_INGEST: Final = 'eddy_build_info{version="2",tenant="shop-a",instance="ingest:8001"}'
_NEW_WORKER: Final = 'eddy_build_info{version="2",tenant="shop-a",instance="processor:8003"}'
_OLD_WORKER: Final = 'eddy_build_info{version="1",tenant="shop-a",instance="other:8003"}'
_OTHER_TENANT: Final = 'eddy_build_info{version="1",tenant="shop-b",instance="ingest:9001"}'

WELL: Final[Mapping[str, str | None]] = {
    'up{job="eddy-ingest",instance="ingest:8001"}': "1xN",
    'eddy_ingest_problems_total{status="503"}': NONE,
    'eddy_recommender_problems_total{status="503",instance="recommender:8002"}': NONE,
    _NEW_INGEST: "1xN",
    _NEW_WORKER: "1xN",
    _OTHER_TENANT: "1xN",
    _OLD_WORKER: None,
    f'{_ACKNOWLEDGED}{{le="0.01"}}': MANY,
    f'{_ACKNOWLEDGED}{{le="0.5"}}': MANY,
    f'{_ACKNOWLEDGED}{{le="1"}}': MANY,
    f'{_ACKNOWLEDGED}{{le="+Inf"}}': MANY,
    f'{_FOLDED}{{le="0.02"}}': MANY,
    f'{_FOLDED}{{le="5"}}': MANY,
    f'{_FOLDED}{{le="10"}}': MANY,
    f'{_FOLDED}{{le="+Inf"}}': MANY,
    f'{_PUSHED}_bucket{{le="0.1"}}': "0+5990xN",  # one in 600 is late
    f'{_PUSHED}_bucket{{le="1"}}': MANY,
    f'{_PUSHED}_bucket{{le="2.5"}}': MANY,
    f'{_PUSHED}_bucket{{le="+Inf"}}': MANY,
    f"{_PUSHED}_count": MANY,
    "eddy_ingest_events_accepted_total": MANY,
    "eddy_ingest_events_turned_away_total": NONE,
    'eddy_ingest_events_rejected_total{kind="validate"}': "0+10xN",
    'eddy_ingest_events_rejected_total{kind="broker"}': NONE,
    'eddy_ingest_refused_total{limit="address"}': MINUTELY,
    "eddy_ingest_visitors_erased_total": MINUTELY,
    'eddy_session_processor_events_total{outcome="news"}': MANY,
    'eddy_session_processor_events_total{outcome="dead"}': NONE,
    'eddy_session_processor_stalled_partitions{instance="processor:8003"}': NONE,
    'eddy_session_processor_unreadable_total{topic="erasures"}': NONE,
    "eddy_session_processor_erased_total": MINUTELY,
    'eddy_session_processor_evicted_total{rank="buyer"}': NONE,
    'eddy_session_processor_evicted_total{rank="once"}': MINUTELY,
    "eddy_recommender_compute_seconds_count": "0+600xN",
    'eddy_recommender_fallbacks_total{reason="new_visitor"}': "0+400xN",
    'eddy_recommender_fallbacks_total{reason="no_vectors"}': MINUTELY,
    "eddy_recommender_slow_readers_total": MINUTELY,
    'eddy_recommender_refused_total{limit="token"}': MINUTELY,
    'eddy_recommender_unreadable_total{topic="sessions"}': NONE,
    "eddy_recommender_index_away_total": NONE,
    'eddy_recommender_indexed{instance="recommender:8002"}': "100xN",
    'eddy_recommender_index_count_difference{instance="recommender:8002"}': "0x20 -3x5 0xN",
    "eddy_recommender_words_away_total": NONE,
    "eddy_recommender_impressions_lost_total": NONE,
    "eddy_recommender_model_refused_total": NONE,
    "eddy_recommender_model_store_away_total": NONE,
    'eddy_recommender_model_served{model="behaviour",version="1"}': "1xN",
    'eddy_recommender_sessions_evicted_total{rank="buyer"}': NONE,
    'eddy_recommender_sessions_evicted_total{rank="once"}': MINUTELY,
    "eddy_embedder_products_known": "100xN",
    "eddy_embedder_products_waiting": NONE,
    'eddy_embedder_dead_letters_total{stage="decode"}': NONE,
    'node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"}': "50e9xN",
    'node_timex_offset_seconds{instance="host:9100"}': "0.002xN",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What is not well (None: the series is missing), and which alarms ring at a minute: no others."""

    name: str
    minute: int
    firing: tuple[str, ...]
    series: Mapping[str, str | None] = field(default_factory=dict)

    def model(self) -> dict[str, Any]:
        """As promtool reads it."""
        unknown = self.series.keys() - WELL.keys()
        if unknown:
            raise ValueError(f"{self.name}: no such series: {unknown}")
        values = {name: values for name, values in {**WELL, **self.series}.items() if values is not None}
        return {
            "name": self.name,
            "interval": "1m",
            "input_series": [
                {"series": name, "values": each.replace("N", str(self.minute + 1))}
                for name, each in values.items()
            ],
            "promql_expr_test": [
                {
                    "expr": FIRING,
                    "eval_time": f"{self.minute}m",
                    "exp_samples": [
                        {"labels": f'{{alertname="{each}"}}', "value": 1} for each in self.firing
                    ],
                }
            ],
        }


def _late(share: float) -> dict[str, str | None]:
    return {f'{_PUSHED}_bucket{{le="0.1"}}': f"0+{round(6000 * (1 - share))}xN"}


_FAST, _SLOWLY = "EddyClickBudgetBurnsFast", "EddyClickBudgetBurnsSlowly"
_TURNED_AWAY: Final = "eddy_ingest_events_turned_away_total"

TRIALS: Final = (
    *(Trial(f"all is well after {minutes} minutes", minutes, ()) for minutes in (5, 60, HOURS)),
    Trial(
        "a service is away", 3, ("EddyServiceDown",), {'up{job="eddy-ingest",instance="ingest:8001"}': NONE}
    ),
    Trial(
        "one 503 of ingest",
        8,
        ("EddyIngestRefusesForKafka",),
        {'eddy_ingest_problems_total{status="503"}': ONCE},
    ),
    Trial(
        "503 for minutes",
        12,
        ("EddyRecommenderNotReady",),
        {'eddy_recommender_problems_total{status="503",instance="recommender:8002"}': MINUTELY},
    ),
    Trial(
        "Kafka takes between 0.5 and 1 s",
        15,
        ("EddyKafkaSlow",),
        {f'{_ACKNOWLEDGED}{{le="0.01"}}': NONE, f'{_ACKNOWLEDGED}{{le="0.5"}}': NONE},
    ),
    Trial("an old worker was forgotten", 70, ("EddyReleasesMixed",), {_OLD_WORKER: "1xN"}),
    Trial("a roll that takes half an hour", 30, (), {_OLD_WORKER: "1xN"}),
    Trial(
        "events are older than 5 s",
        10,
        ("EddyEventsWait",),
        {f'{_FOLDED}{{le="0.02"}}': NONE, f'{_FOLDED}{{le="5"}}': NONE},
    ),
    Trial(
        "nobody reads",
        10,
        ("EddyEventsNotRead",),
        {'eddy_session_processor_events_total{outcome="news"}': NONE},
    ),
    Trial(
        "two partitions stand still",
        4,
        ("EddyPartitionStandsStill",),
        {'eddy_session_processor_stalled_partitions{instance="processor:8003"}': "2xN"},
    ),
    Trial(
        "every push takes more than 1 s",
        12,
        (_FAST, _SLOWLY, "EddyPushesLate"),
        {f'{_PUSHED}_bucket{{le="0.1"}}': NONE, f'{_PUSHED}_bucket{{le="1"}}': NONE},
    ),
    Trial(
        "products wait and do not become fewer",
        50,
        ("EddyProductsWait",),
        {"eddy_embedder_products_waiting": "50xN"},
    ),
    Trial("products become fewer", 50, (), {"eddy_embedder_products_waiting": "500-5xN"}),
    Trial(
        "two slow readers a second",
        20,
        ("EddySlowReaders",),
        {"eddy_recommender_slow_readers_total": "0+120xN"},
    ),
    Trial(
        "a flood", 20, ("EddyRequestsRefused",), {'eddy_ingest_refused_total{limit="address"}': "0+1200xN"}
    ),
    Trial(
        "two of a hundred are no events",
        25,
        ("EddyEventsDie",),
        {'eddy_ingest_events_rejected_total{kind="validate"}': "0+120xN"},
    ),
    Trial(
        "one poison",
        8,
        ("EddyPoisonOnEvents",),
        {'eddy_session_processor_events_total{outcome="dead"}': ONCE},
    ),
    Trial(
        "one unreadable",
        8,
        ("EddyMessagesLeftOut",),
        {'eddy_recommender_unreadable_total{topic="sessions"}': ONCE},
    ),
    Trial(
        "one product dies",
        8,
        ("EddyProductsDie",),
        {'eddy_embedder_dead_letters_total{stage="decode"}': ONCE},
    ),
    Trial("the index is away", 5, ("EddyIndexAway",), {"eddy_recommender_index_away_total": MINUTELY}),
    Trial(
        "ten products are lost",
        12,
        ("EddyIndexLost",),
        {'eddy_recommender_indexed{instance="recommender:8002"}': "90xN"},
    ),
    Trial(
        "a filter misses three products",
        25,
        ("EddyIndexCountsDiffer",),
        {'eddy_recommender_index_count_difference{instance="recommender:8002"}': "-3xN"},
    ),
    Trial("words are away", 12, ("EddyWordsAway",), {"eddy_recommender_words_away_total": MINUTELY}),
    Trial(
        "two of three rows fall back",
        35,
        ("EddyRowsFallBack",),
        {'eddy_recommender_fallbacks_total{reason="no_vectors"}': "0+400xN"},
    ),
    Trial(
        "records are lost", 5, ("EddyImpressionsLost",), {"eddy_recommender_impressions_lost_total": MINUTELY}
    ),
    Trial("one model is refused", 8, ("EddyModelRefused",), {"eddy_recommender_model_refused_total": ONCE}),
    Trial(
        "the store is away",
        12,
        ("EddyModelStoreAway",),
        {"eddy_recommender_model_store_away_total": MINUTELY},
    ),
    Trial(
        "no model",
        20,
        ("EddyNoModel",),
        {'eddy_recommender_model_served{model="behaviour",version="1"}': None},
    ),
    Trial("nobody erases", 40, ("EddyErasureNotApplied",), {"eddy_session_processor_erased_total": NONE}),
    Trial(
        "one buyer goes",
        8,
        ("EddyBuyersEvicted",),
        {'eddy_recommender_sessions_evicted_total{rank="buyer"}': ONCE},
    ),
    Trial(
        "fifty visitors a second go",
        35,
        ("EddyVisitorsEvicted",),
        {'eddy_session_processor_evicted_total{rank="once"}': "0+3000xN"},
    ),
    Trial(
        "1 GB is left",
        8,
        ("EddyDiskFull",),
        {'node_filesystem_avail_bytes{fstype="ext4",mountpoint="/"}': "1e9xN"},
    ),
    Trial(
        "three seconds behind",
        8,
        ("EddyClockApart",),
        {'node_timex_offset_seconds{instance="host:9100"}': "-3xN"},
    ),
    Trial("every fifth click is late", 15, (_FAST, _SLOWLY), _late(0.2)),
    Trial("4 % of clicks are late for hours", HOURS, (_SLOWLY,), _late(0.04)),
    Trial("0.9 % of clicks are late for hours", HOURS, (), _late(0.009)),
    Trial(
        "what was late is over: nobody is woken for it",
        75,
        (_SLOWLY,),
        {f'{_PUSHED}_bucket{{le="0.1"}}': "0+4200x30 132000+6000xN"},
    ),
    Trial(
        "half of a few clicks are late",
        60,
        (),
        {
            f"{_PUSHED}_count": MINUTELY,
            f'{_PUSHED}_bucket{{le="0.1"}}': "0+0.5xN",
            f'{_PUSHED}_bucket{{le="1"}}': MINUTELY,
            f'{_PUSHED}_bucket{{le="2.5"}}': MINUTELY,
            f'{_PUSHED}_bucket{{le="+Inf"}}': MINUTELY,
        },
    ),
    Trial(
        "one event of 20 is turned away",
        15,
        ("EddyEventBudgetBurnsFast", "EddyEventBudgetBurnsSlowly"),
        {_TURNED_AWAY: "0+316xN"},
    ),
    Trial(
        "Kafka refuses 4 of 1000 for hours",
        HOURS,
        ("EddyEventBudgetBurnsSlowly",),
        {'eddy_ingest_events_rejected_total{kind="broker"}': "0+24xN"},
    ),
)


def trials() -> dict[str, Any]:
    """What the file holds."""
    return {
        "rule_files": ["../alerts.yml", "../slo.yml"],
        "evaluation_interval": "1m",
        "tests": [each.model() for each in TRIALS],
    }
