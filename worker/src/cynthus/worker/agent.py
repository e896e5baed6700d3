"""Asks for work and does it, until told to leave."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cynthus.worker.control import Notice
from cynthus.worker.link import Link, PlatformAway, Refused, deadline, delays
from cynthus.worker.runtimes import runtimes
from cynthus.worker.settings import Settings, say
from cynthus.worker.supervisor import Supervisor

if TYPE_CHECKING:
    from cynthus.worker.attempt import Attempt
    from cynthus.worker.handover import Held
    from cynthus.worker.orders import WorkOrder
    from cynthus.worker.prepull import Prepull

VERSION = "0.1.0"
_GONE = 410
_LEAVING = frozenset({401, 403, _GONE})
_POLL_MARGIN_S = 5.0
_MOST_DELAY_S = 5.0
_AGAIN_S = 1.0
_REMEMBERED = 1000


class Agent:
    """One attempt after another, in a thread of its own; `ended` is readable when it has left."""

    def __init__(self, settings: Settings, supervisor: Supervisor, held: "Held | None" = None) -> None:
        self.ended = os.eventfd(0, os.EFD_CLOEXEC)
        self.code = 1
        self._settings = settings
        self._supervisor = supervisor
        self._held = held
        self._link = Link()
        self._leaving = threading.Event()
        self._notice: Notice | None = None
        self._taking = False
        self._asked = time.monotonic()
        self._attempt: Attempt | None = None
        self._taken: dict[str, None] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._main, name="agent", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        if self._settings.notice_url:
            from cynthus.worker.notices import NoticeListener

            NoticeListener(self._settings.notice_url, self.leave).start()

    def leave(self, source: str) -> None:
        """At once when idle; else the attempt is stopped and reported first. No order is taken any more."""
        with self._lock:
            if self._notice is None:
                self._notice = Notice(source, time.monotonic(), self._settings.leave_s)
                say(f"leaving: {source}")
            self._leaving.set()
            if self._attempt is not None:
                self._attempt.leave(self._notice)
            elif not self._taking:
                self.code = 0
                os.eventfd_write(self.ended, 1)

    def _main(self) -> None:
        try:
            if self._held is None or self._do(self._held.order, self._held):
                self._work()
            self.code = 0
        except Refused as refusal:
            say(f"leaving: the platform answered {refusal}")
            self.code = 0 if refusal.status == _GONE else 1
        except PlatformAway as away:
            say(f"leaving: the platform cannot be reached ({away})")
        finally:
            os.eventfd_write(self.ended, 1)

    def _work(self) -> None:
        settings = self._settings
        hello = self._ask(f"{settings.url}/worker/v1/hello", _greeting(settings), 10.0)
        threading.Thread(target=_warm_up, args=(settings.home,), name="warm-up", daemon=True).start()
        url, wait_s = orders_url(hello["orders_url"]), float(hello.get("poll_s") or 15.0)
        question = {"machine": settings.machine, "wait_s": wait_s}
        tidy, ahead = False, self._prepull(hello)
        while not self._leaving.is_set():
            order = self._ask(url, question, wait_s + _POLL_MARGIN_S)
            if order is None and time.monotonic() < self._asked + min(_AGAIN_S, wait_s):
                self._leaving.wait(_AGAIN_S)  # a platform that is going answers at once
            if order is not None:
                tidy, self._taking = False, True
                if ahead is not None:
                    ahead.pause()
                if not self._do(order):
                    return
                self._taking = False
            elif not tidy:
                tidy = self._tidy()
                if ahead is not None:
                    ahead.go_on()

    def _prepull(self, hello: Mapping[str, Any]) -> "Prepull | None":
        if not hello.get("prepull"):
            return None
        from cynthus.worker.prepull import Prepull

        ahead = Prepull(self._settings.home, hello["prepull"])
        ahead.go_on()
        return ahead

    def _do(self, fields: Mapping[str, Any], held: "Held | None" = None) -> bool:
        """True when another attempt can follow."""
        from cynthus.worker.attempt import Attempt
        from cynthus.worker.orders import OrderInvalid, read_order

        try:
            order = read_order(fields)
        except OrderInvalid as problem:
            say(str(problem))
            self._leaving.wait(_MOST_DELAY_S)
            return True
        if order.attempt_url in self._taken:
            self._give_back(order)
            self._leaving.wait(_AGAIN_S)
            return True
        with self._lock:
            attempt = self._attempt = Attempt(
                self._settings, self._supervisor, self._link, order, held, asked=self._asked
            )
            if self._notice is not None:
                attempt.leave(self._notice)
        try:
            attempt.run()
        finally:
            with self._lock:
                self._attempt = None
            attempt.control.close()
            if attempt.ran:
                self._remember(order.attempt_url)
            if attempt.out_of_room:
                self._tidy(0)
        return not attempt.unsupervised

    def _give_back(self, order: "WorkOrder") -> None:
        """The platform waits for an attempt whose program was ended before it could be told of it."""
        from cynthus.worker.causes import Cause
        from cynthus.worker.conclusion import unstarted_report

        message = "the worker ended the program: the platform could not be reached for most of its lease"
        report = unstarted_report(Cause("worker_failed", message))
        try:
            self._link.ask(f"{order.attempt_url}/finished", order.token, report)
        except (PlatformAway, Refused) as error:
            say(f"{order.run_id}/{order.epoch} could not be given back: {error}")

    def _remember(self, attempt: str) -> None:
        """A program runs at most once in an epoch, whatever is offered again."""
        self._taken[attempt] = None
        if len(self._taken) > _REMEMBERED:
            del self._taken[next(iter(self._taken))]

    def _tidy(self, limit_bytes: int | None = None) -> bool:
        from cynthus.worker.eviction import collect
        from cynthus.worker.memory import remove_left

        remove_left()
        try:
            limit_bytes = self._settings.cache_bytes if limit_bytes is None else limit_bytes
            collect(self._settings.home, limit_bytes, keep_runs=self._settings.keep_runs)
        except OSError as error:
            say(f"the cache could not be tidied: {error}")
        return True

    def _ask(self, url: str, message: object, timeout_s: float) -> Any:
        """Ask until there is an answer. Raises Refused; PlatformAway when it stays away."""
        over: Callable[[], bool] | None = None
        for delay in self._pauses():
            try:
                self._asked = time.monotonic()
                return self._link.ask(url, self._settings.token, message, timeout_s)
            except PlatformAway:
                over = over or deadline(self._settings.idle_s)
                if over():
                    raise
            except Refused as refusal:
                over = over or deadline(self._settings.idle_s)
                if refusal.status in _LEAVING or over():
                    raise
                say(f"{url}: {refusal}")
            self._leaving.wait(delay)
        return None

    def _pauses(self) -> Iterator[float]:
        for delay in delays(0.1, _MOST_DELAY_S):
            if self._leaving.is_set():
                return
            yield delay


def orders_url(url: str) -> str:
    """Where work is asked for: the orchestrator's address, or the whole URL."""
    url = url.rstrip("/")
    return url if url.endswith("orders:next") else f"{url}/worker/v1/orders:next"


def _greeting(settings: Settings) -> dict[str, Any]:
    return {
        "machine": settings.machine,
        "pid": os.getpid(),
        "cpu": float(len(os.sched_getaffinity(0))),
        "memory_bytes": settings.memory_bytes or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "version": VERSION,
        "runtimes": runtimes(settings),
        "boot": settings.boot,
    }


def _warm_up(home: str) -> None:
    """Import what an attempt needs while there is none; clear away what a dead worker left running."""
    import cynthus.worker.attempt
    from cynthus.worker.containers.presence import names

    if names():
        import cynthus.worker.containers.runtime  # noqa: F401
        from cynthus.worker.containers import orphans

        orphans.remove(home)
