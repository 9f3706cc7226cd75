"""A folder in which every raw file of a configuration is there, empty: enough to plan with."""

from pathlib import Path

import yaml

from brainflix import datasets

ROOT = Path(__file__).parents[2]
PEOPLE = 1084  # of HCP, in the paper


def paper_overlay(folder, *, seeds=(0,)):
    """The paper's study: all of HCP, BMD, HAD and CC2017, with roots below ``folder``."""
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    entries = {name: {"root": str(folder / name)} for name in paper["datasets"]}
    entries["hcp"]["subjects"] = [str(100_000 + 7 * number) for number in range(PEOPLE)]
    return {"seeds": list(seeds), "datasets": entries}


def write_placeholders(overlay, names=("bmd", "had", "cc2017", "hcp")):
    """Empty files in the place of all raw files of some datasets of the paper; returns how many."""
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    written = 0
    for name in names:
        entry = {**paper["datasets"][name], **overlay["datasets"].get(name, {})}
        adapter, root = datasets.adapter(entry["adapter"]), Path(entry["root"])
        files = adapter.raw_files(root=root, subjects=entry["subjects"], options=entry["options"])
        for subject in entry["subjects"]:
            files += adapter.response_files(root=root, subject=subject, options=entry["options"])
        for file in dict.fromkeys(files):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            written += 1
    return written


def targets():
    """The headline tables and every ablation."""
    paper = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    tables = [f"results/{dataset}/metrics.csv" for dataset in paper["headline"]]
    return tables + [f"results/ablations/{variant}/metrics.csv" for variant in paper["ablations"]]
