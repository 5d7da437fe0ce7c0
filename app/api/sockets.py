"""The live connections of one process, all served by one thread, so that they hold none of the server's."""

import asyncio
import socket
import time
from collections.abc import Callable, Collection
from threading import Lock, Thread

import structlog
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from websockets.frames import CloseCode

from app.api.connection import CLOSE_WITHIN, MODEL_GONE, TOKEN_ENDED, Asks, Connection, Grant
from app.api.observe import Metrics
from app.errors import LapwiseError, ModelNotFound, TokenExpired, Unauthorized, Unavailable
from app.services.live import Car, Live
from learning.errors import LearningError

SEND_BUFFER = 16 * 1024  # bytes the kernel keeps for a client that does not read; more would be old answers
LOOK_EVERY = 0.5  # seconds between two looks at who may still be answered
STOPPING = "this process ends; connect again"
log = structlog.get_logger()


class LiveSockets:
    """All live connections of this process; its thread starts with the first of them.

    Parameters
    ----------
    release
        Is told the driver of each connection that has closed.

    Attributes
    ----------
    is_stopping
        Whether the process is about to end; the server sets it.
    """

    is_stopping: Callable[[], bool]

    def __init__(self, live: Live, metrics: Metrics, release: Callable[[str], None]) -> None:
        self.is_stopping = bool
        self._live = live
        self._metrics = metrics
        self._release = release
        self._connections: set[Connection] = set()
        self._wanting: dict[Connection, None] = {}  # an answer, in the order of asking
        self._asking: asyncio.Future[dict[Asks, tuple[int, str]]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._lock = Lock()

    def adopt(self, sock: socket.socket, car: Car, grant: Grant) -> None:
        """Serves a connection that has just opened; from any thread.

        Raises
        ------
        OSError
            It is broken already.
        """
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        asyncio.run_coroutine_threadsafe(self._open(sock, car, grant), self._started())

    def close(self) -> None:
        """Closes all connections, for this process ends; waits a little for the clients to agree."""
        with self._lock:
            loop, thread, self.is_stopping = self._loop, self._thread, lambda: True
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close_all(), loop).result(2 * CLOSE_WITHIN)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSE_WITHIN)

    def wants_answer(self, connection: Connection) -> None:
        """Answers the connection's newest frame as soon as it is its turn and its client takes answers."""
        if connection.blocked or connection.car.due is None:
            return
        if not self._wanting:
            asyncio.get_running_loop().call_soon(self._answer)
        self._wanting[connection] = None

    def count(self, outcome: str) -> None:
        self._metrics.live_frames.labels(outcome).inc()

    def closed(self, connection: Connection) -> None:
        self._wanting.pop(connection, None)
        self._connections.discard(connection)
        self._metrics.live_connections.dec()
        self._live.count(connection.car)
        self._release(connection.car.user_id)

    def _answer(self) -> None:
        """Answers those that ask the same as the first; then frames that came meanwhile are read."""
        if not self._wanting:
            return
        asked = next(iter(self._wanting)).car.request
        together = {one.car: one for one in self._wanting if one.car.request == asked}
        for one in together.values():
            del self._wanting[one]
        if self._wanting:
            asyncio.get_running_loop().call_soon(self._answer)
        for car, tag, answer in self._live.answers(list(together)):
            connection = together[car]
            if isinstance(answer, LearningError):
                connection.refuse(answer, tag)
                continue
            connection.tell({**answer, **tag})
            self.count("answered")
            self._metrics.live_seconds.observe(time.monotonic() - connection.due_since)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = Thread(target=self._run, args=[self._loop], name="live", daemon=True)
                self._thread.start()
            return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        watch = loop.create_task(self._watch())
        loop.run_forever()
        watch.cancel()
        loop.run_until_complete(asyncio.gather(watch, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()

    async def _open(self, sock: socket.socket, car: Car, grant: Grant) -> None:
        connection = Connection(self, car, grant)
        self._connections.add(connection)
        self._metrics.live_connections.inc()
        log.info("live_opened", user_id=car.user_id, model_id=car.version.id)
        await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, sock)
        if self.is_stopping():
            connection.close(CloseCode.GOING_AWAY, STOPPING)

    async def _close_all(self) -> None:
        for connection in list(self._connections):
            connection.close(CloseCode.GOING_AWAY, STOPPING)
        until = time.monotonic() + 1.5 * CLOSE_WITHIN
        while self._connections and time.monotonic() < until:
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        """Looks after every connection twice a second, whatever became of the last look."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look()
            except Exception as exc:
                log.error("live_not_looked_after", exc_info=exc)

    async def _look(self) -> None:
        if self.is_stopping():
            await self._close_all()
        for connection in list(self._connections):
            self._live.count(connection.car)
            connection.keep_alive(time.monotonic())
            if connection.asks.grant.expires_at <= time.time():
                connection.close(TOKEN_ENDED, _reason(TokenExpired()))
        await self._close_ended()

    async def _close_ended(self) -> None:
        """Closes what nobody may see any more; asking MongoDB and Redis takes a thread of its own."""
        if self._asking is None or self._asking.done():
            asked = {connection.asks for connection in self._connections}
            self._asking = asyncio.get_running_loop().run_in_executor(None, self._ended, asked)
        done, _ = await asyncio.wait([self._asking], timeout=LOOK_EVERY)
        ended = {} if not done else self._asking.result()
        for connection in list(self._connections):
            if connection.asks in ended:
                connection.close(*ended[connection.asks])

    def _ended(self, asked: Collection[Asks]) -> dict[Asks, tuple[int, str]]:
        """Who may no longer be answered, and what to close their connections with."""
        ended = {}
        for one in asked:
            try:
                self._live.check(one.user_id, one.grant.family_id, one.model_id)
            except Unauthorized as exc:
                ended[one] = TOKEN_ENDED, _reason(exc)
            except ModelNotFound as exc:
                ended[one] = MODEL_GONE, _reason(exc)
            except (Unavailable, PyMongoError, RedisError) as exc:  # asked again at the next look
                log.warning("live_not_checked", error=str(exc))
        return ended


def _reason(error: LapwiseError) -> str:
    return f"{error.code}: {error.message}"
