"""Steps evaluate, summarize and headline, as a chain on toy videos whose scores can be recomputed."""

import numpy as np
import pandas as pd
import pytest
from skimage.metrics import structural_similarity

from brainflix import artifacts, report
from brainflix.artifacts import Samples
from brainflix.datasets import video
from brainflix.errors import InputError
from brainflix.steps.evaluate import EvaluateSettings, _groups, evaluate
from brainflix.steps.headline import headline
from brainflix.steps.summarize import SummarizeSettings, summarize

from . import study

SETTINGS = EvaluateSettings(ways=(2, 50), retrieve=(1, 5), pixels=study.PIXELS, shuffles=10, group_seconds=0)
INTERVALS = SummarizeSettings(level=0.95, resamples=500)
CLIPS = ["05", "07", "08", "10"]
COLUMNS = ["stimulus", "metric", "value", "chance", "group", "subject", "simulated"]
SOURCES = {"oracle": "{}.h5", "full": "{}-predicted.h5", "mean": "{}-mean.h5"}


def write_videos(path, *, variant, noise, subject="01", simulated=True, names=CLIPS):
    """The true clips as the oracle, or with noise."""
    clips = np.stack([study.movie(int(name))[[0, 2, 4, 7]] for name in names])
    noisy = clips + np.random.default_rng(0).normal(0, noise, clips.shape)
    values = np.clip(noisy, 0, 255).astype(np.uint8)
    about = {**study.ABOUT, "variant": variant, "subject": subject, "seed": 0, "simulated": simulated}
    axes = ("frame", "row", "column", "rgb")
    artifacts.write(path, Samples("videos", values, pd.DataFrame({"stimulus": names}), axes, "sRGB", about))


@pytest.fixture
def scored(toy, tmp_path, toy_models):
    def score(variant, *, noise=40.0, vectors=True, settings=SETTINGS, **labels):
        write_videos(tmp_path / f"{variant}.h5", variant=variant, noise=noise, **labels)
        sources = {}
        for key in ("z", "b") if vectors else ():
            sources[f"{key}_predictions"] = toy / SOURCES[variant].format(key)
            sources[f"{key}_targets"] = toy / f"{key}.h5"
        out = tmp_path / f"{variant}.csv"
        evaluate(
            videos=tmp_path / f"{variant}.h5",
            stimuli=toy / "stimuli.tsv",
            classes=toy / "y.h5",
            classifier="toy-classifier",
            settings=settings,
            threads=1,
            out=out,
            **sources,
        )
        return artifacts.read_table(out, columns=COLUMNS)

    return score


def values(table, metric):
    return table[table["metric"] == metric].set_index("stimulus")["value"]


def test_ssim_is_skimages_between_the_movie_and_the_video(toy, tmp_path, scored):
    found = values(scored("full"), "ssim")
    made = artifacts.read(tmp_path / "full.h5", kind="videos").values
    for name, clip in zip(CLIPS, made, strict=True):
        true = video.frames(toy / f"{name}.mp4", count=4, pixels=study.PIXELS)
        pairs = zip(clip, true, strict=True)
        expected = np.mean([structural_similarity(p, t, data_range=255, channel_axis=-1) for p, t in pairs])
        assert found[name] == pytest.approx(expected, abs=1e-8)


def test_every_metric_is_there_with_chance_and_labels(scored):
    table = scored("full")
    n_way = {f"nway_{ways}_{rule}" for ways in (2, 50) for rule in ("top1", "any3")}
    vectors = {f"{key}_{kind}" for key in "zb" for kind in ("mse", "corr")}
    retrieval = {f"{prefix}retrieval_top{k}" for prefix in ("", "z_") for k in (1, 5)}
    assert set(table["metric"]) == {"ssim"} | n_way | vectors | retrieval
    assert np.isfinite(table[["value", "chance"]].to_numpy(float)).all()
    assert table["simulated"].all() and set(table["subject"]) == {"01"}
    assert len(values(table, "ssim")) == len(CLIPS) and len(values(table, "b_mse")) == study.TEST


def test_videos_without_predictions_have_no_vector_metrics(scored):
    table = scored("oracle", noise=0, vectors=False)
    assert {m.rpartition("_")[0] for m in set(table["metric"])} == {"", "nway_2", "nway_50"}


def test_the_oracle_is_perfect_and_far_from_chance(scored):
    means = scored("oracle", noise=0).groupby("metric")[["value", "chance"]].mean()
    assert means["value"]["z_mse"] == means["value"]["b_mse"] == 0
    assert means["value"]["retrieval_top1"] == 1 and means["value"]["nway_50_top1"] > 0.9
    assert means["chance"]["z_mse"] > 0 and means["chance"]["ssim"] < means["value"]["ssim"] - 0.2
    assert means["chance"]["nway_2_any3"] > 0.5


def test_predicting_the_mean_retrieves_at_chance(scored):
    table = scored("mean")
    for metric, chance in (("retrieval_top1", 1 / 6), ("z_retrieval_top5", 5 / 6)):
        rows = table[table["metric"] == metric]
        np.testing.assert_allclose(rows["value"], chance)
        np.testing.assert_allclose(rows["chance"], chance)


def test_the_same_inputs_give_the_same_bytes(scored, tmp_path):
    scored("full")
    before = (tmp_path / "full.csv").read_bytes()
    scored("full")
    assert (tmp_path / "full.csv").read_bytes() == before


