"""Which steps run, in what order: Prefect flows."""

import vitrine  # noqa: F401  (switches telemetry off before Prefect is imported)
