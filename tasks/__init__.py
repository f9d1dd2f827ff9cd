"""How a step runs: Prefect tasks, their retries, cache keys, artifacts and MLflow logging."""
