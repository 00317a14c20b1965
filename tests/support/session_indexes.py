"""Drawn visits, and the index of them."""

import numpy as np
from hypothesis import strategies as st

from services.model.session_index import SessionIndex, build_index

PRODUCTS = 6


histories = st.lists(st.lists(st.integers(0, PRODUCTS - 1), min_size=1, max_size=8), min_size=1, max_size=12)


def index_of(sessions: list[list[int]], newest: int = 100) -> SessionIndex:
    items = np.array([item for session in sessions for item in session], dtype=np.int32)
    starts = np.cumsum([0, *map(len, sessions)], dtype=np.int64)
    return build_index(items, starts, PRODUCTS, newest)
