"""What must hold in any finished ``results/``; run with BRAINFLIX_RESULTS=<folder>.

The checks are functions of the folder, so that the test of the whole workflow can call :func:`check_all`.
"""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainflix import artifacts, report

BETTER_THAN_BASELINES = ["z_mse", "b_mse", "retrieval_top1", "retrieval_top5", "nway_2_top1", "nway_50_top1"]
BASELINES = ["mean", "random"]
EMPTY_CAPTIONS = ["none"]  # sources of captions.tsv that mean: no text


def headlines(results: Path) -> dict[str, pd.DataFrame]:
    """results/{dataset}/metrics.csv by dataset."""
    paths = sorted(path for path in results.glob("*/metrics.csv"))
    assert paths, f"{results} holds no {{dataset}}/metrics.csv"
    return {path.parent.name: artifacts.read_table(path, columns=report.COLUMNS) for path in paths}


def runs(results: Path) -> list[Path]:
    """Folders of one variant, seed and subject."""
    found = sorted(path.parent for path in results.glob("*/*/seed-*/sub-*/scores.csv"))
    assert found, f"{results} holds no scores.csv"
    return found


def row_name(row: pd.Series) -> str:
    return f"{row['dataset']} {row['variant']} sub-{row['subject']} seed-{row['seed']} {row['metric']}"


def check_every_row_is_complete(results: Path) -> None:
    for dataset, table in headlines(results).items():
        assert list(table.columns) == report.COLUMNS
        assert set(table["dataset"]) == {dataset}
        assert not table.duplicated(["variant", "subject", "seed", "metric"]).any()
        for _, row in table.iterrows():
            numbers = row[["value", "low", "high", "chance", "n", "seed"]].to_numpy(float)
            assert np.isfinite(numbers).all(), row_name(row)
            assert row["low"] <= row["value"] <= row["high"], row_name(row)
            assert row["n"] >= 2, row_name(row)
            words = rf"{re.escape(report.definition(row['metric']))}; with .+; chance (exact|over \d+ shuffles)"
            assert re.fullmatch(words, row["definition"]), row_name(row)


def check_bounded_metrics_stay_in_their_bounds(results: Path) -> None:
    for table in headlines(results).values():
        shares = table[table["metric"].str.contains("nway|retrieval")]
        assert shares[["value", "low", "high", "chance"]].stack().between(0, 1).all()
        errors = table[table["metric"].map(report.is_error)]
        assert (errors[["value", "low", "chance"]] >= 0).all(axis=None)


def check_chance_of_the_any3_rule_is_above_one_in_n(results: Path) -> None:
    """3 / (N + 2) for unrelated clips, not 1 / N: a table that says otherwise mixes the rules."""
    for table in headlines(results).values():
        for ways in (2, 50):
            wide = table.pivot_table(index=["variant", "subject", "seed"], columns="metric", values="chance")
            assert (wide[f"nway_{ways}_any3"] > wide[f"nway_{ways}_top1"]).all()


def check_nothing_beats_the_oracle(results: Path) -> None:
    """Except on SSIM, which rewards blur: predicting the mean can win it."""
    for table in headlines(results).values():
        for _, row in table[table["metric"] != "ssim"].iterrows():
            assert np.isfinite(row["ceiling"]), f"{row_name(row)} has no ceiling"
            is_beaten = (
                row["value"] >= row["ceiling"] if report.is_error(row["metric"]) else row["value"] <= row["ceiling"]
            )
            assert is_beaten, f"{row_name(row)}: {row['value']} against the oracle's {row['ceiling']}"


def check_the_full_model_beats_mean_and_random_with_intervals_apart(results: Path) -> None:
    complaints = []
    for dataset, table in headlines(results).items():
        for (seed, metric), part in table[table["metric"].isin(BETTER_THAN_BASELINES)].groupby(["seed", "metric"]):
            for _, full in part[part["variant"] == "full"].iterrows():
                for _, low in part[part["variant"].isin(BASELINES)].iterrows():
                    apart = full["high"] < low["low"] if report.is_error(metric) else full["low"] > low["high"]
                    if not apart:
                        complaints.append(
                            f"{dataset} seed-{seed} {metric}: full sub-{full['subject']} {full['value']:.3f} "
                            f"[{full['low']:.3f}, {full['high']:.3f}], {low['variant']} {low['value']:.3f} "
                            f"[{low['low']:.3f}, {low['high']:.3f}]"
                        )
    assert not complaints, "\n".join(complaints)


def check_tables_and_videos_agree_on_being_simulated(results: Path) -> None:
    for dataset, table in headlines(results).items():
        made = [run / "videos.h5" for run in runs(results) if run.is_relative_to(results / dataset)]
        flags = {artifacts.read(path, kind="videos", load=False).about["simulated"] for path in made}
        assert flags == {bool(flag) for flag in table["simulated"]} and len(flags) == 1, f"{dataset}: {flags}"


def check_videos_belong_to_their_folder_and_hold_pictures(results: Path) -> None:
    for run in runs(results):
        videos = artifacts.read(run / "videos.h5", kind="videos", load=False)
        label = re.fullmatch(r"(.+)/(.+)/seed-(\d+)/sub-(.+)", str(run.relative_to(results))).groups()
        about = videos.about
        assert (about["dataset"], about["variant"], str(about["seed"]), about["subject"]) == label
        assert videos.values.dtype == np.uint8 and videos.values.ndim == 5 and videos.values.shape[-1] == 3
        assert videos.axes == ("frame", "row", "column", "rgb")
        for name, clip in zip(videos.rows["stimulus"], videos.values, strict=True):
            assert np.std(clip) > 1, f"{run}: the video of {name} is blank"


