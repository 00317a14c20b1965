"""A stand-in for a Qdrant server, which no registry has: `python -m tests.support.qdrant_server FOLDER PORT`.

What is real: the wire (gRPC by the messages that qdrant-client ships, TLS, the key in the metadata), the
engine that stores, filters and searches (qdrant-edge, in files that outlive the process), and the process,
which can be killed. What is not: everything a server has around them. Answers, statuses and sentences are as
Qdrant's documentation and its server 1.19 have them, as far as Eddy looks at them; there are no shards, no
replicas, no optimiser and no limits but those of strict mode that are checked here. The question of REST is
there for the benchmark alone, which sets the two ways beside each other.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Final, cast
from uuid import UUID

import grpc as wire
import msgspec
import qdrant_edge as edge
import typer
import uvicorn
from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, json_to_value
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.files import write_atomically

VECTOR: Final = "content"
NO_LIMIT: Final = 1 << 32
KINDS: Final[dict[int, tuple[Any, Any]]] = {
    grpc.FieldType.FieldTypeKeyword: (edge.PayloadSchemaType.Keyword, grpc.PayloadSchemaType.Keyword),
    grpc.FieldType.FieldTypeFloat: (edge.PayloadSchemaType.Float, grpc.PayloadSchemaType.Float),
}


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, code: wire.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


class Collection:
    """A shard of the engine, as a collection was asked for."""

    def __init__(self, folder: Path, asked: grpc.CreateCollection) -> None:
        self.asked = asked
        self.fields: dict[str, int] = {}
        self.folder = folder
        if folder.is_dir():
            self.shard = edge.EdgeShard.load(str(folder))
            return
        folder.mkdir(parents=True)
        vectors = asked.vectors_config.params_map.map[VECTOR]
        quantized = asked.HasField("quantization_config")
        int8 = edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, always_ram=True)
        params = edge.EdgeVectorParams(
            size=vectors.size,
            distance=edge.Distance.Dot,
            on_disk=vectors.on_disk,
            quantization_config=int8 if quantized else None,
        )
        self.shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors={VECTOR: params}))

    def update(self, operation: edge.UpdateOperation) -> None:
        """Kept when this returns: the next thing may be `kill -9`."""
        self.shard.update(operation)
        self.shard.flush()

    def index(self, field: str, kind: int) -> None:
        self.update(edge.UpdateOperation.create_field_index(field, KINDS[kind][0]))
        self.fields[field] = kind

    def require_allowed(self, condition: grpc.Filter, limit: int = 0) -> None:
        """What strict mode has against a request."""
        strict = self.asked.strict_mode_config
        if not strict.enabled:
            return
        if strict.max_query_limit and limit > strict.max_query_limit:
            text = f'Limit exceeded {limit} > {strict.max_query_limit} for "limit". Help: Reduce it.'
            raise Refused(wire.StatusCode.INVALID_ARGUMENT, text)
        for each in (*condition.must, *condition.must_not):
            key = each.field.key
            if key and key not in self.fields:
                kind = "float" if each.field.HasField("range") else "keyword"
                text = (
                    f'Bad request: Index required but not found for "{key}" of one of the following types: '
                    f"[{kind}]. Help: Create an index for this key or use a different filter."
                )
                raise Refused(wire.StatusCode.INVALID_ARGUMENT, text)

    def info(self) -> grpc.CollectionInfo:
        asked, count = self.asked, self.shard.count(edge.CountRequest(exact=True))
        return grpc.CollectionInfo(
            status=grpc.CollectionStatus.Green,
            optimizer_status=grpc.OptimizerStatus(ok=True),
            segments_count=1,
            points_count=count,
            config=grpc.CollectionConfig(
                params=grpc.CollectionParams(
                    shard_number=asked.shard_number or 1,
                    on_disk_payload=asked.on_disk_payload,
                    vectors_config=asked.vectors_config,
                    replication_factor=asked.replication_factor or 1,
                    write_consistency_factor=asked.write_consistency_factor or 1,
                ),
                hnsw_config=grpc.HnswConfigDiff(
                    m=asked.hnsw_config.m or 16,
                    ef_construct=asked.hnsw_config.ef_construct or 100,
                    full_scan_threshold=10_000,
                ),
                optimizer_config=grpc.OptimizersConfigDiff(
                    deleted_threshold=0.2,
                    vacuum_min_vector_number=1000,
                    default_segment_number=0,
                    flush_interval_sec=5,
                ),
                wal_config=grpc.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
                quantization_config=(
                    asked.quantization_config if asked.HasField("quantization_config") else None
                ),
                strict_mode_config=asked.strict_mode_config if asked.HasField("strict_mode_config") else None,
            ),
            payload_schema={
                field: grpc.PayloadSchemaInfo(data_type=KINDS[kind][1], points=count)
                for field, kind in self.fields.items()
            },
        )


class Store:
    """Collections and aliases in a folder. One request at a time: the engine holds Python's lock anyway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.turn = threading.RLock()
        self.collections: dict[str, Collection] = {}
        self.aliases: dict[str, str] = {}
        self.made = 0
        if (folder / "state.json").exists():
            state = json.loads((folder / "state.json").read_text())
            self.aliases, self.made = state["aliases"], state["made"]
            for name, kept in state["collections"].items():
                asked = grpc.CreateCollection.FromString(base64.b64decode(kept["asked"]))
                self.collections[name] = Collection(folder / kept["folder"], asked)
                self.collections[name].fields = kept["fields"]

    def keep(self) -> None:
        state = {
            "aliases": self.aliases,
            "made": self.made,
            "collections": {
                name: {
                    "folder": each.folder.name,
                    "fields": each.fields,
                    "asked": base64.b64encode(each.asked.SerializeToString()).decode(),
                }
                for name, each in self.collections.items()
            },
        }
        write_atomically(self.folder / "state.json", json.dumps(state).encode())

    def find(self, name: str) -> Collection:
        """By its name or an alias."""
        found = self.collections.get(self.aliases.get(name, name))
        if found is None:
            raise Refused(wire.StatusCode.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!")
        return found

    def create(self, asked: grpc.CreateCollection) -> None:
        name = asked.collection_name
        if name in self.collections or name in self.aliases:
            text = f"Wrong input: Collection `{name}` already exists!"
            raise Refused(wire.StatusCode.ALREADY_EXISTS, text)
        self.made += 1
        self.collections[name] = Collection(self.folder / str(self.made), asked)
        self.keep()

    def delete(self, name: str) -> bool:
        gone = self.collections.pop(name, None)  # an alias of that name is none
        if gone is None:
            return False
        gone.shard.close()
        self.aliases = {alias: to for alias, to in self.aliases.items() if to != name}
        self.keep()
        return True

    def change_aliases(self, actions: Iterable[grpc.AliasOperations]) -> None:
        """All or none."""
        aliases = dict(self.aliases)
        for each in actions:
            if each.HasField("delete_alias"):
                aliases.pop(each.delete_alias.alias_name, None)
                continue
            made = each.create_alias
            if made.collection_name not in self.collections:
                self.find(made.collection_name)
            if made.alias_name in self.collections:
                text = f"Wrong input: Collection `{made.alias_name}` already exists!"
                raise Refused(wire.StatusCode.ALREADY_EXISTS, text)
            aliases[made.alias_name] = made.collection_name
        self.aliases = aliases
        self.keep()

    def query(self, name: str, questions: list[tuple[list[float], grpc.Filter, int, bool]]) -> Any:
        """For each question (vector, filter, limit, whether over bytes) the scored points."""
        found = self.find(name)
        for _, condition, limit, _ in questions:
            found.require_allowed(condition, limit)
        bytes_first = edge.SearchParams(
            quantization=edge.QuantizationSearchParams(rescore=True, oversampling=2.0)
        )
        requests = [
            edge.QueryRequest(
                limit=limit,
                query=edge.Query.Nearest(vector, using=VECTOR),
                filter=to_edge(condition),
                with_payload=True,
                params=bytes_first if quantized else None,
            )
            for vector, condition, limit, quantized in questions
        ]
        return found.shard.query_batch(edge.QueryBatchRequest(requests))


def to_edge(condition: grpc.Filter) -> edge.Filter | None:
    must = [_condition(each) for each in condition.must]
    must_not = [_condition(each) for each in condition.must_not]
    return edge.Filter(must=must, must_not=must_not) if must or must_not else None


def _condition(each: grpc.Condition) -> Any:
    if each.HasField("has_id"):
        return edge.HasIdCondition({UUID(point.uuid) for point in each.has_id.has_id})
    field = each.field
    if field.HasField("range"):
        bounds = field.range
        low = bounds.gte if bounds.HasField("gte") else None
        high = bounds.lte if bounds.HasField("lte") else None
        return edge.FieldCondition(key=field.key, range=edge.RangeFloat(gte=low, lte=high))
    words = list(field.match.keywords.strings) or [field.match.keyword]
    return edge.FieldCondition(key=field.key, match=edge.MatchAny(words))


def _answer(store: Store, handle: Callable[[Any], Any]) -> Callable[[Any, wire.ServicerContext], Any]:
    def call(request: Any, context: wire.ServicerContext) -> Any:
        try:
            with store.turn:
                return handle(request)
        except Refused as error:
            context.abort(error.code, str(error))
        except BaseException as error:  # noqa: BLE001 - a panic of the engine is no Exception
            context.abort(wire.StatusCode.INVALID_ARGUMENT, f"Wrong input: {error}")

    return call


def _acknowledge(_nothing: object = None) -> grpc.PointsOperationResponse:
    return grpc.PointsOperationResponse(result=grpc.UpdateResult(status=grpc.UpdateStatus.Completed))


class Collections(grpc.CollectionsServicer):
    """What is asked of collections and aliases."""

    def __init__(self, store: Store) -> None:
        self.store = store
        for name in ("Get", "List", "Create", "Delete", "UpdateAliases", "ListAliases", "CollectionExists"):
            setattr(self, name, _answer(store, getattr(self, f"_{name}")))

    def _Get(self, asked: Any) -> Any:  # noqa: N802 - the wire's names
        return grpc.GetCollectionInfoResponse(result=self.store.find(asked.collection_name).info())

    def _List(self, _asked: Any) -> Any:  # noqa: N802
        names = [grpc.CollectionDescription(name=name) for name in self.store.collections]
        return grpc.ListCollectionsResponse(collections=names)

    def _Create(self, asked: Any) -> Any:  # noqa: N802
        self.store.create(asked)
        return grpc.CollectionOperationResponse(result=True)

    def _Delete(self, asked: Any) -> Any:  # noqa: N802
        return grpc.CollectionOperationResponse(result=self.store.delete(asked.collection_name))

    def _UpdateAliases(self, asked: Any) -> Any:  # noqa: N802
        self.store.change_aliases(asked.actions)
        return grpc.CollectionOperationResponse(result=True)

    def _ListAliases(self, _asked: Any) -> Any:  # noqa: N802
        found = [
            grpc.AliasDescription(alias_name=alias, collection_name=to)
            for alias, to in self.store.aliases.items()
        ]
        return grpc.ListAliasesResponse(aliases=found)

    def _CollectionExists(self, asked: Any) -> Any:  # noqa: N802
        name = self.store.aliases.get(asked.collection_name, asked.collection_name)
        exists = grpc.CollectionExists(exists=name in self.store.collections)
        return grpc.CollectionExistsResponse(result=exists)


class Points(grpc.PointsServicer):
    """What is asked of points."""

    def __init__(self, store: Store) -> None:
        self.store = store
        for name in (
            *("Upsert", "Delete", "Get", "Scroll", "Count", "QueryBatch"),
            *("CreateFieldIndex", "DeleteFieldIndex", "DeletePayload"),
        ):
            setattr(self, name, _answer(store, getattr(self, f"_{name}")))

    def _Upsert(self, asked: Any) -> Any:  # noqa: N802
        found = self.store.find(asked.collection_name)
        most = found.asked.strict_mode_config.upsert_max_batchsize
        if most and len(asked.points) > most:
            text = f"Limit exceeded {len(asked.points)} > {most} for upsert limit. Help: Reduce it."
            raise Refused(wire.StatusCode.INVALID_ARGUMENT, text)
        points = []
        for each in map(GrpcToRest.convert_point_struct, asked.points):
            points.append(edge.Point(UUID(str(each.id)), cast("Any", each.vector), each.payload))
        found.update(edge.UpdateOperation.upsert_points(points))
        return _acknowledge()

    def _Delete(self, asked: Any) -> Any:  # noqa: N802
        ids: list[Any] = [UUID(each.uuid) for each in asked.points.points.ids]
        self.store.find(asked.collection_name).update(edge.UpdateOperation.delete_points(ids))
        return _acknowledge()

    def _DeletePayload(self, asked: Any) -> Any:  # noqa: N802
        ids: list[Any] = [UUID(each.uuid) for each in asked.points_selector.points.ids]
        operation = edge.UpdateOperation.delete_payload(ids, list(asked.keys))
        self.store.find(asked.collection_name).update(operation)
        return _acknowledge()

    def _CreateFieldIndex(self, asked: Any) -> Any:  # noqa: N802
        self.store.find(asked.collection_name).index(asked.field_name, asked.field_type)
        self.store.keep()
        return _acknowledge()

    def _DeleteFieldIndex(self, asked: Any) -> Any:  # noqa: N802
        found = self.store.find(asked.collection_name)
        found.update(edge.UpdateOperation.delete_field_index(asked.field_name))
        found.fields.pop(asked.field_name, None)
        self.store.keep()
        return _acknowledge()

    def _Get(self, asked: Any) -> Any:  # noqa: N802
        ids: list[Any] = [UUID(each.uuid) for each in asked.ids]
        shard = self.store.find(asked.collection_name).shard
        found = shard.retrieve(ids, True, asked.with_vectors.enable)
        return grpc.GetResponse(result=[_point(each, asked.with_payload) for each in found])

    def _Scroll(self, asked: Any) -> Any:  # noqa: N802
        found = self.store.find(asked.collection_name)
        found.require_allowed(asked.filter, asked.limit)
        at = UUID(asked.offset.uuid) if asked.HasField("offset") else None
        request = edge.ScrollRequest(
            offset=at, limit=asked.limit, filter=to_edge(asked.filter), with_payload=True
        )
        points, following = found.shard.scroll(request)
        return grpc.ScrollResponse(
            result=[_point(each, asked.with_payload) for each in points],
            next_page_offset=None if following is None else grpc.PointId(uuid=str(following)),
        )

    def _Count(self, asked: Any) -> Any:  # noqa: N802
        found = self.store.find(asked.collection_name)
        found.require_allowed(asked.filter)
        count = found.shard.count(edge.CountRequest(exact=asked.exact, filter=to_edge(asked.filter)))
        return grpc.CountResponse(result=grpc.CountResult(count=count))

    def _QueryBatch(self, asked: Any) -> Any:  # noqa: N802
        questions = [
            (
                list(each.query.nearest.dense.data),
                each.filter,
                each.limit,
                each.params.quantization.rescore,
            )
            for each in asked.query_points
        ]
        answers = self.store.query(asked.collection_name, questions)
        return grpc.QueryBatchResponse(
            result=[
                grpc.BatchResult(
                    result=[
                        grpc.ScoredPoint(
                            id=grpc.PointId(uuid=str(each.id)),
                            score=each.score,
                            version=each.version,
                            payload=_payload(each.payload, asking.with_payload),
                        )
                        for each in points
                    ]
                )
                for asking, points in zip(asked.query_points, answers, strict=True)
            ]
        )


def _payload(payload: dict[str, Any] | None, wanted: Any) -> dict[str, Any]:
    fields = wanted.include.fields
    return {
        name: json_to_value(value) for name, value in (payload or {}).items() if not fields or name in fields
    }


def _point(record: edge.Record, wanted: Any) -> grpc.RetrievedPoint:
    vectors = None
    if record.vector is not None:
        dense = {
            name: grpc.VectorOutput(dense=grpc.DenseVector(data=numbers))
            for name, numbers in cast("Any", record.vector).items()
        }
        vectors = grpc.VectorsOutput(vectors=grpc.NamedVectorsOutput(vectors=dense))
    return grpc.RetrievedPoint(
        id=grpc.PointId(uuid=str(record.id)), payload=_payload(record.payload, wanted), vectors=vectors
    )


class Keys(wire.ServerInterceptor):  # type: ignore[misc]
    """Lets in who shows the key."""

    def __init__(self, key: str) -> None:
        self._key = key

        def refuse(_request: Any, context: wire.ServicerContext) -> None:
            context.abort(wire.StatusCode.UNAUTHENTICATED, "Invalid API key or JWT")

        self._refusal = wire.unary_unary_rpc_method_handler(refuse)

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        shown = dict(details.invocation_metadata).get("api-key")
        return continuation(details) if shown == self._key else self._refusal


def rest_app(store: Store) -> Starlette:
    """The one question that the benchmark asks by REST."""

    async def query_batch(request: Request) -> Response:
        asked = msgspec.json.decode(await request.body())["searches"]
        questions = []
        for each in asked:
            condition = grpc.Filter()
            for kind in ("must", "must_not"):
                for field in (each.get("filter") or {}).get(kind) or []:
                    words = grpc.RepeatedStrings(strings=field["match"]["any"])
                    one = grpc.FieldCondition(key=field["key"], match=grpc.Match(keywords=words))
                    getattr(condition, kind).append(grpc.Condition(field=one))
            query = each["query"]
            vector = query["nearest"] if isinstance(query, dict) else query
            questions.append((vector, condition, each["limit"], bool(each.get("params"))))
        answers = store.query(request.path_params["name"], questions)
        points = [
            {
                "points": [
                    {
                        "id": str(each.id),
                        "version": each.version,
                        "score": each.score,
                        "payload": {name: each.payload[name] for name in asking["with_payload"]},
                    }
                    for each in found
                ]
            }
            for asking, found in zip(asked, answers, strict=True)
        ]
        answer = {"result": points, "status": "ok", "time": 0.0}
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return Starlette(routes=[Route("/collections/{name}/points/query/batch", query_batch, methods=["POST"])])


def main(
    folder: Path,
    port: int,
    *,
    key: Annotated[str, typer.Option()] = "",
    certificate: Annotated[Path | None, typer.Option()] = None,
    private_key: Annotated[Path | None, typer.Option()] = None,
    rest_port: Annotated[int, typer.Option()] = 0,
) -> None:
    """Serves until it is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder)
    server = wire.server(
        ThreadPoolExecutor(16),
        interceptors=[Keys(key)] if key else [],
        options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
    )
    add: Any = grpc  # the generated functions have no types
    add.add_CollectionsServicer_to_server(Collections(store), server)
    add.add_PointsServicer_to_server(Points(store), server)
    if certificate is not None and private_key is not None:
        pair = (private_key.read_bytes(), certificate.read_bytes())
        server.add_secure_port(f"127.0.0.1:{port}", wire.ssl_server_credentials([pair]))
    else:
        server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    if rest_port:
        # All of 127/8: to 127.0.0.1 qdrant-client opens a connection a question.
        uvicorn.run(rest_app(store), host="0.0.0.0", port=rest_port, log_level="warning")
    else:
        server.wait_for_termination()


if __name__ == "__main__":
    typer.run(main)
