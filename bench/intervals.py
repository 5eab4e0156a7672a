"""How sure a share is that was counted on so many samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Z_95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution: two-sided 95 %
MEASURABLE_FROM = 300  # samples; with fewer, none found still allows for more than 1 in 80 (Wilson, 95 %)


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `n`, and the 95 % interval of the share behind it, all between 0 and 1."""

    n: int
    count: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """The share that was counted; 0 for no samples."""
        return self.count / self.n if self.n else 0.0

    @property
    def is_measurable(self) -> bool:
        """Whether there are samples enough to publish an app's rate."""
        return self.n >= MEASURABLE_FROM

    def as_json(self, *, is_app: bool = False) -> dict[str, Any]:
        """Return the figures in percent. An app gets no rate from too few samples: creators are paid by it."""
        figures: dict[str, Any] = {"n": self.n, "count": self.count}
        if not self.n or (is_app and not self.is_measurable):
            return {**figures, "rate": None, "why": "not measurable"}
        return {**figures, "rate": _percent(self.rate), "low": _percent(self.low), "high": _percent(self.high)}


def wilson(count: float, n: float, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a share of `count` in `n`: two bounds in 0 to 1, (0, 1) for no samples.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22 (1927), 209-212; recommended for shares near 0 and 1 by L. D. Brown, T. T. Cai and
    A. DasGupta, "Interval estimation for a binomial proportion", Statistical Science 16 (2001), 101-133:

        (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)

    Raises ValueError when `count` is negative or more than `n`.
    """
    if not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no share")
    if n == 0:
        return 0.0, 1.0
    share, square = count / n, z * z
    middle = share + square / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    scale = 1 + square / n
    low = 0.0 if count == 0 else max(0.0, (middle - reach) / scale)
    high = 1.0 if count == n else min(1.0, (middle + reach) / scale)
    return low, high


def share(count: int, n: int) -> Share:
    """Return `count` of `n` with its interval."""
    return Share(n, count, *wilson(count, n))


def weighted_share(weights: Sequence[float], counted: Sequence[bool]) -> dict[str, Any]:
    """Return the share of the weight that was counted, in percent, with its interval.

    The interval is Wilson's at the effective number of samples, (sum of w)² / sum of w²: L. Kish, "Survey Sampling"
    (1965), chapter 8.2.
    """
    total = sum(weights)
    if not total:
        return {"n": 0, "rate": None, "why": "not measurable"}
    rate = sum(weight for weight, is_counted in zip(weights, counted, strict=True) if is_counted) / total
    effective = total * total / sum(weight * weight for weight in weights)
    low, high = wilson(min(rate, 1.0) * effective, effective)
    return {
        "n": len(weights),
        "effective_n": round(effective),
        "rate": _percent(rate),
        "low": _percent(low),
        "high": _percent(high),
    }


def _percent(rate: float) -> float:
    return round(100 * rate, 3)