def check_captions_and_scores_cover_the_videos(results: Path) -> None:
    for run in runs(results):
        names = list(artifacts.read(run / "videos.h5", kind="videos", load=False).rows["stimulus"])
        captions = artifacts.read_table(
            run / "captions.tsv", columns=["stimulus", "caption_index", "caption", "source"]
        )
        assert list(captions["stimulus"]) == names
        has_text = ~captions["source"].isin(EMPTY_CAPTIONS)
        assert (captions.loc[has_text, "caption"].str.strip() != "").all(), f"{run}: an empty caption"
        scores = artifacts.read_table(run / "scores.csv", columns=["stimulus", "metric", "value", "chance"])
        assert list(scores.loc[scores["metric"] == "ssim", "stimulus"]) == names
        assert not scores.duplicated(["stimulus", "metric"]).any()


def check_all_variants_are_judged_on_the_same_clips(results: Path) -> None:
    for dataset in headlines(results):
        videos = [run / "videos.h5" for run in runs(results) if run.is_relative_to(results / dataset)]
        clips = {tuple(artifacts.read(path, kind="videos", load=False).rows["stimulus"]) for path in videos}
        assert len(clips) == 1, f"{dataset}: variants were judged on {len(clips)} sets of clips"


def check_summaries_are_the_means_of_the_scores(results: Path) -> None:
    tables = headlines(results)
    for run in runs(results):
        dataset, variant, _, subject = run.relative_to(results).parts
        table = tables.get(dataset, pd.DataFrame(columns=report.COLUMNS))
        scores = artifacts.read_table(run / "scores.csv", columns=["metric", "value", "chance", "seed"])
        rows = table[(table["variant"] == variant) & (table["subject"] == subject.removeprefix("sub-"))]
        rows = rows[rows["seed"] == scores["seed"].iloc[0]]
        if len(rows):  # variants outside the headline have their own metrics.csv
            means = scores.groupby("metric")[["value", "chance"]].mean().loc[rows["metric"]]
            np.testing.assert_allclose(rows[["value", "chance"]].to_numpy(float), means, rtol=1e-6, atol=1e-9)


def check_galleries_exist_and_play(results: Path) -> None:
    av = pytest.importorskip("av")
    for dataset in headlines(results):
        png, mp4 = (results / "figures" / f"gallery-{dataset}.{ending}" for ending in ("png", "mp4"))
        assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        with av.open(str(mp4)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert len(frames) > 1 and frames[0].shape[1] >= 256
        assert any(not np.array_equal(frames[0], frame) for frame in frames[1:]), f"{mp4} stands still"


def check_nothing_half_written_is_left(results: Path) -> None:
    assert not list(results.rglob("*.partial"))


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]


def check_all(results: Path) -> None:
    """Every check, all complaints at once."""
    complaints = []
    for check in CHECKS:
        try:
            check(Path(results))
        except AssertionError as error:
            complaints.append(f"{check.__name__}: {error}")
    assert not complaints, "\n\n".join(complaints)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_finished_results_hold(check):
    folder = os.environ.get("BRAINFLIX_RESULTS")
    if not folder:
        pytest.skip("set BRAINFLIX_RESULTS to a finished results folder to check it")
    check(Path(folder))


def table_of(**values) -> pd.DataFrame:
    """A headline of one metric with an oracle, the baselines and the full model."""
    rows = []
    for variant, value in values.items():
        row = {
            "dataset": "toy",
            "variant": variant.replace("_", "-"),
            "subject": "01",
            "seed": 0,
            "metric": "b_mse",
        }
        row |= {
            "value": value,
            "low": value - 0.05,
            "high": value + 0.05,
            "chance": 1.2,
            "ceiling": 0.0,
            "n": 9,
        }
        rows.append({**row, "simulated": True, "definition": report.measured("b_mse", "toy (frames 2)", 20)})
    return pd.DataFrame(rows, columns=report.COLUMNS)


GOOD = {"oracle": 0.05, "full": 0.5, "mean": 0.9, "random": 1.0}


@pytest.mark.parametrize(
    "check, change",
    [
        (check_every_row_is_complete, {"low": 7.0}),
        (check_every_row_is_complete, {"chance": np.nan}),
        (check_every_row_is_complete, {"n": 1}),
        (check_every_row_is_complete, {"definition": "a guess"}),
        (check_every_row_is_complete, {"definition": report.definition("b_mse")}),
        (check_bounded_metrics_stay_in_their_bounds, {"value": -0.1}),
        (check_nothing_beats_the_oracle, {"ceiling": 0.7}),
        (check_nothing_beats_the_oracle, {"ceiling": np.nan}),
        (check_the_full_model_beats_mean_and_random_with_intervals_apart, {"high": 0.86}),
    ],
)
def test_a_check_notices_what_it_is_for(tmp_path, check, change):
    table = table_of(**GOOD)
    artifacts.write_table(tmp_path / "toy" / "metrics.csv", table)
    check(tmp_path)
    for column, value in change.items():
        table.loc[table["variant"] == "full", column] = value
    artifacts.write_table(tmp_path / "toy" / "metrics.csv", table)
    with pytest.raises(AssertionError):
        check(tmp_path)
