"""What others report on the same splits and by the same protocol, and what Eddy is to reach."""

from typing import Final

import msgspec

Pair = tuple[float, float]  # HR@20 and MRR@20, in percent

PUBLISHED: Final = "published"
MEASURED: Final = "measured by us"  # on the same files, before Eddy had a model


class Peer(msgspec.Struct, frozen=True):
    """One recommender's figures; None where it has none for a dataset."""

    name: str
    source: str
    retailrocket: Pair | None
    diginetica: Pair | None


# COTREC's paper (CIKM 2021) and GCE-GNN's (SIGIR 2020) have the tables; GraphFine is AAAI 2026.
PEERS: Final = (
    Peer("GRU4Rec", PUBLISHED, (44.01, 23.67), (29.45, 8.33)),
    Peer("SR-GNN", PUBLISHED, (50.32, 26.57), (50.73, 17.59)),
    Peer("GCE-GNN", PUBLISHED, (53.63, 28.01), (54.22, 19.04)),
    Peer("COTREC", PUBLISHED, (56.17, 29.97), None),
    Peer("GraphFine", PUBLISHED, (58.85, 31.17), None),
    Peer("item2vec, gensim's defaults", MEASURED, (28.90, 19.02), (26.24, 12.24)),
    Peer("item2vec, tuned", MEASURED, (53.26, 25.68), (40.03, 12.95)),
    Peer("VMIS-kNN", MEASURED, (55.42, 27.50), (51.77, 18.37)),
    Peer("V-STAN variant", MEASURED, (57.79, 28.36), (52.63, 18.72)),
    Peer("best plain fusion", MEASURED, (58.42, 28.74), (52.98, 18.82)),
)
AIMS: Final[dict[str, Pair]] = {"retailrocket": (61.0, 31.5), "diginetica": (55.5, 20.0)}
SERENADE: Final[Pair] = (64.02, 32.77)  # bol.com's Serenade on its example; target: each session's last item
INDEX_AIM_PER_S: Final = 5_000