def test_classes_of_another_model_are_refused(toy, tmp_path, toy_models):
    write_videos(tmp_path / "v.h5", variant="full", noise=0)
    options = {"settings": SETTINGS, "threads": 1, "out": tmp_path / "scores.csv"}
    inputs = {"videos": tmp_path / "v.h5", "stimuli": toy / "stimuli.tsv", "classes": toy / "y.h5"}
    with pytest.raises(InputError, match="expected classes by other, found classes by toy-classifier"):
        evaluate(**inputs, classifier="other", **options)
    assert not (tmp_path / "scores.csv").exists()


def test_one_clip_has_no_chance_and_is_refused(scored):
    with pytest.raises(InputError, match="at least 2 clips"):
        scored("full", names=CLIPS[:1])


def test_simulated_and_real_are_not_mixed(scored):
    with pytest.raises(InputError, match="disagree on 'simulated'"):
        scored("full", simulated=False)


def test_windows_of_one_stretch_of_a_movie_form_a_group(tmp_path):
    table = pd.DataFrame({"stimulus": ["a", "b", "c", "d"], "path": ["m", "m", "m", "n"]})
    artifacts.write_table(tmp_path / "s.tsv", table.assign(start_seconds=[0, 8, 12, 0], stop_seconds=[2, 10, 14, 2]))
    assert _groups(tmp_path / "s.tsv", 10) == {"a": "m#0", "b": "m#0", "c": "m#1", "d": "n#0"}
    assert _groups(tmp_path / "s.tsv", 0) == {name: name for name in "abcd"}
    artifacts.write_table(tmp_path / "w.tsv", table.assign(start_seconds="", stop_seconds=""))
    assert _groups(tmp_path / "w.tsv", 10) == {name: name for name in "abcd"}


@pytest.fixture
def summaries(scored, tmp_path):
    for variant, noise in (("oracle", 0.0), ("full", 40.0), ("mean", 90.0)):
        scored(variant, noise=noise, subject="any" if variant == "oracle" else "01")
        summarize(scores=[tmp_path / f"{variant}.csv"], settings=INTERVALS, out=tmp_path / variant / "metrics.csv")
    return [tmp_path / variant / "metrics.csv" for variant in ("oracle", "full", "mean")]


def test_a_summary_has_a_row_per_metric_with_interval_chance_and_definition(summaries):
    table = artifacts.read_table(summaries[1], columns=report.COLUMNS)
    assert list(table.columns) == report.COLUMNS and table["metric"].is_unique
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert table["chance"].notna().all() and table["ceiling"].isna().all()
    assert dict(zip(table["metric"], table["n"], strict=True))["ssim"] == len(CLIPS)
    words = table.set_index("metric")["definition"]
    assert all(text.startswith(report.definition(metric) + "; with ") for metric, text in words.items())
    assert words["ssim"].endswith("; with 4 frames of 32 x 32 pixels; chance over 10 shuffles")
    made = "(frames 2, pixels 32, precision float32)"
    assert words["nway_2_top1"].endswith(f"; with toy-classifier {made}; chance over 10 shuffles")
    assert words["z_mse"].endswith(f"; with toy {made}; chance over 10 shuffles")
    assert words["retrieval_top1"].endswith(f"; with toy {made}; chance exact")


def test_a_value_is_the_mean_over_clips(summaries, tmp_path):
    table = artifacts.read_table(summaries[1], columns=report.COLUMNS).set_index("metric")
    scores = artifacts.read_table(tmp_path / "full.csv", columns=COLUMNS).groupby("metric")
    np.testing.assert_allclose(table["value"], scores["value"].mean()[table.index], rtol=1e-8)
    np.testing.assert_allclose(table["chance"], scores["chance"].mean()[table.index], rtol=1e-8)


def test_subjects_keep_their_leading_zeros_and_their_own_rows(scored, tmp_path):
    scored("full")
    (tmp_path / "full.csv").rename(tmp_path / "first.csv")
    scored("full", subject="02")
    scores = [tmp_path / "first.csv", tmp_path / "full.csv"]
    summarize(scores=scores, settings=INTERVALS, out=tmp_path / "metrics.csv")
    table = artifacts.read_table(tmp_path / "metrics.csv", columns=report.COLUMNS)
    assert list(table["subject"].unique()) == ["01", "02"]
    assert (table.groupby("subject").size() == 13).all()


def test_summarize_refuses_scores_that_are_not_numbers(summaries, tmp_path):
    text = (tmp_path / "full.csv").read_text().splitlines()
    cells = text[3].split(",")
    text[3] = ",".join([*cells[:2], "nan", *cells[3:]])
    (tmp_path / "bad.csv").write_text("\n".join(text) + "\n")
    with pytest.raises(InputError, match=r"bad.csv: expected a finite value and chance"):
        summarize(scores=[tmp_path / "bad.csv"], settings=INTERVALS, out=tmp_path / "out.csv")


def test_headline_keeps_the_order_and_fills_in_the_oracle_as_ceiling(summaries, tmp_path, capsys):
    headline(metrics=summaries, out=tmp_path / "metrics.csv")
    table = artifacts.read_table(tmp_path / "metrics.csv", columns=report.COLUMNS)
    assert list(table.columns) == report.COLUMNS
    assert list(table["variant"].unique()) == ["oracle", "full", "mean"]
    oracle = table[table["variant"] == "oracle"].set_index("metric")["value"]
    np.testing.assert_allclose(table["ceiling"], oracle[table["metric"]].to_numpy())
    printed = capsys.readouterr().out
    assert report.readable(table) in printed and report.SIMULATED in printed


def test_headline_without_an_oracle_leaves_the_ceiling_blank(summaries, tmp_path):
    headline(metrics=summaries[1:], out=tmp_path / "metrics.csv")
    table = artifacts.read_table(tmp_path / "metrics.csv", columns=report.COLUMNS)
    assert table["ceiling"].isna().all()
