"""Seals: what a loaded range of lines commits to, so that nobody can change, drop or add an event afterwards.

The leaves of each organization form a Merkle tree of RFC 6962, section 2.1: a leaf is hashed behind a 0x00 byte, a node
behind 0x01. An organization's **entry** in the seal is SHA-256(0x02 ‖ organization_id ‖ leaves, 8 bytes big-endian ‖
root): others can't tell whose it is or how many events it counts, since the root can't be guessed. A seal names the one
before it in the same journal directory, and so on to the first.

Everything here is a function of its arguments: sealing the same leaves again gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from stackfluence.errors import JournalDiverged
from stackfluence.native import compiled

VERSION = 1
HASH_BYTES = 32


class Opening(msgspec.Struct, frozen=True):
    """What is behind one organization's entry; `root` is hex."""

    leaves: int
    root: str


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The seal of one node's lines `first_seq` to `last_seq`; `previous` is the seal hash before it, or empty."""

    node: str
    first_seq: int
    last_seq: int
    previous: str
    organizations: dict[str, Opening]

    @property
    def entries(self) -> list[str]:
        """The organizations' entries, hex, sorted: their order tells nothing."""
        return sorted(entry(name, opening).hex() for name, opening in self.organizations.items())

    def public(self) -> dict[str, Any]:
        """Return what is hashed; it names no organization."""
        return {
            "entries": self.entries,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "node": self.node,
            "previous": self.previous,
            "v": VERSION,
        }

    @property
    def seal_hash(self) -> str:
        """SHA-256, hex, of the public part as JSON with sorted keys and no white space."""
        return hash_public(self.public())

    def line(self) -> bytes:
        """Return the seal as one line of `seals.jsonl`, with what is behind the entries and the hash."""
        whole = self.public() | {"organizations": self.organizations, "seal_hash": self.seal_hash}
        return msgspec.json.encode(whole, order="sorted") + b"\n"

    def view(self, organization_id: str) -> dict[str, Any]:
        """Return the seal as one organization may see it: its own entry opened, the others opaque."""
        opening = self.organizations.get(organization_id)
        own = None if opening is None else {"organization_id": organization_id, **msgspec.to_builtins(opening)}
        return {"seal": self.public(), "seal_hash": self.seal_hash, "own": own}


class _Line(msgspec.Struct):
    seal_hash: str
    entries: list[str]
    node: str
    first_seq: int
    last_seq: int
    previous: str
    organizations: dict[str, Opening]
    v: int


def read_seal(line: bytes) -> Seal:
    """Return the seal of a `seals.jsonl` line; raises JournalDiverged when it isn't what its hash says."""
    try:
        read = msgspec.json.decode(line, type=_Line)
    except msgspec.MsgspecError as error:
        raise JournalDiverged(f"A line of seals.jsonl can't be read: {error}.") from None
    seal = Seal(
        node=read.node,
        first_seq=read.first_seq,
        last_seq=read.last_seq,
        previous=read.previous,
        organizations=read.organizations,
    )
    if read.v != VERSION or seal.seal_hash != read.seal_hash or seal.entries != read.entries:
        raise JournalDiverged(f"Seal {read.seal_hash} of {read.node} was changed.")
    return seal


def hash_public(public: Mapping[str, Any]) -> str:
    """Return the hash, hex, of a seal's public part."""
    return hashlib.sha256(msgspec.json.encode(dict(public), order="sorted")).hexdigest()


def entry(organization_id: str, opening: Opening) -> bytes:
    """Return an organization's entry in a seal."""
    count = opening.leaves.to_bytes(8, "big")
    return hashlib.sha256(b"\x02" + organization_id.encode() + count + bytes.fromhex(opening.root)).digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of an event's leaf."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the Merkle root of leaf hashes in order; an empty tree's is the hash of nothing.

    Level by level from below, a last one without a neighbour rising unchanged: the same tree as RFC 6962's division at
    the largest power of two.
    """
    if not hashes:
        return hashlib.sha256().digest()
    level = list(hashes)
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


@compiled
def root_of(hashes: bytes) -> bytes:
    """Return the Merkle root of leaf hashes that stand one behind the other."""
    return root([hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)])


def _level_above(level: Sequence[bytes]) -> list[bytes]:
    pairs = iter(level)
    above = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=False)]
    return above + list(level[len(level) & ~1 :])


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the sibling hashes from the leaf at `index` up to the root; raises IndexError outside of the tree."""
    if not 0 <= index < len(hashes):
        raise IndexError(index)
    path: list[bytes] = []
    level = list(hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _level_above(level)
        index >>= 1
    return path


def is_included(leaf: bytes, index: int, leaves: int, path: Iterable[bytes], expected_root: bytes) -> bool:
    """Whether the leaf's bytes are at `index` of the tree of so many leaves with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < leaves:
        return False
    last, found = leaves - 1, leaf_hash(leaf)
    for sibling in path:
        if last == 0 or len(sibling) != HASH_BYTES:
            return False
        if index & 1 or index == last:
            found = node_hash(sibling, found)
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            found = node_hash(found, sibling)
        index >>= 1
        last >>= 1
    return last == 0 and found == expected_root


def seal_leaves(node: str, first_seq: int, previous: str, leaves: Iterable[tuple[str, bytes]], lines: int) -> Seal:
    """Return the seal of `lines` lines from `first_seq` on; `leaves` are (organization, leaf) in order of `seq`."""
    hashes: dict[str, list[bytes]] = {}
    for organization_id, leaf in leaves:
        hashes.setdefault(organization_id, []).append(leaf_hash(leaf))
    return Seal(
        node=node,
        first_seq=first_seq,
        last_seq=first_seq + lines - 1,
        previous=previous,
        organizations={name: Opening(len(own), root(own).hex()) for name, own in sorted(hashes.items())},
    )


def check_view(view: Mapping[str, Any]) -> bool:
    """Whether a seal's view hashes to its seal hash, and the organization's own entry is among its entries."""
    if hash_public(view["seal"]) != view["seal_hash"]:
        return False
    own = view["own"]
    return (
        own is None
        or entry(own["organization_id"], Opening(own["leaves"], own["root"])).hex() in view["seal"]["entries"]
    )


def broken_link(seals: Sequence[Seal], previous: str = "") -> int | None:
    """Return the place of the first seal that doesn't follow the one before it, or None when the chain is whole.

    `previous` is the hash before the first of `seals`; empty when they are all that the directory ever sealed.
    """
    ends: dict[str, int] = {}
    for place, seal in enumerate(seals):
        begins = ends.get(seal.node, seal.first_seq - 1 if previous else 0) + 1
        if seal.previous != (seals[place - 1].seal_hash if place else previous):
            return place
        if seal.first_seq != begins or seal.last_seq < seal.first_seq:
            return place
        ends[seal.node] = seal.last_seq
    return None
