"""One live socket: who is let in, when it ends, and that it costs no task while nothing is due."""

import asyncio
from collections.abc import Sequence
from functools import partial

import msgspec
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from schemas.live import Slot
from services.logging import hash_visitor
from services.recommender.live import connection
from services.recommender.live.connection import Admission, Credentials, LiveConnection
from services.recommender.live.protocol import LiveSubscription, Send
from services.recommender.live.registry import SOCKETS_MAX, SubscriptionRegistry
from services.recommender.metrics import Metrics
from services.recommender.visitor_sessions import PublishedSession
from services.web import auth
from services.web.auth import ReaderAuth, TokenSigner
from tests.support.open_socket import PERIOD_S, Client, until

NOW_MS = 1_800_000_000_000.0
SLOT = {"name": "for_you", "kind": "for_you", "k": 3}


class Rows(LiveSubscription):
    """A subscription that says the names of its stale slots, and fails where one is called so."""

    def __init__(self, visitor_id: str) -> None:
        self.visitor_id = visitor_id
        self.page = None
        self.under_way: tuple[str, PublishedSession | None] | None = None
        self.stale: list[str] = []

    def subscribe(self, slots: Sequence[Slot]) -> None:
        self.stale = [slot.name for slot in slots]
        assert self.page is not None
        self.page.push()

    async def push(self, send: Send) -> None:
        while self.stale:
            name = self.stale.pop()
            self.under_way = (name, PublishedSession(b"", "the event", traceparent=TRACEPARENT))
            if name == "a bug":
                raise LookupError(name)
            await send(name.encode())


TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Recommender:
    """What live sockets share, and the clock that tokens go by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_ms = NOW_MS
        self.erased: dict[str, int] = {}
        monkeypatch.setattr(connection, "now_ms", lambda: self.now_ms)
        monkeypatch.setattr(auth, "now_ms", lambda: self.now_ms)
        self.metrics = Metrics()
        self.hub = SubscriptionRegistry(self.metrics)
        self.signer = TokenSigner(SecretStr("secret"), "", self.erased.get)
        monkeypatch.setattr(self.signer._signer, "get_timestamp", lambda: int(self.now_ms / 1000))
        self._door = ReaderAuth(self.signer, SecretStr("the key"))
        self._admission = Admission(self.hub, Rows, self.metrics)

    def open(self, query: str = "visitor_id=v", *headers: tuple[bytes, bytes]) -> Client:
        scope = {"type": "websocket", "query_string": query.encode(), "headers": [*headers]}
        credentials = Credentials(self._door, scope)
        return Client(partial(LiveConnection, self._admission, credentials), slow_reader_s=0.02)

    @property
    def open_sockets(self) -> float | None:
        return self.metrics.registry.get_sample_value("eddy_recommender_sockets")


@pytest.fixture
async def recommender(monkeypatch: pytest.MonkeyPatch) -> Recommender:
    return Recommender(monkeypatch)


def subscribe(client: Client, token: str | None = None, name: str = "for_you") -> None:
    shown = {"token": token} if token else {}
    client.say(msgspec.json.encode({"type": "subscribe", "slots": [SLOT | {"name": name}], **shown}).decode())


async def until_closed(client: Client) -> tuple[int, str]:
    await until(lambda: client.close_code is not None)
    assert client.protocol.close_rcvd is not None
    return client.protocol.close_rcvd.code, client.protocol.close_rcvd.reason


async def test_it_has_a_task_only_while_something_is_due(recommender: Recommender) -> None:
    client = recommender.open()
    subscribe(client, recommender.signer.issue("v").token)
    assert len(asyncio.all_tasks()) == 2
    await until(lambda: len(asyncio.all_tasks()) == 1)
    assert client.messages() == [b"for_you"]
    subscribe(client, name="again")
    await until(lambda: client.messages() == [b"again"])
    assert recommender.open_sockets == 1
    client.socket.connection_lost(None)
    assert recommender.open_sockets == 0
    assert not recommender.hub.of_visitor("v")


async def test_no_token_in_time_is_no_socket(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FIRST_WITHIN_S", 0.01)
    code, reason = await until_closed(recommender.open())
    assert (code, "no token" in reason) == (1013, True)
    assert recommender.open_sockets == 0


@pytest.mark.parametrize(
    "said",
    [
        "",
        "{",
        '{"type":"subscribe","slots":[]}',
        '{"type":"subscribe","slots":[{"name":"a","kind":"search"}]}',
    ],
)
async def test_the_first_message_has_to_be_right(recommender: Recommender, said: str) -> None:
    client = recommender.open()
    client.say(said)
    code, reason = await until_closed(client)
    assert (code, reason[:17]) == (1008, "the first message")


@pytest.mark.parametrize(
    ("slots", "says"),
    [
        (
            [SLOT | {"price_max": 20}],
            "`price_max` - at `$.slots[0]`; a slot has name, kind, k,",
        ),
        ([SLOT, SLOT | {"name": "other", "colour": "red"}], "`colour` - at `$.slots[1]`"),
        ([SLOT, SLOT | {"k": 4}], "two slots are called 'for_you'"),
        ([SLOT | {"k": 0}], "$.slots[0].k"),
        ([], "$.slots"),
    ],
)
async def test_what_is_no_slot_is_told_and_leaves_the_rows_as_they_are(
    recommender: Recommender, slots: list[dict[str, object]], says: str
) -> None:
    token = recommender.signer.issue("v").token
    wrong = msgspec.json.encode({"type": "subscribe", "slots": slots, "token": token}).decode()
    first = recommender.open()
    first.say(wrong)  # its token is good: the socket stays, and the page need not ask for another
    later = recommender.open()
    subscribe(later, token)
    await until(lambda: later.messages() == [b"for_you"])
    later.say(wrong)
    for client in (first, later):
        [error] = client.messages()
        assert says in msgspec.json.decode(error)["detail"]
    assert recommender.open_sockets == 2
    subscribe(first)
    await until(lambda: first.messages() == [b"for_you"])


async def test_a_null_in_a_slot_says_nothing(recommender: Recommender) -> None:
    client = recommender.open()
    nulls = dict.fromkeys(set(Slot.__struct_fields__) - set(SLOT))
    said = {"type": "subscribe", "slots": [SLOT | nulls], "token": recommender.signer.issue("v").token}
    client.say(msgspec.json.encode(said).decode())
    await until(lambda: client.messages() == [b"for_you"])
    client.say('{"type":"subscribe","slots":[{"name":null,"kind":"popular"}]}')
    assert b"`name`" in client.messages()[0]
    client.say('{"type":"subscribe","token":null}')
    assert b"missing required field `slots`" in client.messages()[0]


async def test_a_field_beside_the_slots_that_nobody_knows_is_told(recommender: Recommender) -> None:
    client = recommender.open()
    token = recommender.signer.issue("v").token
    said = {"type": "subscribe", "slots": [SLOT], "token": token, "price_max": 20}
    client.say(msgspec.json.encode(said).decode())
    assert b"unknown field `price_max`" in client.messages()[0]
    other = recommender.open()
    other.say(msgspec.json.encode({**said, "token": "wrong"}).decode())
    assert (await until_closed(other))[0] == 1008


async def test_a_ping_is_answered_at_once_where_somebody_has_shown_a_token(recommender: Recommender) -> None:
    client = recommender.open()
    subscribe(client, recommender.signer.issue("v").token, "a bug")
    client.say('{"type":"ping"}')
    assert client.messages() == [b'{"type":"pong"}']  # before any row is made
    stranger = recommender.open()
    stranger.say('{"type":"ping"}')
    assert (await until_closed(stranger))[0] == 1008


async def test_a_token_of_somebody_else_ends_it_even_later(recommender: Recommender) -> None:
    client = recommender.open(f"visitor_id=v&token={recommender.signer.issue('v').token}")
    assert recommender.open_sockets == 1
    client.say("what?")
    assert b"error" in client.messages()[0]
    subscribe(client, recommender.signer.issue("w").token)
    assert "another visitor" in (await until_closed(client))[1]
    assert recommender.open_sockets == 0


async def test_the_shop_s_key_opens_a_socket_that_does_not_end(recommender: Recommender) -> None:
    client = recommender.open("visitor_id=v", (b"authorization", b"Bearer the key"))
    recommender.now_ms += 1e12
    client.socket.keep_alive()
    assert recommender.open_sockets == 1
    wrong = recommender.open("visitor_id=v", (b"authorization", b"Bearer another"))
    assert (await until_closed(wrong))[0] == 1008


async def test_a_visitor_has_so_many_sockets(recommender: Recommender) -> None:
    token = recommender.signer.issue("v").token
    clients = [recommender.open(f"visitor_id=v&token={token}") for _ in range(SOCKETS_MAX + 1)]
    assert (await until_closed(clients[-1]))[0] == 1013
    assert recommender.open_sockets == SOCKETS_MAX
    clients[0].socket.connection_lost(None)
    recommender.open(f"visitor_id=v&token={token}")
    assert recommender.open_sockets == SOCKETS_MAX


@pytest.mark.parametrize("is_renewed", [False, True])
async def test_it_ends_with_its_token_unless_a_newer_one_was_shown(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch, is_renewed: bool
) -> None:
    monkeypatch.setattr(connection, "LOOK_AGAIN_S", 0.01)
    token = recommender.signer.issue("v")
    client = recommender.open(f"visitor_id=v&token={token.token}")
    recommender.now_ms = token.expires_at - 1_000 * PERIOD_S - 1
    client.socket.keep_alive()  # it has another period
    if is_renewed:
        subscribe(client, recommender.signer.issue("v").token)
    client.read()
    client.flush()
    recommender.now_ms = token.expires_at - 10.0
    client.socket.keep_alive()
    recommender.now_ms = token.expires_at + 1_000.0
    if not is_renewed:
        assert "expired" in (await until_closed(client))[1]
        return
    await asyncio.sleep(0.05)  # longer than the old token had left
    assert recommender.open_sockets == 1


async def test_an_erased_visitor_sees_a_moment_longer_and_is_let_go(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ERASED_GRACE_S", 0.01)
    client = recommender.open(f"visitor_id=v&token={recommender.signer.issue('v').token}")
    other = recommender.open(f"visitor_id=w&token={recommender.signer.issue('w').token}")
    recommender.erased["v"] = int(NOW_MS) + 1
    recommender.hub.visitor_erased("v")
    assert client.close_code is None
    assert "erased" in (await until_closed(client))[1]
    assert other.close_code is None


async def test_a_slow_reader_is_dropped_and_counted(recommender: Recommender) -> None:
    client = recommender.open(f"visitor_id=v&token={recommender.signer.issue('v').token}")
    client.socket.pause_writing()
    subscribe(client)
    await until(lambda: client.wire.is_aborted)
    client.socket.connection_lost(None)
    dropped = recommender.metrics.registry.get_sample_value("eddy_recommender_slow_readers_total")
    assert (dropped, recommender.open_sockets) == (1, 0)
    await until(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_bug_in_a_row_ends_its_socket_alone(recommender: Recommender) -> None:
    client = recommender.open(f"visitor_id=v&token={recommender.signer.issue('v').token}")
    other = recommender.open(f"visitor_id=w&token={recommender.signer.issue('w').token}")
    with capture_logs() as logged:
        subscribe(client, name="a bug")
        assert (await until_closed(client))[0] == 1011
    [line] = [each for each in logged if each["log_level"] == "error"]
    named = {name: line[name] for name in ("slot", "visitor", "event_id", "trace_id")}
    assert named == {
        "slot": "a bug",
        "visitor": hash_visitor("v"),
        "event_id": "the event",
        "trace_id": TRACE,
    }
    subscribe(other)
    await until(lambda: other.messages() == [b"for_you"])
