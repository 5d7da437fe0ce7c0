"""Histograms of times that can be added up: the basis of percentiles over days and processes.

Buckets grow by a tenth, so that a percentile read from them is within 5 % of the true one (as in DDSketch,
Masson et al. 2019, https://arxiv.org/abs/1908.10693), and there are at most 200.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

GROWTH = 1.1
SHORTEST = 1e-6  # seconds; what is shorter falls into the first bucket
LAST = 199  # from 157 s


def bucket_of(seconds: float) -> int:
    """The bucket a time falls into.

    >>> bucket_of(0.0), bucket_of(0.002), bucket_of(1e9)
    (0, 80, 199)
    """
    return min(max(math.ceil(math.log(max(seconds, SHORTEST) / SHORTEST, GROWTH)), 0), LAST)


def percentile(buckets: Mapping[int, int], share: float) -> float:
    """The time in seconds that a share of all times do not exceed; there must be one at least.

    >>> round(percentile({bucket_of(0.002): 95, bucket_of(0.5): 5}, 0.95), 4)
    0.002
    """
    ordered = sorted(buckets)
    below = list(accumulate(buckets[bucket] for bucket in ordered))
    bucket = ordered[bisect_left(below, share * below[-1])]
    return float(SHORTEST * GROWTH**bucket * 2 / (1 + GROWTH))
