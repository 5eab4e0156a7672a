"""How often: clicks of a visitor, of a visitor on one link, of a network prefix, a link and an organization.

Each window is counted in two buckets, the current one and the one before, which is weighed by the share of it that a
sliding window of the same length still covers. Cloudflare published this approximation with its error over 400 million
requests: 0.003 % judged wrongly (blog.cloudflare.com, "How we built rate limiting capable of scaling to millions of
domains", 2017). Counts are kept apart by organization, so that no organization's clicks add a reason to another's.

The limits are set by the largest group of people that can look like one visitor, never by what one person does, since
an address and a phone model are shared. docs/decisions/0012-velocity-in-two-windows.md derives each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from stackfluence.native import compiled
from stackfluence.vocabulary import TrafficReason

MINUTE_MS: Final = 60_000
HALF_HOUR_MS: Final = 1_800_000
SLACK_MS: Final = 5_000  # a clock that is set back by no more goes on in the bucket it was in

# A reason is given above these, in one organization.
VISITOR_A_MINUTE: Final = 300
PAIR_A_HALF_HOUR: Final = 1_200  # one visitor on one link
PREFIX_A_MINUTE: Final = 3_000
LINK_A_MINUTE: Final = 700
ORGANIZATION_A_MINUTE: Final = 7_000

MOST: Final = 100_000  # keys in one bucket of one organization's window; a new one beyond is left out
MOST_IN_ALL: Final = 4_000_000  # keys of all organizations; from there on each may only add ASSURED to a bucket
ASSURED: Final = 1_000
_AT_ONCE: Final = 8  # keys of old buckets that a click takes away: a hundred thousand at once take 10 ms

_SWEPT: Final = 4  # organizations that are looked at when one turns

Key = Any  # str of a visitor or prefix, bytes of a link or organization, `pair_of` both

_R = TrafficReason
_ORDER = (_R.possible_duplicate, _R.visitor_velocity, _R.prefix_velocity, _R.link_velocity, _R.organization_velocity)
_DUPLICATE, _VISITOR, _PREFIX, _LINK, _ORGANIZATION = (1 << at for at in range(5))
REASONS = tuple(tuple(reason for at, reason in enumerate(_ORDER) if bits >> at & 1) for bits in range(1 << 5))


class Window:
    """One kind of key of one organization: this edge's counts in two buckets, and those of the other edges.

    `bucket` is the number of the current one since 1970. `there` and `there_before` are sums over other edges, of keys
    that were counted here too; `peaks` is the highest of the one and of the other together. What makes a click cheap:
    a key can only be above the limit when it was counted here more than `alarm` times, which is half the limit less
    `peaks`, or is one of `heavy_before`, of which the bucket before has more than half the limit.
    """

    __slots__ = (
        *("alarm", "before", "bit", "bucket", "half", "heavy", "heavy_before", "kind", "length_ms", "limit"),
        *("now", "peak", "peaks", "there", "there_before"),
    )

    def __init__(self, kind: str, bit: int, length_ms: int, limit: int) -> None:
        self.kind, self.bit, self.length_ms, self.limit = kind, bit, length_ms, limit
        self.half = self.alarm = limit // 2
        self.bucket = 0
        self.now: dict[Key, int] = {}
        self.before: dict[Key, int] = {}
        self.there: dict[Key, int] = {}
        self.there_before: dict[Key, int] = {}
        self.heavy: set[Key] = set()
        self.heavy_before: set[Key] = set()
        self.peak = self.peaks = 0

    def turn(self, bucket: int) -> list[dict[Key, int]]:
        """Go on to a bucket, which may be any; return what is not needed any more."""
        if bucket == self.bucket:
            return []
        old = [self.before, self.there_before]
        if bucket == self.bucket + 1:
            self.before, self.there_before, self.heavy_before = self.now, self.there, self.heavy
            self.peaks = self.peak
        else:  # nothing for a whole bucket, or the clock was set back
            old += [self.now, self.there]
            self.before, self.there_before, self.heavy_before = {}, {}, set()
            self.peaks = 0
        self.now, self.there, self.heavy = {}, {}, set()
        self.peak, self.alarm = 0, self.half - self.peaks
        self.bucket = bucket
        return [counts for counts in old if counts]

    def own(self, key: Key) -> tuple[int, int]:
        """Return this edge's counts of a key, in the current bucket and the one before."""
        return self.now.get(key, 0), self.before.get(key, 0)

    def learn(self, bucket: int, key: Key, count: int) -> None:
        """Take over what the other edges counted, together: it never falls; of a bucket that is over it is ignored."""
        if bucket not in (self.bucket, self.bucket - 1):
            return
        there = self.there if bucket == self.bucket else self.there_before
        if count > there.get(key, 0):
            there[key] = count
            before = self.peaks - self.peak
            if there is self.there:
                self.peak = max(self.peak, count)
            else:
                before = max(before, count)
            self.peaks = self.peak + before
            self.alarm = self.half - self.peaks

    def estimate(self, key: Key, now_ms: int) -> float:
        """Return how often a key was counted, on all edges, in the `length_ms` before now."""
        now, before = self.own(key)
        left = min(1.0, self.bucket + 1 - now_ms / self.length_ms)  # more after a clock was set back
        return now + self.there.get(key, 0) + left * (before + self.there_before.get(key, 0))

    def found(self, key: Key, now_ms: int) -> int:
        """Return the bits of the reasons for a key that was just counted, and remember it when it is heavy."""
        if self.own(key)[0] > self.half:
            self.heavy.add(key)
        return self.bit if self.estimate(key, now_ms) > self.limit else 0

    def counted(self) -> Iterator[Key]:
        """Yield every key that was counted here, some twice; clicks may be counted meanwhile."""
        for some in (self.now, self.before):
            yield from list(some)

    def size(self) -> int:
        """Return how many keys were counted here, in both buckets."""
        return len(self.now) + len(self.before)


