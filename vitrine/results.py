"""What each step of a run hands to the next: small frozen values that name files of the store by ref."""

from vitrine.config import Frozen, RunConfig
from vitrine.evaluation import Regression, Retrieval
from vitrine.features import feature_folder
from vitrine.refs import Ref
from vitrine.validation import Check


class EncoderInfo(Frozen):
    """An encoder without its weights."""

    name: str
    fingerprint: str
    dim: int

    @property
    def folder(self) -> str:
        """Where the store keeps its features."""
        return feature_folder(self.name, self.fingerprint)


class Catalog(Frozen):
    """A validated manifest."""

    name: str
    digest: str
    base: str
    """The folder that image paths are relative to."""
    manifest: Ref
    quarantine: Ref
    checks: tuple[Check, ...]
    docs: str
    """Name of the folder with the Data Docs."""

    @property
    def n_rows(self) -> int:
        """Rows of the catalog as it came."""
        return self.manifest.rows + self.quarantine.rows


class Downloads(Frozen):
    """A catalog's images, in the store or with a reason why not."""

    ledger: Ref
    n_retryable: int
    """Failures that a later try may mend although the catalog has not changed: those of the web."""

    @property
    def is_final(self) -> bool:
        """Whether another try could change nothing."""
        return self.n_retryable == 0


class Ledger(Frozen):
    """Every catalog row with its one outcome."""

    table: Ref
    n_ok: int
    n_failed: int
    n_quarantined: int
    n_retryable: int
    """Failures among them that another extraction may mend."""

    @property
    def is_final(self) -> bool:
        """Whether another try could change nothing."""
        return self.n_retryable == 0


class Items(Frozen):
    """One feature per item."""

    table: Ref


class Reduction(Frozen):
    """A fitted PCA and the vectors it gives."""

    pca: Ref
    images: Ref
    items: Ref
    dim: int
    explained_variance: float
    """Share of the variance that the kept components explain, 0 to 1."""
    scree: Ref


class Clusters(Frozen):
    """A fitted K-Means and the cluster of every image."""

    model: Ref
    assignments: Ref
    sizes: tuple[int, ...]
    purity: float | None
    pictures: tuple[Ref, ...]
    """Cluster sizes, then a contact sheet per cluster."""


class Index(Frozen):
    """A nearest-neighbour index, and the neighbours of every image."""

    index: Ref
    neighbors: Ref
    examples: Ref
    """A picture of some queries with their neighbours."""


class Evaluation(Frozen):
    """How good the vectors are. None where the catalog cannot tell."""

    by_item: Retrieval | None
    by_label: Retrieval | None
    probe_accuracy: float | None
    regressions: dict[str, Regression]
    """By target; targets that cannot be predicted are left out."""


class Extraction(Frozen):
    """What a flow run itself extracted."""

    n_images: int
    n_reused: int
    """Distinct images whose outcome the store held before."""
    images_per_second: float | None
    """None where nothing was extracted."""


class Results(Frozen):
    """Everything that a run's steps gave."""

    run: str
    """The run's folder in the store."""
    config: RunConfig
    encoder: EncoderInfo
    catalog: Catalog
    extraction: Extraction
    ledger: Ledger
    items: Items
    reduction: Reduction
    clusters: Clusters
    index: Index
    evaluation: Evaluation

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.removeprefix("runs/")
