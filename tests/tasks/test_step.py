"""Steps in real flows: when a result is taken over, and when it is made anew."""

import uuid

import pytest
from prefect import flow

from tasks.step import CACHE, RETRIES, Step, step
from vitrine.config import Frozen
from vitrine.errors import StoreError
from vitrine.refs import Ref
from vitrine.store import Store

pytestmark = pytest.mark.usefixtures("prefect_server")


class Setting(Frozen):
    letter: str = "x"
    times: int = 3


class Work(Frozen):
    """How it is done."""

    threads: int = 1


ONE_THREAD = Work()


class Outcome(Frozen):
    files: tuple[Ref, ...]
    failed: int = 0

    @property
    def is_final(self):
        return not self.failed


@pytest.fixture(params=["folder", "memory"])
def store(request, tmp_path):
    if request.param == "folder":
        yield Store(str(tmp_path / "store"))
        return
    store = Store(f"memory://{uuid.uuid4().hex}")
    yield store
    store.filesystem.rm(store.path(""), recursive=True)


@pytest.fixture
def folder(tmp_path):
    return Store(str(tmp_path / "store"))


def in_a_flow(work):
    """Run `work` in a flow run of its own, and return what it returns."""

    @flow(name=f"test {uuid.uuid4().hex[:8]}")
    def run():
        return work()

    return run()


class Writer:
    """A step that writes a file, and a list of the calls that reached its function."""

    def __init__(self, version=1, name="write", state=None):
        self.calls = []

        @step(name, version=version, how=("work",), state=state)
        def write(store: Store, setting: Setting, inputs: tuple[Ref, ...] = (), work: Work = ONE_THREAD) -> Outcome:
            self.calls.append((setting, inputs, work))
            data = setting.letter.encode() * setting.times + b"".join(store.read_ref(ref) for ref in inputs)
            return Outcome(files=(store.write_bytes(f"out/{setting.letter}{setting.times}.txt", data),))

        self.step = write

    def __call__(self, *args, **kwargs):
        return in_a_flow(lambda: self.step(*args, **kwargs))


class TestHits:
    def test_the_second_call_is_a_hit(self, store):
        write = Writer()
        first = write(store, Setting())
        assert store.read_ref(first.files[0]) == b"xxx"
        assert write(store, Setting()) == first
        assert isinstance(write(store, Setting()), Outcome)
        assert len(write.calls) == 1

    def test_within_one_flow_run_too(self, folder):
        write = Writer()
        first, second = in_a_flow(lambda: (write.step(folder, Setting()), write.step(folder, Setting())))
        assert first == second
        assert len(write.calls) == 1

    def test_the_same_step_made_again_takes_it_over(self, folder):
        first = Writer()(folder, Setting())
        again = Writer()
        assert again(folder, Setting()) == first
        assert again.calls == []

    def test_a_fresh_store_knows_nothing(self, store, tmp_path):
        write = Writer()
        write(store, Setting())
        fresh = Store(str(tmp_path / "fresh"))
        outcome = write(fresh, Setting())
        assert len(write.calls) == 2
        assert fresh.holds(outcome.files[0])

    def test_a_store_that_has_moved_keeps_its_results(self, folder, tmp_path):
        write = Writer()
        first = write(folder, Setting())
        (tmp_path / "store").rename(tmp_path / "moved")
        assert write(Store(str(tmp_path / "moved")), Setting()) == first
        assert len(write.calls) == 1

    def test_positional_or_by_name_is_the_same(self, folder):
        write = Writer()
        write(folder, Setting())
        write(folder, setting=Setting())
        write(folder, Setting(), ())
        assert len(write.calls) == 1


class TestKeys:
    def test_another_setting_is_another_result(self, folder):
        write = Writer()
        write(folder, Setting())
        outcome = write(folder, Setting(times=4))
        assert folder.read_ref(outcome.files[0]) == b"xxxx"
        assert len(write.calls) == 2
        write(folder, Setting())
        assert len(write.calls) == 2

    def test_another_input_is_another_result(self, folder):
        write = Writer()
        one = folder.write_bytes("in.txt", b"one")
        write(folder, Setting(), (one,))
        write(folder, Setting(), (one,))
        assert len(write.calls) == 1
        two = folder.write_bytes("in.txt", b"two")
        assert folder.read_ref(write(folder, Setting(), (two,)).files[0]) == b"xxxtwo"
        assert len(write.calls) == 2

    def test_another_version_is_another_result(self, folder):
        Writer(version=1)(folder, Setting())
        newer = Writer(version=2)
        newer(folder, Setting())
        assert len(newer.calls) == 1

    def test_another_name_is_another_step(self, folder):
        Writer()(folder, Setting())
        other = Writer(name="write otherwise")
        other(folder, Setting())
        assert len(other.calls) == 1

    def test_how_the_work_is_done_does_not_matter(self, folder):
        write = Writer()
        first = write(folder, Setting(), work=Work(threads=1))
        assert write(folder, Setting(), work=Work(threads=8)) == first
        assert write(folder, Setting()) == first
        assert len(write.calls) == 1

    def test_state_outside_the_store_matters(self, folder, tmp_path):
        source = tmp_path / "source.txt"
        source.write_text("one")
        write = Writer(state=lambda **_: source.read_text())
        write(folder, Setting())
        write(folder, Setting())
        assert len(write.calls) == 1
        source.write_text("two")
        write(folder, Setting())
        assert len(write.calls) == 2


def records(store):
    return {name: store.read_bytes(name) for name in store.walk(CACHE)}


