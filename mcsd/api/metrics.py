"""Metrics for Prometheus: current values from one `Snapshot`, counters from the events.

Labels are bounded: states, codes and routes, never the name of a container, a path or a level. The
registry is mcsd's own, so it has no metrics of the process or of other libraries by accident.
"""

from __future__ import annotations

from collections import Counter as Counters
from collections.abc import Iterable, Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mcsd.api.limits import ConnectionLimiter
from mcsd.api.reports.booleans import is_good
from mcsd.api.reports.containers import summarize
from mcsd.api.reports.models import VolumeState
from mcsd.api.reports.status import engine_reports
from mcsd.api.reports.volumes import count_states, volume_reports
from mcsd.api.service import Service
from mcsd.core.figures import Figures
from mcsd.core.isolation import Why
from mcsd.core.notices import Kind
from mcsd.core.refusals import RULES
from mcsd.core.snapshot import Event, Snapshot, Work

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BOOLEAN_CHANGES = {
    "boolean-set": "mcsd",
    "boolean-put-right": "put_right",
    "boolean-changed": "outside",
}
"""Who changed a boolean, by kind of message: mcsd, mcsd reverting a change, another program."""

SECONDS = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0)
"""Upper bounds of the histogram of walks: from an empty directory to millions of inodes."""


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mcsd_{name}", about, value=value)


def _gauges(name: str, about: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"mcsd_{name}", about, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"mcsd_{name}", about, value=value)


def _host(snapshot: Snapshot) -> Iterator[Metric]:
    selinux = snapshot.host.selinux
    info = GaugeMetricFamily("mcsd_info", "Version of the daemon.", labels=["version"])
    info.add_metric([snapshot.version], 1)
    yield info
    yield _gauge("start_time_seconds", "When the daemon started, since the epoch.", snapshot.started)
    enforces = selinux.backend == "kernel" and selinux.enabled and selinux.enforcing and selinux.mls
    yield _gauge("selinux_enforcing", "Whether the kernel enforces a policy with categories.", enforces)
    engines = engine_reports(snapshot)
    up = [(one.name, float(one.reachable)) for one in engines]
    yield _gauges("engine_up", "Whether an engine answers.", "engine", up)
    labels = [(one.name, float(bool(one.labels_containers))) for one in engines]
    yield _gauges("engine_labels_containers", "Whether an engine labels containers.", "engine", labels)
    yield _gauge("ledger_writable", "Whether the ledger can be written.", not snapshot.ledger_error)
    yield _gauge(
        "synced", "Whether all containers were looked at since the engines were reached.", snapshot.synced
    )


def _pairs(snapshot: Snapshot) -> Iterator[Metric]:
    counts = snapshot.pairs
    if counts is not None:
        states = ("free", "granted", "reserved", "quarantined", "foreign", "configured")
        values = [(state, float(getattr(counts, state))) for state in states]
        yield _gauges("pairs", "Category pairs of the configured range by state.", "state", values)


def _containers(snapshot: Snapshot) -> Iterator[Metric]:
    summary = summarize(snapshot.container_status)
    by_isolation = [
        ("isolated", float(summary.isolated)),
        ("not_isolated", float(summary.not_isolated)),
        ("passing", float(summary.passing)),
        ("not_running", float(summary.not_running)),
    ]
    yield _gauges("containers", "Containers by isolation.", "isolation", by_isolation)
    reasons = Counters(
        reason.why
        for sighting in snapshot.container_status
        if sighting.verdict.isolated is False
        for reason in sighting.verdict.reasons
    )
    yield _gauges(
        "containers_not_isolated",
        "Running containers that lack something, by what they lack; one may lack several things.",
        "reason",
        [(why.value, float(reasons[why])) for why in Why],
    )
    yield _gauge("containers_in_conflict", "Containers whose level is not separate.", summary.in_conflict)
    yield _gauge("containers_failed", "Containers that could not be handled.", summary.failed)


def _booleans(snapshot: Snapshot) -> Iterator[Metric]:
    good = sum(is_good(view) for view in snapshot.booleans)
    states = [("as_wanted", float(good)), ("not_as_wanted", float(len(snapshot.booleans) - good))]
    yield _gauges("booleans", "Booleans that the configuration names, by how they stand.", "state", states)
    leased = sum(bool(view.holdings) for view in snapshot.booleans)
    yield _gauge("booleans_leased", "Booleans that are on because a container needs them.", leased)


def _volumes(snapshot: Snapshot) -> Iterator[Metric]:
    counts = count_states(volume_reports(snapshot))
    values = [(state.value, float(counts.get(state, 0))) for state in VolumeState]
    yield _gauges("volumes", "Volumes by state.", "state", values)
    running = Counters(walk.work for walk in snapshot.walks)
    work = [(kind, float(running[kind])) for kind in get_args(Work)]
    yield _gauges("walks_running", "Walks over volumes that are running.", "work", work)


def _socket(admission: ConnectionLimiter) -> Iterator[Metric]:
    yield _gauge("api_connections", "Connections to the socket.", admission.connected)
    yield _gauge("api_streams", "Readers that follow the events.", admission.streaming)
    yield _counter("api_refused_connections", "Connections that were not let in.", admission.refused)
    yield _counter(
        "api_evicted_connections", "Waiting connections closed in favour of others.", admission.evicted
    )


