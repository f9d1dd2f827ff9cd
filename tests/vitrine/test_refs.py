from vitrine.config import Frozen
from vitrine.refs import Ref, refs_in


def ref(path):
    return Ref(path=path, digest="0" * 64, rows=1)


class Inner(Frozen):
    table: Ref
    count: int = 3


class Outer(Frozen):
    name: str
    first: Ref
    none: Ref | None = None
    many: tuple[Ref, ...]
    inner: Inner
    deep: tuple[tuple[Inner, ...], ...]
    by_name: dict[str, Ref]


def test_every_ref_is_found_however_deep():
    result = Outer(
        name="a",
        first=ref("first"),
        many=(ref("many/0"), ref("many/1")),
        inner=Inner(table=ref("inner")),
        deep=((Inner(table=ref("deep/0")),), (Inner(table=ref("deep/1")), Inner(table=ref("deep/2")))),
        by_name={"a": ref("by_name/a")},
    )
    expected = ["first", "many/0", "many/1", "inner", "deep/0", "deep/1", "deep/2", "by_name/a"]
    assert [found.path for found in refs_in(result)] == expected
    assert [found.path for found in refs_in([result, ref("beside")])] == [*expected, "beside"]


def test_a_ref_is_its_own():
    assert list(refs_in(ref("alone"))) == [ref("alone")]


def test_what_holds_none():
    for value in (None, 3, "images/ab/cd/abcd", {"path": "a", "digest": "b", "rows": 1}, (), [1, "a"]):
        assert list(refs_in(value)) == []
