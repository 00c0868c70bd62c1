"""Numbers for Prometheus: what is, asked of the store when they are fetched; what happened, counted from its events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

import relayq
from relayq.errors import BrokerUnavailable
from relayq.model import Event, Job
from relayq.store import Store

#: From a command that says hello to one that takes the night.
_DURATIONS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)
_RINGS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Happenings:
    """Counters, fed by the follower of the index, which reads the records of ended jobs anyway."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.finished = Counter(
            "relayq_jobs_finished", "Jobs that have ended", ["state", "reason", "lane", "worker"], registry=registry
        )
        self.durations = Histogram(
            "relayq_job_duration_seconds",
            "Run time of the last attempt",
            ["worker"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self.waits = Histogram(
            "relayq_job_wait_seconds",
            "From submission to the first attempt",
            ["lane"],
            buckets=_DURATIONS,
            registry=registry,
        )
        self.leases = Counter(
            "relayq_lease_expirations", "Attempts whose worker lost contact", ["worker"], registry=registry
        )
        self.rings = Histogram(
            "relayq_ring_to_claim_seconds", "From a ring to the claim", ["worker"], buckets=_RINGS, registry=registry
        )
        self.events = Counter("relayq_events", "Changes of jobs", registry=registry)

    def heard(self, events: Sequence[Event], ended: Sequence[Job]) -> None:
        """Some changes, and the records of those that have ended with them."""
        self.events.inc(len(events))
        for event in events:
            if event.lost:
                self.leases.labels(event.worker).inc()
            if event.rung_for is not None:
                self.rings.labels(event.worker).observe(event.rung_for)
        for job in ended:
            self._ended(job)

    def _ended(self, job: Job) -> None:
        attempt, worker = job.attempt, job.worker or ""
        self.finished.labels(job.state, job.reason or "", job.lane, worker).inc()
        if attempt is None:
            return
        self.waits.labels(job.lane).observe(max(0.0, job.attempts[0].claimed_at - job.submitted_at))
        if attempt.outcome is not None and attempt.outcome.duration is not None:
            self.durations.labels(worker).observe(attempt.outcome.duration)


class Present(Collector):
    """Gauges; while the broker is away only `relayq_broker_up`, which is 0 then."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All of them, in a handful of calls."""
        info = GaugeMetricFamily("relayq_server_info", "The version of the server", labels=["version"])
        info.add_metric([relayq.__version__], 1)
        yield info
        broker = GaugeMetricFamily("relayq_broker_up", "Whether the broker answers")
        try:
            found = [*self._jobs(), *self._workers()]
            broker.add_metric([], 1)
        except BrokerUnavailable:
            found = []
            broker.add_metric([], 0)
        yield broker
        yield from found

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: registering must not ask a broker."""
        return []

    def _jobs(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("relayq_jobs", "Jobs by state, as long as they are kept", labels=["state"])
        for state, count in self._store.counts().items():
            jobs.add_metric([str(state)], count)
        yield jobs
        now, _ = self._store.workers()
        waiting = GaugeMetricFamily("relayq_queue_jobs", "Jobs that may be claimed", labels=["lane"])
        age = GaugeMetricFamily("relayq_queue_age_seconds", "Since the first in line was submitted", labels=["lane"])
        for queue in self._store.queues():
            waiting.add_metric([queue.lane], queue.waiting)
            age.add_metric([queue.lane], 0.0 if queue.oldest_at is None else max(0.0, now - queue.oldest_at))
        yield waiting
        yield age

    def _workers(self) -> Iterator[GaugeMetricFamily]:
        now, workers = self._store.workers()
        gauges = {
            name: GaugeMetricFamily(f"relayq_worker_{name}", text, labels=["worker"]) for name, text in _WORKER.items()
        }
        for state in workers:
            read = state.readings
            values = {
                "up": state.online,
                "accepting": state.online and not state.resting,
                "slots": state.info.slots,
                "running": state.running,
                "silent_seconds": now - state.seen_at,
                "load": state.load,
                "cpu_ratio": read.cpu,
                "memory_ratio": read.memory,
                "disk_ratio": read.disk,
                "temperature_celsius": read.temperature,
                "throttled": read.throttled is not None,
            }
            always = {"up", "accepting", "slots", "running", "silent_seconds"}
            for name, value in values.items():
                if value is not None and (state.online or name in always):
                    gauges[name].add_metric([state.info.name], float(value))
        yield from gauges.values()


_WORKER = {
    "up": "Whether it is there",
    "accepting": "Whether it takes new jobs",
    "slots": "How many jobs it runs at once",
    "running": "Attempts it holds",
    "silent_seconds": "Since it was heard",
    "load": "Load average of its machine over a minute",
    "cpu_ratio": "Processor in use",
    "memory_ratio": "Memory in use",
    "disk_ratio": "Disk in use where RELAYQ_HOME is",
    "temperature_celsius": "Temperature of the processor",
    "throttled": "Whether a Raspberry Pi is slowed down now",
}
