"""Which steps run, in what order: Prefect flows."""
