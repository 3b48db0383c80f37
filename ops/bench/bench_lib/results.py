"""The runs' raw results, the medians over rounds, and the files that keep both."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from .cases import Case, Raw

COLUMNS = ["case", "figure", "unit", "peer", "rounds", "median", "least", "most"]


class Results:
    """Everything measured so far."""

    def __init__(self, cases: list[Case]) -> None:
        self.cases = cases
        self.runs: list[dict[str, object]] = []
        self.failures: list[str] = []
        self._values: dict[tuple[str, str, str], list[float]] = defaultdict(list)

    def add(self, round_: int, peer: str, case: Case, raw: Raw) -> None:
        self.runs.append({"round": round_, "peer": peer, "case": case.name, "raw": raw})
        if raw.get("negotiated", 1) != case.arguments.get("deflate", 1) and case.only:
            self.failures.append(f"{case.name} {peer}: compression was not negotiated")
            return
        for figure in case.figures:
            self._values[peer, case.name, figure.name].append(figure.of(raw))

    def fail(self, round_: int, peer: str, case: Case, why: str) -> None:
        self.runs.append({"round": round_, "peer": peer, "case": case.name, "error": why})
        self.failures.append(f"{case.name} {peer}, round {round_}: {why}")

    def values(self, peer: str, case: str, figure: str) -> list[float]:
        return self._values.get((peer, case, figure), [])

    def median(self, peer: str, case: str, figure: str) -> float | None:
        values = self.values(peer, case, figure)
        return median(values) if values else None

    def ratio(self, peer: str, base: str, case: str, figure: str) -> float | None:
        """One server's median over another's; None where that says nothing."""
        value, of = self.median(peer, case, figure), self.median(base, case, figure)
        if value is None or of is None or value < 0 or of <= 0:
            return None
        return value / of

    def remarks(self) -> list[str]:
        """What has to be known to read the figures, a line each."""
        shortest: dict[str, float] = {}
        given_up: dict[str, set[str]] = defaultdict(set)
        least = {case.name: case.least_bytes for case in self.cases}
        for run, raw in self._measured(""):
            where = f"{run['case']} with {run['peer']}"
            if raw["bytes"] < least.get(str(run["case"]), 0):
                shortest[where] = min(raw["bytes"], shortest.get(where, raw["bytes"]))
            given_up[where] |= {
                key.removesuffix("_given_up")
                for key, times in raw.items()
                if key.endswith("_given_up") and times
            }
        return [
            *(
                f"{where}: a run of only {size / 1e9:.2f} GB; its CPU figures mislead"
                for where, size in shortest.items()
            ),
            *(
                f"{where}: given up, so these are larger than the table says: "
                f"{', '.join(sorted(kinds))}"
                for where, kinds in given_up.items()
                if kinds
            ),
        ]

    def most_load_per_server_cpu(self) -> tuple[float, str]:
        """The load generator's CPU over the server's (median), where it was highest."""
        shares: dict[str, list[float]] = defaultdict(list)
        for run, raw in self._measured("bundle", "small"):
            shares[f"{run['case']} with {run['peer']}"].append(raw["own_cpu_s"] / raw["cpu_s"])
        medians = {where: median(values) for where, values in shares.items()}
        where = max(medians, key=medians.__getitem__, default="no case")
        return medians.get(where, 0.0), where

    def others_on_the_cores(self) -> tuple[float, float]:
        """The share of a measured time in which something else ran on one of the two cores:
        the median over all runs, and the worst."""
        shares = [
            max(raw["others_on_server_core_s"], raw["others_on_own_core_s"], 0) / raw["wall_s"]
            for _, raw in self._measured("")
        ]
        return (median(shares), max(shares)) if shares else (0.0, 0.0)

    def _measured(self, *prefixes: str) -> Iterator[tuple[dict[str, object], Raw]]:
        for run in self.runs:
            raw = run.get("raw")
            if isinstance(raw, dict) and raw.get("cpu_s") and run["case"].startswith(prefixes):
                yield run, raw


def write_json(file: Path, results: Results, machine: dict, verdicts: list, peers: list) -> None:
    """Machine, medians, verdicts and every run, as one JSON object."""
    medians = [
        {
            "case": case.name,
            "figure": figure.name,
            "title": figure.title,
            "unit": figure.unit,
            "median": {p.name: results.median(p.name, case.name, figure.name) for p in peers},
            "rounds": {p.name: results.values(p.name, case.name, figure.name) for p in peers},
        }
        for case in results.cases
        for figure in case.figures
    ]
    whole = {
        "machine": machine,
        "medians": medians,
        "targets": [verdict.as_dict() for verdict in verdicts],
        "failures": results.failures,
        "remarks": results.remarks(),
        "runs": results.runs,
    }
    file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")


def write_csv(file: Path, results: Results, peers: list, baselines: list[str]) -> None:
    """A line for each figure of each server: median, extremes, ratio to each of the baselines."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow([*COLUMNS, *(f"ratio to {name}" for name in baselines)])
        for case in results.cases:
            for figure in case.figures:
                for peer in peers:
                    values = results.values(peer.name, case.name, figure.name)
                    if not values:
                        continue
                    row = [case.name, figure.name, figure.unit, peer.name, len(values)]
                    row += [f"{x:.6g}" for x in (median(values), min(values), max(values))]
                    for name in baselines:
                        ratio = results.ratio(peer.name, name, case.name, figure.name)
                        row.append("" if ratio is None else f"{ratio:.4g}")
                    writer.writerow(row)
