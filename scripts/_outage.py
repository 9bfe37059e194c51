"""Take away what the product stands on, under order load and idle, and look for anything lost, doubled or untrue.

PostgreSQL is restarted (``-m immediate``, some times left away for two seconds), the engine that leads hangs for
ten seconds, the disk is full. ``/ready`` is asked all the time and must not lie: 503 while nobody leads, and since
when; 200 within five seconds of the return, and from then on.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from scripts._crash import TERMINAL, Burst, Proof, Sent
from tests.e2e.installation import Installation, wait_until
from tests.e2e.server import (
    NO_ANSWER,
    Firm,
    Postgres,
    Server,
    fresh_postgres,
    own_postgres,
    prepare,
    redis_server,
)

LIMIT_SECONDS = 60.0  # after which a round is given up
PAUSE_SECONDS = 0.05  # between two orders of one sender, and between two looks at /ready
HANG_SECONDS = 10.0
DISK_MEGABYTES = 48


@dataclass
class Patient(Burst):
    """Senders that are not put off: what is answered 503, or not at all, is sent again under the same name."""

    refusals: int = 0
    unanswered: int = 0

    def _send(self, number: int) -> None:
        chance, client = random.Random(f"{self.seed}:{number}"), number % len(self.firm.clients)
        web = self.webs[number // len(self.firm.clients) % len(self.webs)]
        count = 0
        while not self.over.wait(PAUSE_SECONDS):
            count += 1
            order = Sent(client, self._order(chance, f"{self.seed}-{number}-{count}"))
            self.sent.append(order)
            until = time.monotonic() + LIMIT_SECONDS
            while time.monotonic() < until and not self._once(web, order):
                time.sleep(0.2)

    def _once(self, web: Server, order: Sent) -> bool:
        """One try; True when it was answered for good."""
        caller = web.caller(self.firm.clients[order.client])
        try:
            status, data = caller.call("POST", "/api/v1/orders", order.body)
        except NO_ANSWER:
            self.unanswered += 1
            return False
        finally:
            caller.close()
        if status == 503:
            self.refusals += 1
            return False
        order.status = status
        if status in (200, 201):
            order.order_id = data["id"]
        elif data["code"] not in ("stop_wrong_side", "price_band", "stale_quote"):  # the market went on meanwhile
            self.refused.append(f"{order.name}: {status} {data}")
        return True

    def _read(self, after: int) -> None:
        """Events are compared by the crash proof; here nobody reads."""


@dataclass
class Sample:
    """One look at /ready, by the monotonic clock."""

    web: str
    began: float
    ended: float
    status: int
    checks: dict[str, str]


class Watch:
    """Looks at /ready of every web process and at the lease, all the time."""

    def __init__(self, desk: Installation) -> None:
        self.desk = desk
        self.samples: list[Sample] = []
        self.epochs: list[tuple[float, float, int]] = []  # when asked, when answered, epoch
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(web,)) for web in desk.webs]
        if not desk.url.startswith("sqlite"):
            self._threads.append(threading.Thread(target=self._look))

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, web: Server) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            status, answer = web.ready()
            found = (answer or {}).get("checks", {})
            self.samples.append(Sample(web.name, began, time.monotonic(), status, found))

    def _look(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                epoch = self.desk.epoch()
            except sa.exc.SQLAlchemyError:
                continue
            self.epochs.append((began, time.monotonic(), epoch))

    def between(self, begin: float, end: float) -> list[Sample]:
        """The samples that lie wholly between two moments."""
        return [sample for sample in list(self.samples) if sample.began >= begin and sample.ended <= end]

    def wait_ready(self, since: float) -> float:
        """Until every web process has answered 200 to a question put after ``since``; the moment."""

        def all_ready() -> bool:
            newest = {sample.web: sample for sample in list(self.samples)}
            return len(newest) == len(self.desk.webs) and all(
                sample.status == 200 and sample.began > since for sample in newest.values()
            )

        wait_until(all_ready, LIMIT_SECONDS, "it is never ready again")
        return time.monotonic()


@dataclass
class Outage:
    """Everything that is measured and found; ``breaks`` is what should not have been."""

    asked: argparse.Namespace
    desk: Installation
    firm: Firm
    back: list[float] = field(default_factory=list)  # seconds from the return to 200 everywhere
    accepted: int = 0
    refusals: int = 0
    unanswered: int = 0
    samples: int = 0
    unready: int = 0

    def __post_init__(self) -> None:
        self.proof = Proof(self.desk, self.firm, self.asked)
        self.breaks = self.proof.breaks

    # -- PostgreSQL --------------------------------------------------------------------------------------

    def restart(self, name: str, watch: Watch, postgres: Postgres, chance: random.Random) -> str:
        """One restart with everything said about it; returns what is printed."""
        epoch, away = self.desk.epoch(), chance.choice([0.0, 0.0, 2.0])
        wall = datetime.now(UTC)
        postgres.stop()
        stopped = time.monotonic()
        time.sleep(away)
        starting = time.monotonic()
        postgres.start()
        returned = time.monotonic()
        wait_until(lambda: any(found > epoch for *_, found in watch.epochs), LIMIT_SECONDS, "nobody leads again")
        ready = watch.wait_ready(returned)
        taken = ready - returned
        self.back.append(taken)
        if taken > self.asked.lead_seconds:
            self.proof.broken(name, f"ready {taken:.2f} s after the database's return only")
        # nobody has led from the stop until the last look that still found the old epoch
        unled = max([began for began, _, found in watch.epochs if found <= epoch and began > returned] + [starting])
        for sample in watch.between(stopped, unled):
            if sample.status != 503:
                self.proof.broken(name, f"{sample.web} answered {sample.status} while nobody led: {sample.checks}")
        self.judge(name, watch.between(stopped, ready), wall - timedelta(seconds=5))
        return f"away {returned - stopped:.2f} s, ready {taken:.2f} s after its return"

    def judge(self, name: str, samples: list[Sample], since: datetime) -> None:
        """What is not ready says what is missing, and since when nobody leads."""
        for sample in samples:
            self.samples += 1
            self.unready += sample.status == 503
            leads = sample.checks.get("engine", "")
            if sample.status not in (200, 503):
                self.proof.broken(name, f"{sample.web} answered {sample.status}")
            elif sample.status == 503 and sample.checks.get("database") == "ok" and leads != "ok":
                said = leads.removeprefix("nobody leads since ")
                if said == leads or not since <= datetime.fromisoformat(said) <= datetime.now(UTC):
                    self.proof.broken(name, f"{sample.web} says {leads!r}")

    def still_ready(self, name: str, watch: Watch, since: float) -> None:
        """Nothing but 200 from the recovery until now."""
        for sample in watch.between(since, time.monotonic()):
            self.samples += 1
            if sample.status != 200:
                self.proof.broken(name, f"{sample.web} answered {sample.status} afterwards: {sample.checks}")

    def under_load(self, name: str, watch: Watch, strike: Callable[[], str], before: float = 1.0) -> str:
        """Strike during a burst of orders; afterwards every order that was accepted ends or rests."""
        burst = Patient(self.desk.webs, self.firm, f"s{self.asked.seed}{name}")
        burst.start(0)
        try:
            time.sleep(before)
            said = strike()
            since = time.monotonic()
            time.sleep(0.5)
        finally:
            burst.join()
        self.still_ready(name, watch, since)
        return f"{said}; {self.check(name, burst)}"

    def check(self, name: str, burst: Patient) -> str:
        admin = self.desk.webs[0].caller(self.firm.admin)
        try:
            settled = self.proof.settle(admin, name)
            final = self.proof.check_orders(admin, name, burst)
            self.proof.check_executions(admin, name)
            self.proof.check_books(admin, name)
        finally:
            admin.close()
        for problem in burst.refused:
            self.proof.broken(name, problem)
        for order in burst.sent:
            if order.status is None:
                self.proof.broken(name, f"{order.name} was never answered for good")
        accepted = sum(order.order_id is not None for order in burst.sent)
        self.accepted, self.refusals = self.accepted + accepted, self.refusals + burst.refusals
        self.unanswered += burst.unanswered
        return (
            f"{accepted} accepted, {burst.refusals} times 503, {burst.unanswered} times no answer, settled "
            f"{settled:.2f} s; {dict(sorted(final.items()))}"
        )

    def idle_order(self, name: str) -> str:
        """One order through every web process is filled."""
        began = time.monotonic()
        for web in self.desk.webs:
            caller = web.caller(self.firm.clients[0])
            body = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.02"}
            status, order = caller.call("POST", "/api/v1/orders", body)
            if status != 201:
                self.proof.broken(name, f"{web.name} answered an order {status} {order}")
            else:
                path = f"/api/v1/orders/{order['id']}"
                wait_until(lambda caller=caller, path=path: caller.get(path)["status"] in TERMINAL, 30, f"{path} stays")
                if caller.get(path)["status"] != "FILLED":
                    self.proof.broken(name, f"{path}: {caller.get(path)['status']}")
            caller.close()
        return f"an order filled {time.monotonic() - began:.2f} s later"

    # -- the engine that hangs ---------------------------------------------------------------------------

    def hang(self, name: str, watch: Watch) -> str:
        """SIGSTOP of the leader: the standby leads, and the one that wakes changes nothing."""
        leader, epoch = self.desk.leader(), self.desk.epoch()
        leader.pause()
        stopped = time.monotonic()
        try:
            wait_until(lambda: any(found > epoch for *_, found in watch.epochs), LIMIT_SECONDS, "nobody took over")
            led = time.monotonic() - stopped
            ready = watch.wait_ready(stopped + led)
            time.sleep(max(0.0, HANG_SECONDS - (time.monotonic() - stopped)))
        finally:
            leader.wake()
        self.back.append(ready - stopped)
        if ready - stopped > self.asked.lead_seconds:
            self.proof.broken(name, f"the standby led {led:.2f} s and was ready {ready - stopped:.2f} s after it")
        woken = time.monotonic()
        time.sleep(3)
        if self.desk.epoch() != epoch + 1 or self.desk.leader() is leader:
            self.proof.broken(name, f"the one that woke leads again: epoch {self.desk.epoch()} after {epoch}")
        self.still_ready(name, watch, woken)
        hung = f"{leader.name} hung for {woken - stopped:.1f} s"
        return f"{hung}; another led after {led:.2f} s, ready after {ready - stopped:.2f} s"


# -- the scenarios ------------------------------------------------------------------------------------------------


def restarts(asked: argparse.Namespace, load: bool) -> list[str]:
    """PostgreSQL restarted ``times`` times."""
    kind = "load" if load else "idle"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cambista-outage-")))
        postgres = stack.enter_context(own_postgres())
        url = stack.enter_context(fresh_postgres(postgres.url))
        firm = prepare(url)
        desk = installation(asked, stack, url, folder)
        outage = Outage(asked, desk, firm)
        try:
            print(f"{kind}: first start, ready after {desk.start():.2f} s", flush=True)
            if desk.engines:
                desk.wait_for_standby()
            for number in range(1, asked.times + 1):
                chance = random.Random(f"{asked.seed}:{kind}:{number}")
                time.sleep(chance.uniform(0.2, 1.2))
                name = f"{kind}{number}"
                with Watch(desk) as watch:
                    watch.wait_ready(0)
                    if load:
                        strike = lambda: outage.restart(name, watch, postgres, chance)  # noqa: B023,E731
                        said = outage.under_load(name, watch, strike, chance.uniform(0.3, 1.5))
                    else:
                        said = outage.restart(name, watch, postgres, chance)
                        since = time.monotonic()
                        said += "; " + outage.idle_order(name)
                        outage.still_ready(name, watch, since)
                print(f"{kind} {number:2}: {said}; {len(outage.breaks)} breaks", flush=True)
        except AssertionError as error:
            outage.proof.broken(kind, f"given up: {error}")
        finally:
            desk.kill()
        return verdict(f"{kind}, layout {asked.layout}: {asked.times} restarts", outage)


def hangs(asked: argparse.Namespace) -> list[str]:
    """The leader of two engines hangs ``hangs`` times, under load."""
    asked = argparse.Namespace(**{**vars(asked), "layout": "many"})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cambista-outage-")))
        postgres = stack.enter_context(own_postgres())
        url = stack.enter_context(fresh_postgres(postgres.url))
        firm = prepare(url)
        desk = installation(asked, stack, url, folder)
        outage = Outage(asked, desk, firm)
        try:
            print(f"hang: first start, ready after {desk.start():.2f} s", flush=True)
            desk.wait_for_standby()
            for number in range(1, asked.hangs + 1):
                name = f"hang{number}"
                with Watch(desk) as watch:
                    watch.wait_ready(0)
                    said = outage.under_load(name, watch, lambda: outage.hang(name, watch))  # noqa: B023
                print(f"hang {number:2}: {said}; {len(outage.breaks)} breaks", flush=True)
        except AssertionError as error:
            outage.proof.broken("hang", f"given up: {error}")
        finally:
            desk.kill()
        return verdict(f"{asked.hangs} hangs of the leader", outage)


def full_disk(asked: argparse.Namespace) -> list[str]:
    """SQLite on a small file system that is filled to the last byte during a burst, and freed again."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cambista-outage-")))
        disk = folder / "disk"
        disk.mkdir()
        prepared = folder / "prepared.db"
        firm = prepare(f"sqlite:///{prepared}")
        desk = Installation(f"sqlite:///{disk / 'full.db'}", folder)
        server = desk.webs[0]
        server.command = on_small_disk(disk, prepared)
        outage = Outage(asked, desk, firm)
        try:
            print(f"disk: first start, ready after {desk.start():.2f} s", flush=True)
            assert server.process is not None
            seen = Path(f"/proc/{server.process.pid}/root") / str(disk).lstrip("/") / "fill"
            with Watch(desk) as watch:
                watch.wait_ready(0)
                said = outage.under_load("disk", watch, lambda: fill_and_free(outage, watch, server, seen))
            print(f"disk: {said}", flush=True)
        except AssertionError as error:
            outage.proof.broken("disk", f"given up: {error}")
        finally:
            desk.kill()
        return verdict("a full disk", outage)