class Pairs(Window):
    """Visitors by link, of whom a second click says something, too."""

    __slots__ = ()

    def concerns(self, key: Key) -> bool:
        """Whether a pair, of which little was counted here, was counted elsewhere or is heavy in the bucket before."""
        return key in self.there or key in self.there_before or key in self.heavy_before

    def found(self, key: Key, now_ms: int) -> int:
        """Return the bits of the reasons; a visitor's second click on a link in two buckets may be a duplicate."""
        now, before = self.own(key)
        total = now + before + self.there.get(key, 0) + self.there_before.get(key, 0)
        return super().found(key, now_ms) | (_DUPLICATE if total > 1 else 0)


def pair_of(link: bytes, visitor: str) -> bytes:
    """Return the key of a visitor on a link."""
    return b"%b\0%b" % (link, visitor.encode())


@compiled
def count_usual(
    windows: tuple[Window, ...], organization: bytes, link: bytes, visitor: str, prefix: str, most: int
) -> int:
    """Count a click in an organization's windows and return the bits of the reasons, when each tells at a glance.

    Else, a key being near its limit for one, return -1 and count nothing. Without a compiler that is always so.
    """
    return -1


class Counts:
    """An organization's windows; from `starts_ms` to `ends_ms` none needs to turn."""

    __slots__ = (
        "ends_ms",
        "everything",
        "kept",
        "links",
        "most",
        "pairs",
        "prefixes",
        "starts_ms",
        "visitors",
        "windows",
    )

    def __init__(self) -> None:
        self.visitors = Window("visitor", _VISITOR, MINUTE_MS, VISITOR_A_MINUTE)
        self.pairs = Pairs("pair", _VISITOR, HALF_HOUR_MS, PAIR_A_HALF_HOUR)
        self.prefixes = Window("prefix", _PREFIX, MINUTE_MS, PREFIX_A_MINUTE)
        self.links = Window("link", _LINK, MINUTE_MS, LINK_A_MINUTE)
        self.everything = Window("organization", _ORGANIZATION, MINUTE_MS, ORGANIZATION_A_MINUTE)
        self.windows = (self.visitors, self.pairs, self.prefixes, self.links, self.everything)
        self.starts_ms = self.ends_ms = 0
        self.most = MOST
        self.kept = 0  # keys, when they were last counted


