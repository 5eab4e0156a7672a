"""Whatever is changed, removed, added or moved under a seal is found."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackfluence.errors import JournalDiverged
from stackfluence.events.seal import (
    Opening,
    Seal,
    broken_link,
    check_view,
    inclusion_proof,
    is_included,
    leaf_hash,
    node_hash,
    read_seal,
    root,
    seal_leaves,
)

leaves = st.lists(st.binary(max_size=20), min_size=1, max_size=70, unique=True)


def by_definition(hashes: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if len(hashes) < 2:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    half = 1
    while half * 2 < len(hashes):
        half *= 2
    return node_hash(by_definition(hashes[:half]), by_definition(hashes[half:]))


@given(leaves)
def test_the_root_is_that_of_rfc_6962(found: list[bytes]) -> None:
    hashes = [leaf_hash(leaf) for leaf in found]
    assert root(hashes) == by_definition(hashes)


def test_an_empty_trees_root_is_the_hash_of_nothing() -> None:
    assert root([]) == by_definition([])


@given(leaves, st.integers(1, 6))
def test_roots_of_whole_subtrees_may_stand_for_their_leaves(found: list[bytes], height: int) -> None:
    hashes = [leaf_hash(leaf) for leaf in found]
    step = 1 << height
    assert root([root(hashes[at : at + step]) for at in range(0, len(hashes), step)]) == root(hashes)


@given(leaves, st.data())
def test_a_leaf_is_proved_at_its_place_and_nowhere_else(found: list[bytes], data: st.DataObject) -> None:
    hashes = [leaf_hash(leaf) for leaf in found]
    index = data.draw(st.integers(0, len(found) - 1))
    path = inclusion_proof(hashes, index)
    expected = root(hashes)
    assert is_included(found[index], index, len(found), path, expected)
    assert not is_included(found[index] + b"x", index, len(found), path, expected)
    assert not is_included(found[index], index + len(found), len(found), path, expected)
    other = data.draw(st.integers(0, len(found) - 1))
    if other != index:
        assert not is_included(found[index], other, len(found), path, expected)
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        changed = [*path[:at], bytes(32), *path[at + 1 :]]
        assert not is_included(found[index], index, len(found), changed, expected)
        assert not is_included(found[index], index, len(found), path[:-1], expected)
    assert not is_included(found[index], index, len(found), [*path, bytes(32)], expected)


@given(st.lists(st.binary(max_size=20), min_size=2, max_size=40, unique=True), st.data())
def test_a_changed_removed_or_moved_leaf_changes_the_root(found: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(found) - 1))
    to = data.draw(st.integers(0, len(found) - 1))
    changed, removed, moved = list(found), list(found), list(found)
    changed[at] += b"x"
    del removed[at]
    moved.insert(to, moved.pop(at))
    expected = root([leaf_hash(leaf) for leaf in found])
    assert root([leaf_hash(leaf) for leaf in changed]) != expected
    assert root([leaf_hash(leaf) for leaf in removed]) != expected
    assert (root([leaf_hash(leaf) for leaf in moved]) == expected) == (at == to)


def test_a_place_outside_of_the_tree_has_no_proof() -> None:
    with pytest.raises(IndexError):
        inclusion_proof([leaf_hash(b"a")], 1)


def sealed(first_seq: int = 1, previous: str = "", node: str = "n_1") -> Seal:
    found = [("org_0000001", b"a"), ("org_0000002", b"b"), ("org_0000001", b"c")]
    return seal_leaves(node, first_seq, previous, found, lines=3)


def test_sealing_again_gives_the_same_bytes() -> None:
    assert sealed().line() == sealed().line()
    assert read_seal(sealed().line()) == sealed()


def test_a_seal_covers_each_organizations_count_and_root() -> None:
    seal = sealed()
    assert seal.organizations["org_0000001"] == Opening(2, root([leaf_hash(b"a"), leaf_hash(b"c")]).hex())
    assert (seal.first_seq, seal.last_seq) == (1, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"last_seq": 4},
        {"previous": "00"},
        {"node": "n_2"},
        {"entries": []},
        {"v": 2},
        {"organizations": {"org_0000001": {"leaves": 3, "root": "00" * 32}}},
        {"seal_hash": "00"},
    ],
)
def test_a_changed_line_of_the_seals_is_found(change: dict[str, Any]) -> None:
    line = msgspec.json.encode(msgspec.json.decode(sealed().line()) | change)
    with pytest.raises(JournalDiverged):
        read_seal(line)


def test_an_organization_sees_its_own_entry_and_nothing_of_others() -> None:
    view = sealed().view("org_0000001")
    assert check_view(view)
    assert view["own"] == {"organization_id": "org_0000001", "leaves": 2, "root": view["own"]["root"]}
    assert "org_0000002" not in str(view)
    assert len(view["seal"]["entries"]) == 2
    assert check_view(sealed().view("org_0000009"))


@pytest.mark.parametrize(("field", "wrong"), [("leaves", 1), ("root", "00" * 32), ("organization_id", "org_0000002")])
def test_an_entry_opened_wrongly_is_found(field: str, wrong: Any) -> None:
    view = sealed().view("org_0000001")
    assert not check_view(view | {"own": view["own"] | {field: wrong}})


def test_a_view_of_another_seal_is_found() -> None:
    view = sealed().view("org_0000001")
    assert not check_view(view | {"seal": view["seal"] | {"last_seq": 9}})


def test_a_missing_changed_or_moved_seal_breaks_the_chain() -> None:
    first = sealed()
    second = sealed(4, first.seal_hash)
    third = sealed(1, second.seal_hash, "n_2")
    chain = [first, second, third]
    assert broken_link(chain) is None
    assert broken_link([second, third], first.seal_hash) is None
    assert broken_link([first, third]) == 1
    assert broken_link([second, first, third]) == 0
    assert broken_link([first, sealed(5, first.seal_hash), third]) == 1, "lines 4 are missing"
    assert broken_link([second, third]) == 0
