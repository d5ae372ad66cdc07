"""figures.py - what is made of measurements: medians, spreads, ratios of pairs, and which pairs count."""

import dataclasses
import statistics

# Two limits that differ by more than this factor were not measured on the same machine, as far as speed goes.
DRIFT = 1.15
# Part of the machine's time that others, or the host, may take during a timing.
MOST_BUSY = 0.05


@dataclasses.dataclass
class Limits:
    """The machine's own limits at one moment."""
    read: float  # bytes per second
    int8: float  # operations per second
    f32: float

    def of(self, kind):
        return getattr(self, kind)


def mean_limits(a, b):
    return Limits((a.read + b.read) / 2, (a.int8 + b.int8) / 2, (a.f32 + b.f32) / 2)


@dataclasses.dataclass
class Timing:
    """One value of one run, between two measurements of the limits."""
    value: float
    before: Limits
    after: Limits
    share: float = None  # of the roofline, where that is known
    busy: float = 0.0  # part of the machine's time that others took meanwhile


def steady(timings, kind, drift=DRIFT):
    """Whether all timings saw the same machine: their limits of a kind lie within a factor."""
    seen = [limits.of(kind) for t in timings for limits in (t.before, t.after)]
    return max(seen) <= drift * min(seen)


def summary(values):
    middle = statistics.median(values)
    return {"median": middle, "min": min(values), "max": max(values),
            "spread_percent": 100 * (max(values) - min(values)) / middle if middle else 0.0, "samples": list(values)}


def pair_ratio(ours, theirs, larger_is_better):
    """Above 1: ours is better."""
    return ours / theirs if larger_is_better else theirs / ours


def share_of_limit(part, speed, cost, limits):
    """What part of the roofline a speed is: the least time that the limits allow a token, over the time it took. Nothing is faster than
    the machine: what beats the measured limits has shown higher ones."""
    if part == "decode":
        return min(1.0, speed * cost["read"] / limits.read)
    return min(1.0, speed * (cost["int8"] / limits.int8 + cost["f32"] / limits.f32))


class Pairs:
    """The pairs of one value against one peer. A pair counts when both sides saw the same machine, in the kinds of limits
    that matter (the first is reported), and others left it to them."""

    def __init__(self, kinds, larger_is_better=True, most_busy=MOST_BUSY):
        self.kinds, self.larger_is_better, self.most_busy = kinds, larger_is_better, most_busy
        self.kept, self.dropped = [], []

    def add(self, ours, theirs):
        """True if the pair counts."""
        good = all(steady((ours, theirs), kind) for kind in self.kinds) and max(ours.busy, theirs.busy) <= self.most_busy
        (self.kept if good else self.dropped).append((ours, theirs))
        return good

    def result(self):
        """Of the pairs that count, or of all when there are none: "steady" says which."""
        pairs = self.kept or self.dropped
        if not pairs:
            return None
        ratios = [pair_ratio(a.value, b.value, self.larger_is_better) for a, b in pairs]
        result = {"ours": summary([a.value for a, _ in pairs]), "theirs": summary([b.value for _, b in pairs]),
                  "ratio": summary(ratios), "pairs": len(self.kept), "dropped": len(self.dropped), "steady": bool(self.kept),
                  "limit": self.kinds[0],
                  "limits": summary([mean_limits(t.before, t.after).of(self.kinds[0]) for pair in pairs for t in pair])}
        for side, name in ((0, "our_share"), (1, "their_share")):
            shares = [pair[side].share for pair in pairs if pair[side].share is not None]
            result[name] = summary(shares) if shares else None
        return result