def fill_and_free(outage: Outage, watch: Watch, server: Server, fill: Path) -> str:
    """Fill the disk until the engine is silent, look at what still works, free it."""
    with fill.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    filled = time.monotonic()
    wait_until(lambda: watch.samples[-1].status == 503, LIMIT_SECONDS, "/ready stays 200 on a full disk")
    unready = time.monotonic() - filled
    caller = server.caller(outage.firm.clients[0])
    time.sleep(1)
    body = {"symbol": "BTC/USDT", "side": "BUY", "type": "MARKET", "qty": "0.02"}
    status, answer = caller.call("POST", "/api/v1/orders", body)
    if status != 503:
        outage.proof.broken("disk", f"an order on a full disk was answered {status} {answer}")
    read = caller.call("GET", "/api/v1/orders?limit=1")[0]
    if read != 200:
        outage.proof.broken("disk", f"reading on a full disk was answered {read}")
    caller.close()
    outage.judge("disk", watch.between(filled, time.monotonic()), datetime.now(UTC) - timedelta(seconds=60))
    fill.unlink()
    freed = time.monotonic()
    ready = watch.wait_ready(freed) - freed
    outage.back.append(ready)
    if ready > outage.asked.lead_seconds:
        outage.proof.broken("disk", f"ready {ready:.2f} s after the disk was freed only")
    return f"/ready 503 after {unready:.2f} s, an order {status}, reads {read}; ready {ready:.2f} s after it was freed"


