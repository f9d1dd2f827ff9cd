"""Nothing that Vitrine is built on reports home unless its user says so."""

import os

OPT_OUTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def opt_out() -> None:
    """Switch telemetry off wherever the environment does not speak of it. Libraries read this when imported."""
    for name, value in OPT_OUTS.items():
        os.environ.setdefault(name, value)
