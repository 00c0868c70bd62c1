"""What Prometheus reads."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from relayq.store.access import Scope
from tests.acceptance.conftest import Fleet
from tests.conftest import wait_until
from tests.server.conftest import Server


def samples(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """(name, label values…) → value."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_is_and_what_happened_is_counted(server: Server, fleet: Fleet) -> None:
    """Jobs by state, lane and worker; durations; rings."""
    fleet.start("w", slots=1)
    client = server.program("prometheus", Scope.READ)
    fleet.client.run("true").get(timeout=20)
    fleet.client.run("exit 3").result(timeout=20)
    running = fleet.client.run("sleep 60")
    waiting = fleet.client.run("sleep 60", on="w")
    wait_until(lambda: samples(client).get(("relayq_jobs", "running")) == 1, 10)
    wait_until(lambda: ("relayq_jobs_finished_total", "any", "exited", "failed", "w") in samples(client), 10)
    found = samples(client)
    assert found["relayq_broker_up",] == 1
    assert found["relayq_jobs", "succeeded"] == 1
    assert found["relayq_queue_jobs", "on:w"] == 1
    assert found["relayq_queue_age_seconds", "on:w"] > 0
    assert found["relayq_worker_up", "w"] == 1
    assert (found["relayq_worker_slots", "w"], found["relayq_worker_running", "w"]) == (1, 1)
    assert found["relayq_jobs_finished_total", "any", "exited", "succeeded", "w"] == 1
    assert found["relayq_job_duration_seconds_count", "w"] == 2
    assert found["relayq_job_wait_seconds_count", "any"] == 2
    assert found["relayq_ring_to_claim_seconds_count", "w"] >= 1
    assert found["relayq_ring_to_claim_seconds_sum", "w"] < 5 * found["relayq_ring_to_claim_seconds_count", "w"]
    for job in (waiting, running):
        job.cancel()
    running.result(timeout=20)


@pytest.mark.parametrize("fleet", [3.0], indirect=True)
def test_a_lost_machine_is_counted(server: Server, fleet: Fleet) -> None:
    """Lease expirations are what to be alerted of."""
    fleet.start("w", slots=1)
    fleet.start("x", slots=1)
    client = server.program("prometheus", Scope.READ)
    job = fleet.client.run("sleep 2; echo there")
    lost = str(wait_until(lambda: job.job().worker, 20, fleet.logs))
    fleet.workers[lost].lose_power()
    wait_until(lambda: samples(client).get(("relayq_lease_expirations_total", lost)) == 1, 20, fleet.logs)
    assert job.get(timeout=30) == "there\n"