class TestBelief:
    @pytest.mark.parametrize("in_one_flow", [True, False])
    @pytest.mark.parametrize("damage", ["removed", "changed"])
    def test_a_file_that_is_not_as_it_was_is_made_again(self, store, damage, in_one_flow):
        write = Writer()

        def damaged():
            outcome = write.step(store, Setting())
            if damage == "removed":
                store.remove(outcome.files[0].path)
            else:
                store.write_bytes(outcome.files[0].path, b"overwritten")
            return outcome

        def again():
            return write.step(store, Setting())

        if in_one_flow:
            first, second = in_a_flow(lambda: (damaged(), again()))
        else:
            first, second = in_a_flow(damaged), in_a_flow(again)
        assert second == first
        assert len(write.calls) == 2
        assert store.read_ref(second.files[0]) == b"xxx"
        assert write(store, Setting()) == second
        assert len(write.calls) == 2
        assert len(records(store)) == 1

    def test_the_record_is_replaced_by_the_new_result(self, folder):
        sizes = iter([3, 5])

        @step("grow", version=1)
        def grow(store: Store) -> Ref:
            return store.write_bytes("out.txt", b"x" * next(sizes))

        first = in_a_flow(lambda: grow(folder))
        before = records(folder)
        folder.remove(first.path)
        second = in_a_flow(lambda: grow(folder))
        after = records(folder)
        assert first != second
        assert before.keys() == after.keys()
        assert before != after
        assert in_a_flow(lambda: grow(folder)) == second

    def test_a_result_that_is_not_final_is_not_believed(self, store):
        failures = iter([2, 1, 0])
        calls = []

        @step("try", version=1)
        def attempt(store: Store) -> Outcome:
            calls.append(1)
            return Outcome(files=(store.write_bytes("out.txt", b"x"),), failed=next(failures))

        outcomes = [in_a_flow(lambda: attempt(store)) for _ in range(5)]
        assert [outcome.failed for outcome in outcomes] == [2, 1, 0, 0, 0]
        assert len(calls) == 3

    @pytest.mark.parametrize("garbage", [b"", b"no JSON", b"{}", b'{"metadata": {}, "result": "e30="}', b"\xff\xfe"])
    def test_a_record_that_is_garbage_is_ignored(self, folder, garbage):
        write = Writer()
        first = write(folder, Setting())
        (name,) = records(folder)
        folder.write_bytes(name, garbage)
        assert write(folder, Setting()) == first
        assert len(write.calls) == 2
        assert records(folder)[name] != garbage
        write(folder, Setting())
        assert len(write.calls) == 2

    def test_a_record_that_is_cut_off_is_ignored(self, folder):
        write = Writer()
        first = write(folder, Setting())
        ((name, data),) = records(folder).items()
        folder.write_bytes(name, data[: len(data) // 2])
        assert write(folder, Setting()) == first
        assert len(write.calls) == 2


class TestRetries:
    def failing(self, errors):
        """A step that raises these errors, one a call, and then succeeds. Its retries do not wait."""
        left = iter(errors)
        calls = []

        @step("fail", version=1)
        def fail(store: Store) -> Ref:
            calls.append(1)
            error = next(left, None)
            if error:
                raise error
            return store.write_bytes("out.txt", b"x")

        return Step(fail._task.with_options(retry_delay_seconds=0)), calls

    def test_an_error_of_the_user_is_not_retried(self, folder):
        fail, calls = self.failing([StoreError("the disk is full")] * 9)
        with pytest.raises(StoreError, match="the disk is full"):
            in_a_flow(lambda: fail(folder))
        assert len(calls) == 1

    def test_another_error_is_retried(self, folder):
        fail, calls = self.failing([ConnectionError("for now")] * RETRIES)
        ref = in_a_flow(lambda: fail(folder))
        assert folder.holds(ref)
        assert len(calls) == RETRIES + 1
        in_a_flow(lambda: fail(folder))
        assert len(calls) == RETRIES + 1

    def test_not_for_ever(self, folder):
        fail, calls = self.failing([ConnectionError("for ever")] * 9)
        with pytest.raises(ConnectionError, match="for ever"):
            in_a_flow(lambda: fail(folder))
        assert len(calls) == RETRIES + 1

    def test_an_error_is_no_result(self, folder):
        fail, calls = self.failing([StoreError("the disk is full")])
        with pytest.raises(StoreError):
            in_a_flow(lambda: fail(folder))
        assert folder.holds(in_a_flow(lambda: fail(folder)))
        assert len(calls) == 2


class TestMap:
    def test_one_task_for_each_value(self, store):
        write = Writer()
        settings = [Setting(letter=letter) for letter in "abcd"]

        def run(settings):
            return in_a_flow(lambda: [future.result() for future in write.step.map(store, settings, (), Work())])

        outcomes = run(settings)
        assert [store.read_ref(outcome.files[0]) for outcome in outcomes] == [b"aaa", b"bbb", b"ccc", b"ddd"]
        assert len(write.calls) == 4
        assert run(iter([Setting(letter="e"), *settings]))[1:] == outcomes
        assert len(write.calls) == 5

    def test_constants_are_the_same_for_all(self, folder):
        write = Writer()
        inputs = (folder.write_bytes("1", b"one"), folder.write_bytes("2", b"two"))
        settings = [Setting(letter=letter) for letter in "abc"]
        in_a_flow(lambda: [future.result() for future in write.step.map(folder, settings, inputs, Work(threads=5))])
        assert sorted(call[0].letter for call in write.calls) == ["a", "b", "c"]
        assert {call[1:] for call in write.calls} == {(inputs, Work(threads=5))}

    def test_nothing(self, folder):
        assert in_a_flow(lambda: Writer().step.map(folder, [], (), Work())) == []
