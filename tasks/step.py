"""A step: a Prefect task whose result, a ref, is cached by content in the store that it is called with.

The key of a result is made of the step's name, its algorithm version and its inputs, which are refs (files with
their digests) and configuration. Prefect keeps the results under `cache/` of the store as JSON, so that a run
resumes wherever it is started again, and a hit is believed only if every file that it names still has its digest.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from prefect import Task, unmapped
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.filesystems import RemoteFileSystem, WritableFileSystem
from prefect.futures import PrefectFuture
from prefect.results import ResultRecord  # type: ignore[attr-defined]  # not among its declared exports
from prefect.tasks import exponential_backoff
from pydantic_core import to_json

from vitrine.errors import VitrineError
from vitrine.refs import refs_in
from vitrine.store import Store, digest_of

P = ParamSpec("P")
R = TypeVar("R")

CACHE = "cache"
RETRIES = 2


@dataclass
class ByContent(CachePolicy):
    """Computes a step's cache key, and forgets the key's result first if it is no longer to be believed.

    Attributes:
        version: the step's algorithm version, raised whenever its results change.
        how: names of inputs that decide how the step works but not what it gives: no part of the key.
        state: reads what the inputs point to outside the store, for a step that depends on it.
    """

    version: int = 1
    how: tuple[str, ...] = ()
    state: Callable[..., str] | None = None

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002  (Prefect's interface)
        **kwargs: Any,  # noqa: ARG002  (likewise)
    ) -> str | None:
        """The key: a digest, and the file name of the result."""
        store: Store = inputs["store"]
        what = {name: value for name, value in inputs.items() if name != "store" and name not in self.how}
        state = self.state(**inputs) if self.state else None
        key = digest_of(to_json([task_ctx.task.name, self.version, what, state]))
        if not _is_believable(store, key):
            store.remove(f"{CACHE}/{key}")
        return key


def _is_believable(store: Store, key: str) -> bool:
    """Whether a result can be taken over: it is whole, final, and its files are as they were."""
    try:
        record: ResultRecord[object] = ResultRecord.deserialize(store.read_bytes(f"{CACHE}/{key}"))
    # A record that cannot be read, for whichever reason, is a record that is not there.
    except Exception:
        return False
    return getattr(record.result, "is_final", True) and all(store.holds(ref) for ref in refs_in(record.result))


class Step(Generic[P, R]):
    """Wraps a function whose first parameter is `store`. Calling it runs the task in the current flow."""

    def __init__(self, task: Task[..., R]) -> None:
        self._task = task

    def __call__(self, store: Store, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the task and wait for its result."""
        return self._in(store)(store, *args, **kwargs)

    def map(self, store: Store, over: Iterable[object], *constants: object) -> list[PrefectFuture[R]]:
        """Run one task for each value of the second parameter; the parameters after it are the same for all."""
        values = list(over)
        return list(self._in(store).map(unmapped(store), values, *(unmapped(constant) for constant in constants)))

    def _in(self, store: Store) -> Task[..., R]:
        return self._task.with_options(result_storage=_result_storage(store))


def step(
    name: str, version: int, how: tuple[str, ...] = (), state: Callable[..., str] | None = None
) -> Callable[[Callable[Concatenate[Store, P], R]], Step[P, R]]:
    """Make a function a step. See `ByContent` for what goes into its cache key."""

    def wrap(function: Callable[Concatenate[Store, P], R]) -> Step[P, R]:
        task: Task[..., R] = Task(
            function,
            name=name,
            cache_policy=ByContent(version=version, how=how, state=state),
            persist_result=True,
            result_serializer="json",
            retries=RETRIES,
            retry_delay_seconds=exponential_backoff(2),
            retry_jitter_factor=0.5,
            retry_condition_fn=is_worth_a_retry,
        )
        return Step(task)

    return wrap


def is_worth_a_retry(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001  (Prefect's interface)
    """Not when the input or the environment is at fault: the same would happen again."""
    return not isinstance(state.result(raise_on_failure=False), VitrineError)


def _result_storage(store: Store) -> WritableFileSystem | Path:
    if store.is_local:
        return store.local_root / CACHE
    block = RemoteFileSystem(basepath=f"{store.root.rstrip('/')}/{CACHE}")
    block.save(f"vitrine-{digest_of(store.root.encode())[:12]}", overwrite=True)
    return block
