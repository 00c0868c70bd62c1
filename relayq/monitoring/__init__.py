"""Store records as status data: the one place that says how things are, for Python, command line, server and pages."""

from __future__ import annotations

from relayq.monitoring.details import AttemptRow, Explained, JobDetails, Moment, details
from relayq.monitoring.explaining import (
    Explanation,
    WorkerStatus,
    away,
    clock_time,
    duration,
    ending,
    explain,
    progress_of,
    state_word,
    worker_status,
)
from relayq.monitoring.machines import CapabilityRow, Machine, PauseRow, machine
from relayq.monitoring.overview import BrokerRow, Counts, Overview, overview, unreachable
from relayq.monitoring.rows import JobRow, WayOut, job_row, job_rows
from relayq.monitoring.spelling import as_cli, as_python

__all__ = [
    "AttemptRow",
    "BrokerRow",
    "CapabilityRow",
    "Counts",
    "Explained",
    "Explanation",
    "JobDetails",
    "JobRow",
    "Machine",
    "Moment",
    "Overview",
    "PauseRow",
    "WayOut",
    "WorkerStatus",
    "as_cli",
    "as_python",
    "away",
    "clock_time",
    "details",
    "duration",
    "ending",
    "explain",
    "job_row",
    "job_rows",
    "machine",
    "overview",
    "progress_of",
    "state_word",
    "unreachable",
    "worker_status",
]
