"""Step `qc`: noise ceiling, repeat reliability and intersubject correlation, per area and on the cortex."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from brainflix import artifacts, atlas, brainmaps, surfaces
from brainflix.artifacts import Samples
from brainflix.reliability import intersubject
from brainflix.stats import noise_ceiling

DEFINITIONS = {
    "ncsnr": "signal over noise standard deviation of one presentation (Allen et al. 2022)",
    "noise ceiling": "percent of the variance of the mean over repeats that a perfect model explains, from ncsnr",
    "split-half": "correlation over stimuli of the mean of odd with the mean of even presentations",
    "intersubject": "correlation over stimuli of the subject's mean response with the mean of the other subjects'",
    "published ncsnr": "ncsnr as the dataset's authors published it",
    "ncsnr agreement": "correlation over vertices of ncsnr with the published one",
}
DRAWN = {  # measure: (label with unit, not painted below, upper end of the colours, colour map)
    "noise ceiling": ("noise ceiling (% of variance)", 20.0, None, "inferno"),
    "split-half": ("repeat reliability (r)", 0.2, 1.0, "viridis"),
    "intersubject": ("intersubject correlation (r)", 0.2, 1.0, "viridis"),
}
WHOLE = ("all areas", "cortex")


class Split(NamedTuple):
    """Maps of one split, each (59,412,), NaN where nothing is known, and what they were made from."""

    maps: dict[str, np.ndarray]
    stimuli: int
    repeats: float


def qc(*, reliability: Path, others: list[Path] | None = None, out: Path, maps: Path, figure: Path) -> None:
    """Tabulate and draw how reliable a subject's responses are.

    Args:
        reliability: the subject's file, written by ``reliability``.
        others: those of the dataset's other subjects; without them there is no intersubject correlation.
        out: table with a row per split, area and measure: mean and median over the vertices of each of the
            41 areas, of all of them, and of the cortex.
        maps: the same vertex by vertex, a CIFTI-2 dscalar for any viewer.
        figure: the split with the most repeats on the inflated and the flat cortex (PNG).

    Raises:
        InputError: files are of different datasets or spaces, or simulated and real data would be mixed.
    """
    own = artifacts.read(reliability, kind="reliability", load=False)
    rest = [artifacts.read(path, kind="reliability", load=False) for path in others or []]
    about = artifacts.common_about([s.about for s in (own, *rest)], "dataset", "space")
    found = {split: _split(own, rest, split, about["space"]) for split in own.rows["split"].unique()}
    who = {"dataset": about["dataset"], "subject": own.about["subject"]}
    rows = [row for split, parts in found.items() for row in _rows(parts, {**who, "split": split})]
    _draw(figure, found, who, simulated=about["simulated"])
    names = [f"{split}: {measure}" for split, parts in found.items() for measure in parts.maps]
    surfaces.write_maps(maps, np.stack([m for parts in found.values() for m in parts.maps.values()]), names)
    table = pd.DataFrame(rows).assign(simulated=about["simulated"])
    table["definition"] = table["measure"].map(DEFINITIONS)
    artifacts.write_table(out, table)


def _split(own: Samples, rest: list[Samples], split: str, space: str) -> Split:
    """All maps of a split."""
    rows = own.rows[(own.rows["split"] == split)]
    repeats = float(rows["repeats"][rows["statistic"] == "mean"].mean())
    maps = {"ncsnr": _statistic(own, split, "ncsnr")}
    maps["noise ceiling"] = noise_ceiling(maps["ncsnr"], repeats=repeats)
    maps["split-half"] = _statistic(own, split, "split-half")
    shared = _shared([own, *rest], split)
    if rest and len(shared) > 2:
        mine, *theirs = (_means(samples, split, shared) for samples in (own, *rest))
        maps["intersubject"] = intersubject(mine, theirs)
    if "published-ncsnr" in set(rows["statistic"]):
        maps["published ncsnr"] = _statistic(own, split, "published-ncsnr")
    placed = {measure: _on_cortex(values, space) for measure, values in maps.items()}
    return Split(placed, int((rows["statistic"] == "mean").sum()), repeats)


def _statistic(samples: Samples, split: str, statistic: str) -> np.ndarray:
    mask = (samples.rows["split"] == split) & (samples.rows["statistic"] == statistic)
    return np.array(samples.values[np.flatnonzero(mask)[0]], np.float64)


def _shared(all_samples: list[Samples], split: str) -> list[str]:
    """Stimuli of a split that all subjects saw, sorted."""
    seen = [set(s.rows["stimulus"][(s.rows["split"] == split) & (s.rows["stimulus"] != "")]) for s in all_samples]
    return sorted(set.intersection(*seen))


def _means(samples: Samples, split: str, stimuli: list[str]) -> np.ndarray:
    rows = samples.rows
    index = {name: i for i, name in enumerate(rows["stimulus"]) if rows["split"][i] == split}
    return np.asarray(samples.values[[index[name] for name in stimuli]])


def _on_cortex(values: np.ndarray, space: str) -> np.ndarray:
    if space == "cortex":
        return values
    out = np.full(atlas.CORTEX, np.nan)
    out[atlas.vertices(space)] = values
    return out


def _rows(parts: Split, labels: dict[str, str]) -> list[dict[str, Any]]:
    """Rows of the table of one split."""
    areas = {name: atlas.vertices("glasser41")[s] for name, s in atlas.roi_slices("glasser41").items()}
    areas |= dict(zip(WHOLE, (atlas.vertices("glasser41"), np.arange(atlas.CORTEX)), strict=True))
    made_from = {"stimuli": parts.stimuli, "repeats": parts.repeats}
    rows = []
    for area, vertices in areas.items():
        for measure, values in _measures(parts.maps, vertices).items():
            known = values[np.isfinite(values)]
            if len(known):
                numbers = {"vertices": len(known), "mean": known.mean(), "median": np.median(known)}
                rows.append({**labels, "area": area, "measure": measure, **numbers, **made_from})
    return rows


def _measures(maps: dict[str, np.ndarray], vertices: np.ndarray) -> dict[str, np.ndarray]:
    """Values of every measure in an area; agreement is a single number."""
    found = {measure: values[vertices] for measure, values in maps.items()}
    if "published ncsnr" in found:
        ours, theirs = found["ncsnr"], found["published ncsnr"]
        both = np.isfinite(ours) & np.isfinite(theirs)
        if both.sum() > 2:
            found["ncsnr agreement"] = np.corrcoef(ours[both], theirs[both])[:1, 1]
    return found


def _draw(figure: Path, found: dict[str, Split], who: dict[str, str], *, simulated: bool) -> None:
    split = max(found, key=lambda name: found[name].repeats)
    parts = found[split]
    title = f"{who['dataset']}, subject {who['subject']}: {parts.stimuli} {split} stimuli, {parts.repeats:g} repeats"
    rows = [brainmaps.Row(parts.maps[m], *how) for m, how in DRAWN.items() if m in parts.maps]
    outline = np.isin(np.arange(atlas.CORTEX), atlas.vertices("glasser41"))
    brainmaps.write_png(figure, rows, title=title, simulated=simulated, outline=outline)
