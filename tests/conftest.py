"""A Prefect server with a database of its own, started once for all tests that run flows in this process."""

import pytest

import vitrine  # noqa: F401  (switches telemetry off before Prefect is imported)


@pytest.fixture(scope="session")
def prefect_server():
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # At the end of a flow run Prefect waits up to a second for the thread that sends the run's heartbeats.
    without_heartbeats = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with prefect_test_harness(server_startup_timeout=120), without_heartbeats:
        yield