def on_small_disk(disk: Path, prepared: Path) -> list[str]:
    """The server's command, in a mount namespace of its own where ``disk`` is a small tmpfs with the database."""
    script = (
        f"mount -t tmpfs -o size={DISK_MEGABYTES}m,mode=700 cambista '{disk}' && "
        f"cp '{prepared}' '{disk / 'full.db'}' && exec '{sys.executable}' run.py"
    )
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]
    return [*alone, "sh", "-c", script]


def installation(asked: argparse.Namespace, stack: ExitStack, url: str, folder: Path) -> Installation:
    if asked.layout == "one":
        return Installation(url, folder)
    return Installation(url, folder, webs=2, engines=2, REDIS_URL=stack.enter_context(redis_server()).url)


def verdict(what: str, outage: Outage) -> list[str]:
    back = outage.back or [0.0]
    print(
        f"{what}: ready again after at most {max(back):.2f} s, median {statistics.median(back):.2f} s; "
        f"{outage.samples} looks at /ready, {outage.unready} of them 503; {outage.accepted} orders accepted, "
        f"{outage.refusals} times 503, {outage.unanswered} times no answer; {len(outage.breaks)} breaks",
        flush=True,
    )
    for problem in outage.breaks[:30]:
        print(f"  {problem[:600]}", flush=True)
    if outage.breaks:
        for process in outage.desk.processes:
            lines = [line for line in process.tail(200_000).splitlines() if "[info " not in line]
            print(f"the end of the log of {process.name}:\n" + "\n".join(lines[-40:]), file=sys.stderr)
    return [f"{what}: {problem}" for problem in outage.breaks]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("idle", "load", "hang", "disk"))
    parser.add_argument("--layout", choices=("one", "many"), default="one", help="of the restarts")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--hangs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lead-seconds", type=float, default=5, help="longest time until it is ready again")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    scenarios: dict[str, Callable[[], list[str]]] = {
        "idle": lambda: restarts(asked, load=False),
        "load": lambda: restarts(asked, load=True),
        "hang": lambda: hangs(asked),
        "disk": lambda: full_disk(asked),
    }
    if asked.only == "disk" and shutil.which("unshare") is None:
        parser.error("the full disk needs unshare (util-linux)")
    breaks = [problem for name, run in scenarios.items() if asked.only in (None, name) for problem in run()]
    print(f"outages: {len(breaks)} breaks")
    return 1 if breaks else 0


if __name__ == "__main__":
    sys.exit(main())
