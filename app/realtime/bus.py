"""Pushes between processes over Redis. They may be lost there; whoever may have missed one catches up by cursor."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from socketio import RedisManager

log = logging.getLogger(__name__)
CHANNEL: Final = "flask-socketio"
PAUSE_SECONDS: Final = 1.0  # how long Redis is left alone after an error
_GAP: Final = b'{"method":"gap"}'  # a method that the library does not know, and therefore ignores


class SocketBus(RedisManager):  # type: ignore[misc]
    """The library's manager, with a way back: its own listens again after up to a minute, and tells nobody.

    ``on_gap`` is called when pushes may have been lost on their way to this process: after the subscription was, and
    when another process says that it could not publish.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, channel=CHANNEL, logger=log)
        self.on_gap: Callable[[], None] = lambda: None
        # an idle connection may have been closed meanwhile: one more try, at once
        self._client = redis.Redis.from_url(
            url, socket_timeout=2, socket_connect_timeout=2, health_check_interval=10, retry=Retry(NoBackoff(), 1)
        )
        self._missed = False
        self._paused_until = float("-inf")

    def _publish(self, data: Any) -> None:
        if time.monotonic() < self._paused_until:
            self._missed = True
            return
        try:
            if self._missed:
                self._client.publish(CHANNEL, _GAP)
                self._missed = False
            self._client.publish(CHANNEL, self.json.dumps(data))
        except redis.RedisError as error:
            self._missed, self._paused_until = True, time.monotonic() + PAUSE_SECONDS
            log.warning("sockets of other processes miss what is pushed: %s", error)

    def _listen(self) -> Iterator[Any]:
        lost = False
        while True:
            try:
                subscribed: Any = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                with subscribed as subscription:
                    subscription.subscribe(CHANNEL)
                    if lost:
                        self.on_gap()
                    while True:
                        message = subscription.get_message(timeout=PAUSE_SECONDS)
                        if message is None:
                            continue
                        if message["data"] == _GAP:
                            self.on_gap()
                        else:
                            yield message["data"]
            except redis.RedisError as error:
                lost = True
                log.warning("pushes of other processes are not heard: %s", error)
                time.sleep(PAUSE_SECONDS)


__all__ = ["SocketBus"]