def _figures(figures: Figures) -> Iterator[Metric]:
    yield HistogramMetricFamily(
        "mcsd_event_lag_seconds",
        "From the time of an engine's event until its container had been looked after.",
        buckets=figures.event_lag.cumulative(),
        sum_value=figures.event_lag.total,
    )
    resyncs = CounterMetricFamily("mcsd_resyncs", "Looks at all containers anew, by why.", labels=["reason"])
    for reason, count in figures.resyncs.items():
        resyncs.add_metric([reason], count)
    yield resyncs
    if figures.originals_bytes is not None:
        about = "What the original labels of volumes take up on disk."
        yield _gauge("originals_bytes", about, figures.originals_bytes)
    about = "Volumes in use, by how changes to their labels become known."
    yield _gauges("volumes_watched", about, "watching", figures.watched.items())
    about = "Directories that the kernel tells about."
    yield _gauge("watched_directories", about, figures.watched_directories)
    yield _gauge("stray_levels", "Levels that files outside every volume carry.", figures.stray_levels)


def _fleet(snapshot: Snapshot) -> Iterator[Metric]:
    """Return nothing for a host without a common store."""
    holding = snapshot.fleet.holding if snapshot.fleet is not None else None
    if holding is None:
        return
    yield _gauge("fleet_blocks", "Blocks of pairs that levels are granted from.", len(holding.blocks))
    about = "Whether levels are granted from the blocks that the host holds."
    yield _gauge("fleet_grants", about, holding.permission.is_proven)
    yield _gauge("fleet_trouble", "Whether something is wrong with the fleet.", holding.trouble is not None)
    yield _counter("fleet_store_requests", "Requests to the fleet's store.", holding.requests)


class _Now(Collector):
    """Collects the values at the moment of the scrape."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.admission: ConnectionLimiter | None = None
        self.figures: Figures | None = None

    def collect(self) -> Iterator[Metric]:
        snapshot = self._service.snapshot()
        yield from _host(snapshot)
        yield from _pairs(snapshot)
        yield from _containers(snapshot)
        yield from _volumes(snapshot)
        yield from _booleans(snapshot)
        yield from _fleet(snapshot)
        if self.figures is not None:
            yield from _figures(self.figures)
        if self.admission is not None:
            yield from _socket(self.admission)

    def describe(self) -> Iterable[Metric]:
        """Return nothing at registration, because there may be no snapshot yet."""
        return ()


class Metrics:
    """All metrics. Owned by the event loop's thread."""

    def __init__(self, service: Service) -> None:
        self._registry = registry = CollectorRegistry(auto_describe=False)
        self._now = _Now(service)
        registry.register(self._now)
        self._requests = Counter(
            "mcsd_api_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._events = Counter("mcsd_events", "Messages by kind.", ["kind"], registry=registry)
        self._lost = Counter(
            "mcsd_events_uncounted", "Messages that came too fast to count.", registry=registry
        )
        self._walks = Histogram(
            "mcsd_walk_duration_seconds", "How long walks took.", ["work"], buckets=SECONDS, registry=registry
        )
        self._inodes = Counter(
            "mcsd_labelled_inodes", "Inodes whose label was changed.", ["work"], registry=registry
        )
        self._refusals = Counter(
            "mcsd_volume_refusals", "Volumes that were not labelled, by rule.", ["rule"], registry=registry
        )
        self._boolean_changes = Counter(
            "mcsd_boolean_changes", "Changes of looked-after booleans, by whose.", ["by"], registry=registry
        )
        # All counters exist from the start, at 0: otherwise the first event would not be an increase.
        for kind in Kind:
            self._events.labels(kind.name.lower().replace("_", "-"))
        for rule in (*RULES, "other"):
            self._refusals.labels(rule)
        for by in BOOLEAN_CHANGES.values():
            self._boolean_changes.labels(by)
        for work in ("relabel", "restore"):
            self._walks.labels(work)
            self._inodes.labels(work)

    def answered(self, method: str, route: str, status: int) -> None:
        """Count a request. One without a route counts under `other`, whatever its path."""
        known = method if method in {"GET", "HEAD", "POST", "DELETE"} else "other"
        self._requests.labels(known, route or "other", str(status)).inc()

    def happened(self, event: Event | int) -> None:
        """Count an event, or a number of lost events."""
        if isinstance(event, int):
            self._lost.inc(event)
            return
        self._events.labels(event.kind).inc()
        match event.kind:
            case "volume-labelled":
                self._walked("relabel", event)
            case "volume-restored":
                self._walked("restore", event)
            case "volume-refused":
                rule = event.fields.get("rule", "")
                self._refusals.labels(rule if rule in RULES else "other").inc()
            case kind if kind in BOOLEAN_CHANGES:
                self._boolean_changes.labels(BOOLEAN_CHANGES[kind]).inc()

    def _walked(self, work: str, event: Event) -> None:
        self._walks.labels(work).observe(float(event.fields.get("seconds") or 0))
        self._inodes.labels(work).inc(float(event.fields.get("changed") or 0))

    def text(self, admission: ConnectionLimiter, figures: Figures) -> bytes:
        """Return all metrics in Prometheus' text format."""
        self._now.admission, self._now.figures = admission, figures
        return generate_latest(self._registry)
