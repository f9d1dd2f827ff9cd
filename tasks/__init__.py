"""How a step runs: Prefect tasks, their retries, cache keys, artifacts and MLflow logging."""

import vitrine  # noqa: F401  (switches telemetry off before Prefect is imported)
