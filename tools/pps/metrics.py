"""What the server counts (Prometheus). Labels name routes and states, never a module, a person or an address.

Each server has a registry of its own, so several in one process do not mix. What the database knows is asked when
somebody collects it, not kept.
"""

import contextlib
import time

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy.exc import SQLAlchemyError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

ROUTE = "inkan.route"
"""Key in the ASGI scope, for routes that leave none there by themselves."""
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# A poll waits up to 25 s, so durations up to 30 s are told apart.
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)
_OTHER = "other"


class Metrics:
    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "inkan_requests", "Requests answered", ["listener", "route", "method", "status"], registry=self.registry
        )
        self._durations = Histogram(
            "inkan_request_seconds",
            "From a request's head to the end of its answer; polls include their waiting",
            ["listener", "route"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._records = Counter("inkan_readings", "Records of readings taken", registry=self.registry)
        self._reports = Counter("inkan_reports", "Reports of readings taken", registry=self.registry)

    def watch(self, services):
        """Count what goes through the services, and ask them at each collection."""
        take = services.readings.take

        def counted_take(identity, report):
            through = take(identity, report)
            self._reports.inc()
            self._records.inc(len(report.records))
            return through

        services.readings.take = counted_take
        self.registry.register(_OfServices(services))

    def measured(self, app, listener):
        """An ASGI application whose requests are counted under a listener's name."""
        return _Measured(app, listener, self._requests, self._durations)

    def text(self):
        """Everything, as Prometheus reads it (bytes)."""
        return generate_latest(self.registry)


class _Measured:
    def __init__(self, app, listener, requests, durations):
        self._app = app
        self._listener = listener
        self._requests = requests
        self._durations = durations

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # the client left, or the connection was lost, before there was an answer
        begun = time.perf_counter()
        counted = False

        def count():
            nonlocal counted
            if counted:
                return
            counted = True
            route = route_of(scope)
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            self._requests.labels(self._listener, route, method, status).inc()
            self._durations.labels(self._listener, route).observe(time.perf_counter() - begun)

        async def watched_send(message):
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body"):
                count()  # before the client has it: whoever has the answer finds it counted
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            count()


def route_of(scope):
    """The route that a request was for, as it is written in the code: /modules/{serial}; of files, their folder's.

    Else "other": what somebody made up must not become a label.
    """
    return getattr(scope.get("route"), "path", None) or scope.get(ROUTE) or scope.get("root_path") or _OTHER


class _OfServices:
    """Asked by the registry at each collection; what the database does not tell is left out, not told as 0."""

    def __init__(self, services):
        self._services = services

    def collect(self):
        services = self._services
        polls = GaugeMetricFamily("inkan_open_polls", "Requests that wait for news", labels=["of"])
        polls.add_metric(["module"], services.wakeups.total())
        polls.add_metric(["phone"], services.relay.phone_wakeups.total())
        yield polls
        with contextlib.suppress(SQLAlchemyError):
            counts = services.outbox.counts()
            outbox = GaugeMetricFamily(
                "inkan_messages",
                "Messages that wait for a gateway, were given up, or wait for an operator",
                labels=["status"],
            )
            for status, count in counts.items():
                outbox.add_metric([status], count)
            yield outbox
            alarms = services.fleet.open_alarm_count()
            yield GaugeMetricFamily("inkan_open_alarms", "Alarms that nobody has acknowledged", value=alarms)