class Velocity:
    """The counts of one edge process, touched by its event loop alone.

    `overflow` is how often a key was left out because a bucket was full: that can only hide a reason. `clicks`, unless
    it is None, collects (organization, link, visitor, prefix) for whoever exchanges counts with other edges and takes
    them away.
    """

    def __init__(self) -> None:
        self.overflow = 0
        self.clicks: list[tuple[bytes, bytes, str, str]] | None = None
        self.organizations: dict[bytes, Counts] = {}
        self._kept = 0
        self.litter: deque[dict[Key, int]] = deque()
        self._rounds: Iterator[bytes] = iter(())

    @property
    def keys(self) -> int:
        """How many keys are counted, of all kinds and organizations."""
        return sum(window.size() for counts in self.organizations.values() for window in counts.windows)

    def count(
        self, organization: bytes, link: bytes, visitor: str, prefix: str, now_ms: int
    ) -> tuple[TrafficReason, ...]:
        """Count a click, and return the reasons that its frequency gives; usually none.

        `visitor` is the visitor hash of the day, empty for those who opted out; `prefix` /24 or /48 as text, empty for
        none. `now_ms` is the clock's time: one that stands still, as the journal's stamp does after the clock was set
        back, would make a minute as long as the step.
        """
        counts = self.organizations.get(organization)
        if counts is None or not counts.starts_ms <= now_ms < counts.ends_ms:
            counts = self._turn(organization, now_ms)
        bits = count_usual(counts.windows, organization, link, visitor, prefix, counts.most)
        if bits < 0:
            bits = self._count(counts, organization, link, visitor, prefix, now_ms)
        if self.clicks is not None:
            self.clicks.append((organization, link, visitor, prefix))
        if self.litter:
            self._clear()
        return REASONS[bits]

    def _count(self, counts: Counts, organization: bytes, link: bytes, visitor: str, prefix: str, now_ms: int) -> int:
        """Count in each window; return the bits of the reasons."""
        most = counts.most
        bits = self._count_visitor(counts, link, visitor, most, now_ms) if visitor else 0
        # written out: a loop over the windows took 2.9 µs where this takes 1.8
        if prefix:
            window = counts.prefixes
            now = window.now
            seen = now.get(prefix, 0)
            if seen or len(now) < most:
                now[prefix] = seen + 1
                if seen >= window.alarm or (window.heavy_before and prefix in window.heavy_before):
                    bits |= window.bit if seen >= window.limit else window.found(prefix, now_ms)
            else:
                self.overflow += 1
        window = counts.links
        now = window.now
        seen = now.get(link, 0)
        if seen or len(now) < most:
            now[link] = seen + 1
            if seen >= window.alarm or (window.heavy_before and link in window.heavy_before):
                bits |= window.bit if seen >= window.limit else window.found(link, now_ms)
        else:
            self.overflow += 1
        window = counts.everything
        now = window.now
        seen = now.get(organization, 0)
        now[organization] = seen + 1
        if seen >= window.alarm or window.heavy_before:
            bits |= window.bit if seen >= window.limit else window.found(organization, now_ms)
        return bits

    def _count_visitor(self, counts: Counts, link: bytes, visitor: str, most: int, now_ms: int) -> int:
        """Count a visitor, and a visitor on a link; return the bits of the reasons."""
        bits = 0
        window = counts.visitors
        now = window.now
        seen = now.get(visitor, 0)
        if seen or len(now) < most:
            now[visitor] = seen + 1
            if seen >= window.alarm or (window.heavy_before and visitor in window.heavy_before):
                bits = window.bit if seen >= window.limit else window.found(visitor, now_ms)
        else:
            self.overflow += 1
        pairs, pair = counts.pairs, pair_of(link, visitor)
        now = pairs.now
        seen = now.get(pair, 0)
        if seen or len(now) < most:
            now[pair] = seen + 1
            if seen or pair in pairs.before:
                bits |= _DUPLICATE
            if seen >= pairs.limit:
                bits |= pairs.bit
            elif seen >= pairs.alarm or ((pairs.heavy_before or pairs.peaks) and pairs.concerns(pair)):
                bits |= pairs.found(pair, now_ms)
        else:
            self.overflow += 1
        return bits

    def _turn(self, organization: bytes, now_ms: int) -> Counts:
        """Bring an organization's windows to the present, and let go of what has become old elsewhere."""
        self._sweep(now_ms)
        counts = self.organizations.get(organization)
        if counts is None:
            counts = self.organizations[organization] = Counts()
        self._bring(counts, now_ms)
        counts.most = MOST if self._kept < MOST_IN_ALL else ASSURED
        return counts

    def _bring(self, counts: Counts, now_ms: int) -> None:
        for window in counts.windows:
            self.litter += window.turn(now_ms // window.length_ms)
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        counts.starts_ms, counts.ends_ms = minute_ms - SLACK_MS, minute_ms + MINUTE_MS
        kept = sum(window.size() for window in counts.windows)
        self._kept += kept - counts.kept
        counts.kept = kept

    def _sweep(self, now_ms: int) -> None:
        """Look at a few organizations: those without a click for two minutes hold old buckets.

        Each that has clicks turns once a minute and looks at some, so that all are seen within a minute.
        """
        some = list(islice(self._rounds, _SWEPT))
        if not some:
            self._rounds = iter(tuple(self.organizations))
        for organization in some:
            counts = self.organizations.get(organization)
            if counts is not None and not counts.starts_ms <= now_ms < counts.ends_ms + MINUTE_MS:
                self._bring(counts, now_ms)
                if not counts.kept:
                    del self.organizations[organization]

    def _clear(self) -> None:
        """Take some keys out of buckets that are not needed any more."""
        for _ in range(_AT_ONCE):
            oldest = self.litter[0]
            oldest.popitem()
            if not oldest:
                self.litter.popleft()
                if not self.litter:
                    return
