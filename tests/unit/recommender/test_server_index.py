"""What is asked of a Qdrant server: only fields with an index, and the same by gRPC as by REST."""

from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc
from qdrant_client import models as q
from qdrant_client.conversions.conversion import GrpcToRest

from schemas.points import INDEXED_FIELDS
from services.recommender.index.port import Where
from services.recommender.index.qdrant_server import SearchTuning, _filter, _grpc_filter

VALUES = frozenset({"a", "b"})
EVERYTHING = Where(
    availability=frozenset({"in_stock", "preorder"}),
    price_min=1.0,
    price_max=2.0,
    category=VALUES,
    brand=VALUES,
    type=VALUES,
    tag=VALUES,
    market=VALUES,
    without_category=VALUES,
    without_brand=VALUES,
    without_type=VALUES,
    without_tag=VALUES,
    exclude=VALUES,
)


def keys(condition: q.Filter | None) -> set[str]:
    """Fields that a filter looks at; a condition on ids needs no index."""
    assert condition is not None
    must, must_not = condition.must, condition.must_not
    assert isinstance(must, list)
    assert isinstance(must_not, list)
    found = [*must, *must_not]
    assert all(isinstance(each, q.FieldCondition | q.HasIdCondition) for each in found)
    return {each.key for each in found if isinstance(each, q.FieldCondition)}


def test_every_field_that_a_filter_looks_at_has_an_index() -> None:
    """In strict mode a server refuses others; without it they are read point by point."""
    default = Where()
    for field in fields(Where):
        assert getattr(EVERYTHING, field.name) != getattr(default, field.name), f"say {field.name} above"
    assert keys(_filter(EVERYTHING)) == set(INDEXED_FIELDS)


words = st.frozensets(st.sampled_from(["a", "b/c", "é"]), max_size=2)


@given(st.builds(Where, brand=words, tag=words, without_category=words, price_min=st.none() | st.just(3.5)))
def test_a_filter_says_the_same_by_grpc(where: Where) -> None:
    asked, message = _filter(where), _grpc_filter(where)
    if asked is None or message is None:
        assert asked is message is None
        return
    again = GrpcToRest.convert_filter(grpc.Filter.FromString(message.SerializeToString()))
    assert keys(again) == keys(asked)
    assert isinstance(again.must, list)
    assert isinstance(asked.must, list)
    assert len(again.must) == len(asked.must)


def test_a_search_over_bytes_compares_more_as_they_are() -> None:
    assert SearchTuning().params is None
    params = SearchTuning(oversampling=3.0).params
    assert params is not None
    assert params.quantization is not None
    assert (params.quantization.rescore, params.quantization.oversampling) == (True, 3.0)
    assert SearchTuning(ef=64).params == q.SearchParams(hnsw_ef=64)
