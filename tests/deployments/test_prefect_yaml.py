"""prefect.yaml: what it registers can be loaded, and a worker runs it for a real server."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint

from tests.catalogs import ROOT, read_rows, write_catalog

BIN = Path(sys.executable).parent
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: str(deployment["name"]))
def test_flow_loads_and_takes_its_parameters(deployment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    flow.validate_parameters(deployment["parameters"])
    assert deployment["description"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A Prefect of its own: home, database and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MLFLOW"))}
    return kept | {
        "HOME": str(tmp_path),
        "PATH": f"{BIN}:{kept['PATH']}",
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


@pytest.fixture
def server(environment: dict[str, str]) -> Iterator[str]:
    """A running Prefect server's URL."""
    process = subprocess.Popen(
        [BIN / "prefect", "server", "start"], env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = environment["PREFECT_API_URL"]
    try:
        wait_until(lambda: is_up(url), seconds=120)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def wait_until(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)


def test_worker_runs_a_deployment(server: str, environment: dict[str, str], tmp_path: Path) -> None:
    rows = read_rows(ROOT / "sample_catalog/catalog.csv")[:16]
    catalog = write_catalog(tmp_path, [{"item_id": row["item_id"], "image": Path(row["image"]).name} for row in rows])
    for row in rows:
        image = ROOT / "sample_catalog" / row["image"]
        (tmp_path / image.name).write_bytes(image.read_bytes())

    def prefect(*arguments: str) -> None:
        done = subprocess.run(
            [BIN / "prefect", "--no-prompt", *arguments], env=environment, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    prefect("work-pool", "create", "--type", "process", "vitrine")
    prefect("deploy", "--all")
    parameters = {"config": {"catalog": {"path": str(catalog)}, "store": str(tmp_path / "store")}}
    deployment = httpx.get(f"{server}/deployments/name/catalog-features/catalog-features").json()
    assert "RunConfig" in str(deployment["parameter_openapi_schema"])
    run = httpx.post(
        f"{server}/deployments/{deployment['id']}/create_flow_run",
        json={"parameters": parameters, "state": {"type": "SCHEDULED"}},
    ).json()
    prefect("worker", "start", "--pool", "vitrine", "--run-once")

    state = httpx.get(f"{server}/flow_runs/{run['id']}").json()["state"]
    assert state["type"] == "COMPLETED", state
    assert len(list((tmp_path / "store/runs").glob("*/metrics.json"))) == 1
    artifacts = httpx.post(f"{server}/artifacts/filter", json={"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
    assert {artifact["key"] for artifact in artifacts} == {"validation", "outcomes", "metrics", "mlflow-run"}
