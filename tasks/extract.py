"""Extract: a feature for every image that the store does not hold one of yet, a task a shard."""

from functools import lru_cache

import pyarrow.compute as pc
from prefect import task
from prefect.logging import get_run_logger

from tasks.progress import Paced
from tasks.step import step
from vitrine.config import EncoderConfig
from vitrine.encoders.encoder import Encoder
from vitrine.extraction import Plan, Shard, ShardResult, extract_shard, plan_shards
from vitrine.ledger import OK
from vitrine.results import Downloads, EncoderInfo
from vitrine.store import Store


@lru_cache(maxsize=1)
def _encoder(config: EncoderConfig) -> Encoder:
    """The encoder, loaded once in a process."""
    return Encoder(config)


@task(name="load encoder")
def load_encoder(config: EncoderConfig) -> EncoderInfo:
    """Load the encoder, so that a run without weights ends before it downloads anything."""
    encoder = _encoder(config)
    get_run_logger().info("%s on %s, fingerprint %s", encoder.name, encoder.device, encoder.fingerprint[:12])
    return EncoderInfo(name=encoder.name, fingerprint=encoder.fingerprint, dim=encoder.dim)


@task(name="plan extraction")
def plan_extraction(store: Store, downloads: Downloads, encoder: EncoderInfo, shard_size: int) -> Plan:
    """Cut the images without a feature into shards. Not cached: it asks what the store holds now."""
    ledger = store.read_table(downloads.ledger.path, columns=["sha256", "status"])
    images = ledger.filter(pc.equal(ledger["status"], OK))["sha256"].to_pylist()
    plan = plan_shards(store, encoder.folder, images, shard_size)
    get_run_logger().info(
        "%d images have been extracted before, %d are to be, in %d shards",
        plan.n_reused,
        plan.n_images,
        len(plan.shards),
    )
    return plan


@step("extract", version=1, how=("config",))
def extract(store: Store, shard: Shard, encoder: EncoderInfo, config: EncoderConfig) -> ShardResult:
    """Embed one shard and write its feature file."""
    logger = get_run_logger()
    report = Paced[int](lambda done: logger.info("%d of %d images of this shard", done, len(shard.sha256s)))
    result = extract_shard(store, encoder.folder, _encoder(config), shard, config.batch_size, report)
    logger.info(
        "%d images in %.1f s, %.0f images/s, %d failed",
        result.file.rows,
        result.seconds,
        result.file.rows / result.seconds,
        result.n_failed,
    )
    return result
