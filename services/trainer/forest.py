"""LightGBM's model as the flat arrays that serve."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from services.model.session_index import read_only
from services.model.trees import Trees


def flattened(dumped: Mapping[str, Any]) -> Trees:
    """From `Booster.dump_model()`. Raises ValueError for a split that the arrays cannot express."""
    nodes: list[tuple[int, float, int, int]] = []
    roots = [_added(tree["tree_structure"], nodes) for tree in dumped["tree_info"]]
    columns = list(zip(*nodes, strict=True)) if nodes else [(), (), (), ()]
    kinds = (np.int32, np.float32, np.int32, np.int32)
    arrays = [np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)]
    return Trees(*map(read_only, (np.array(roots, dtype=np.int32), *arrays)))


def _added(node: Mapping[str, Any], nodes: list[tuple[int, float, int, int]]) -> int:
    place = len(nodes)
    if "leaf_value" in node:
        nodes.append((-1, float(node["leaf_value"]), 0, 0))
        return place
    if node["decision_type"] != "<=":
        raise ValueError(f"a split by {node['decision_type']}, expected numbers compared by <=")
    nodes.append((0, 0.0, 0, 0))  # its place comes before those of its children
    left, right = _added(node["left_child"], nodes), _added(node["right_child"], nodes)
    nodes[place] = (int(node["split_feature"]), _at_most(node["threshold"]), left, right)
    return place


def _at_most(threshold: float) -> float:
    """The greatest float32 that is not above: features are float32, and go the same way."""
    rounded = np.float32(threshold)
    return float(np.nextafter(rounded, np.float32(-np.inf)) if rounded > threshold else rounded)
