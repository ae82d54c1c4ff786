"""Medians, percentiles, and the lines that say whether a figure was reached."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from tests.bench.options import Line

#: Fields of a measurement that are measured; the others say what was measured.
MEASURED = {
    "per_s", "seconds", "worker_cpu_us", "postgres_cpu_us", "sink_cpu_us", "cpu_us", "worker_rss_mb", "rss_mb", "p50_ms",
    "p99_ms", "enqueue_per_s", "messages_per_s", "upload_s", "import_s", "total_s", "web_growth_mb", "web_peak_mb",
    "worker_growth_mb", "worker_peak_mb", "laid_out_s", "before_t_s", "start_ms", "accepted_ms",
}  # fmt: skip


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def combine(lines: Sequence[Line]) -> Line:
    """One line for several measurements of the same thing: medians, and each one's rate in the order of measuring."""
    first = lines[0]
    combined: Line = {name: value for name, value in first.items() if name not in MEASURED}
    for name in first:
        if name in MEASURED:
            combined[name] = rounded(median(line[name] for line in lines))
    if "per_s" in first:
        combined["per_s_each"] = [line["per_s"] for line in lines]
    return {**combined, "repeats": len(lines)}


def rounded(number: float) -> float:
    """To four digits or more: what is beyond is chance."""
    return round(number) if number >= 1000 else round(number, 1 if number >= 100 else 2)


def figure(
    name: str, value: float, *, unit: str, at_least: float | None = None, at_most: float | None = None, **detail: Any
) -> Line:
    """A figure with what it must reach. A ratio has the unit "×"."""
    met = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    limits = {"at_least": at_least} if at_least is not None else {"at_most": at_most}
    return {
        "bench": "ratio" if unit == "×" else "figure", "figure": name, "value": round(value, 3), "unit": unit,
        **limits, "met": met, **detail,
    }  # fmt: skip


def ratio(
    name: str, over: float, under: float, *, at_least: float | None = None, at_most: float | None = None, **detail: Any
) -> Line:
    return figure(name, over / under if under else 0.0, unit="×", at_least=at_least, at_most=at_most, **detail)
