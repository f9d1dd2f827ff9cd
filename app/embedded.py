"""The embedded defaults: without a Prefect or MLflow server of the user's, their databases lie in the store."""

import logging
import os
import shlex
import sys
from pathlib import Path

from vitrine.errors import StoreError, VitrineError
from vitrine.store import Store

PREFECT_DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"
DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "true",
    # On a busy machine the first start, which creates the database, takes longer than Prefect's 20 seconds.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    # MLflow tells of tables that it creates, and that a PCA cannot predict.
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


def use_store(store: Store) -> None:
    """Point Prefect at a database in the store; what the user set stays. To be called before Prefect is imported."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    if store.is_local:
        try:
            store.local_root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"{store.root}: cannot be a store: {error.strerror}. Give another folder with --store"
            ) from error
        os.environ.setdefault(PREFECT_DATABASE, _prefect_database(store))


def quiet_logs() -> None:
    """Leave on the console what a person reads: each step's own words, and tracebacks of defects alone."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_for_people)


def server_commands(store: Store) -> dict[str, str]:
    """The commands that open MLflow's and Prefect's pages on the store, by program; none for servers of the user's."""
    from prefect.settings import get_current_settings  # not before use_store

    commands = {}
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        database = shlex.quote(f"sqlite:///{store.local_root / 'mlflow.db'}")
        commands["MLflow"] = f"MLFLOW_DISABLE_TELEMETRY=true {_program('mlflow')} ui --backend-store-uri {database}"
    if not get_current_settings().api.url:
        # A database of the user's own is in their environment already, with its password.
        embedded = store.is_local and os.environ.get(PREFECT_DATABASE) == _prefect_database(store)
        database = f"{PREFECT_DATABASE}={shlex.quote(_prefect_database(store))} " if embedded else ""
        commands["Prefect"] = f"PREFECT_SERVER_ANALYTICS_ENABLED=false {database}{_program('prefect')} server start"
    return commands


def _prefect_database(store: Store) -> str:
    return f"sqlite+aiosqlite:///{store.local_root / 'prefect.db'}"


def _program(name: str) -> str:
    return shlex.quote(str(Path(sys.executable).parent / name))


def _is_for_people(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], VitrineError):
        return False
    message = record.getMessage()
    return not message.startswith("Finished in state") or "Cached" in message
