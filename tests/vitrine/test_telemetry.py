"""What the environment of a fresh process says after the import."""

import json
import os
import subprocess
import sys

import pytest

OFF = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
PRINT = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_after(code, **own):
    environment = {name: value for name, value in os.environ.items() if name not in OFF} | own
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{PRINT}"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("code", ["import vitrine", "import vitrine.store", "import tasks"])
def test_nothing_reports_home(code):
    after = environment_after(code)
    assert {name: after.get(name) for name in OFF} == OFF


def test_a_users_own_setting_stays():
    own = {"PREFECT_SERVER_ANALYTICS_ENABLED": "true", "DO_NOT_TRACK": "0", "MLFLOW_DISABLE_TELEMETRY": ""}
    after = environment_after("import vitrine", **own)
    assert {name: after.get(name) for name in OFF} == OFF | own


def test_the_libraries_believe_it():
    code = """
import vitrine
import huggingface_hub.constants, prefect.settings
assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY
assert not prefect.settings.get_current_settings().server.analytics_enabled
"""
    environment_after(code)
