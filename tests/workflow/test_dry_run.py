"""Which rules a target needs, and which it must not need, at the size of the paper."""

import re
import shutil

import pytest
import yaml

from tests.conftest import phantom_section

from .conftest import ROOT

PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
SIMULATED = {"phantom": phantom_section(PAPER)}  # raw files come from somewhere


def plan(snakemake, target, overlay=SIMULATED):
    run = snakemake("--dry-run", target, overlay=overlay)
    assert run.code == 0, run.text[-3000:]
    return run.jobs


@pytest.mark.parametrize("variant", PAPER["variants"])
def test_every_variant_of_the_paper_can_be_planned(snakemake, variant):
    jobs = plan(snakemake, f"results/bmd/{variant}/metrics.csv")
    assert jobs["summarize"] == 1 and jobs["evaluate"] >= 1 and jobs["headline"] == 0


@pytest.mark.parametrize("dataset", PAPER["headline"])
def test_a_headline_trains_only_what_it_prints(snakemake, dataset):
    jobs = plan(snakemake, f"results/{dataset}/metrics.csv")
    assert jobs["headline"] == 1 and jobs["summarize"] == len(PAPER["headline"][dataset])
    assert jobs["pretrain"] == 1 and jobs["align"] == 1, "one encoder serves all rows"


def test_an_ablation_runs_only_what_it_names(snakemake):
    jobs = plan(snakemake, "results/ablations/mlp/metrics.csv")
    assert jobs["synthesize_bmd"] == 1 and jobs["ablation"] == 1
    for rule in ("pretrain", "align", "embed", "gaussian", "average", "synthesize_hcp", "synthesize_cc2017"):
        assert jobs[rule] == 0, f"an MLP on responses needs no {rule}"


def test_random_needs_the_trained_pipeline_but_no_tested_subject(snakemake):
    jobs = plan(snakemake, "results/bmd/random/metrics.csv")
    assert jobs["gaussian"] == 1 and jobs["generate"] == 1 and jobs["regress"] == 2


def test_errors_of_one_prediction_can_be_asked_for_without_a_video(snakemake):
    jobs = plan(snakemake, "results/regressors/linear/bmd-01/seed-0/bmd/sub-01/z-zeroscope.csv")
    assert jobs["measure"] == jobs["predict"] == jobs["regress"] == jobs["extract"] == 1
    assert jobs["generate"] == jobs["describe"] == 0


def test_the_oracle_needs_no_brain(snakemake):
    jobs = plan(snakemake, "results/bmd/oracle/metrics.csv")
    assert not jobs["parcellate"] and not jobs["regress"]


def test_one_line_adds_a_variant_that_shares_every_layer(snakemake):
    strong = {"latent": "full", "condition": "none", "generator": "video", "input": "responses"}
    overlay = {**SIMULATED, "variants": {"strong": strong}}
    extra = plan(snakemake, "results/bmd/strong/metrics.csv", overlay)
    full = plan(snakemake, "results/bmd/full/metrics.csv")
    assert extra["regress"] == 1 and full["regress"] == 2, "z alone; b is not asked for"
    assert set(extra) <= set(full)


def test_all_plans_every_table_and_picture(snakemake):
    jobs = plan(snakemake, "all")
    assert jobs["headline"] == 2 and jobs["gallery"] == 2


def test_the_brainflix_variant_trains_its_own_layers_and_no_others(snakemake):
    """It shares pretraining with `full`, and needs each caption's embedding where `full` needs their mean."""
    full, ours = (plan(snakemake, f"results/bmd/{name}/metrics.csv") for name in ("full", "brainflix"))
    assert ours["pretrain"] == ours["align"] == 1 and ours["regress"] == 2
    assert ours["extract_each"] == 2 and full["extract_each"] == 0, "bmd and cc2017"
    assert full["extract"] - ours["extract"] == 2, "e of bmd and cc2017"
    both = snakemake("--dry-run", *(f"results/bmd/{n}/metrics.csv" for n in ("full", "brainflix")), overlay=SIMULATED)
    assert both.jobs["pretrain"] == 1 and both.jobs["align"] == 2 and both.jobs["extract"] == full["extract"]


def test_another_recipe_aligns_anew_only_who_follows_it(snakemake, tmp_path):
    made = [f"results/encoders/{name}/all/seed-0/encoder.safetensors" for name in ("aligned-had", "aligned-brainflix")]
    needed = {"bmd": ["e-openclip", "e-openclip-each"], "cc2017": ["e-openclip", "e-openclip-each"]}
    inputs = [f"results/{dataset}/targets/{name}.h5" for dataset, names in needed.items() for name in names]
    subjects = {name: PAPER["datasets"][name]["subjects"] for name in needed}
    inputs += [f"results/{d}/responses/sub-{s}.h5" for d, who in subjects.items() for s in who]
    inputs += ["results/encoders/mbm-had/all/seed-0/encoder.safetensors"]
    for path in map(tmp_path.joinpath, [*inputs, *made]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    align_only = (*made, "--allowed-rules", "align")
    touched = snakemake(*align_only, "--forcerun", "align", "--cores", "1", "--touch", overlay=SIMULATED)
    assert touched.code == 0, touched.text[-3000:]
    assert not snakemake(*align_only, "--dry-run", overlay=SIMULATED).jobs
    other = {**SIMULATED, "recipes": {"brainflix": {"adapter_rank": 8}}}
    again = snakemake(*align_only, "--dry-run", overlay=other)
    assert dict(again.jobs) == {"align": 1}, again.text[-3000:]
    assert re.findall(r"wildcards: encoder=([\w-]+)", again.text) == ["aligned-brainflix"]


def test_a_user_without_hcp_leaves_it_out_in_three_lines(snakemake):
    cohorts = {name: {"hcp": "none"} for name in ("hcp-bmd", "hcp-bmd-had", "hcp-others")}
    jobs = plan(snakemake, "results/bmd/full/metrics.csv", {**SIMULATED, "cohorts": cohorts})
    assert jobs["pretrain"] == 1 and jobs["synthesize_had"] == 1 and not jobs["synthesize_hcp"]


def test_another_number_of_threads_makes_anew_what_it_touches(snakemake, tmp_path):
    made = [
        "data/bmd/phantom.json",
        "results/bmd/stimuli.tsv",
        "results/bmd/captions.tsv",
        "results/bmd/targets/b-blip.h5",
    ]
    for path in map(tmp_path.joinpath, made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    finished = snakemake("--cores", "1", "--touch", "--forceall", *made[2:], overlay=SIMULATED)
    assert finished.code == 0, finished.text[-3000:]
    again = snakemake("--dry-run", *made[2:], overlay=SIMULATED)
    assert again.code == 0 and not again.jobs
    more = snakemake("--dry-run", *made[2:], overlay={**SIMULATED, "threads": PAPER["threads"] + 1})
    assert more.code == 0 and set(more.jobs) == {"caption", "extract"}


def test_quality_control_needs_raw_data_and_nothing_that_learns(snakemake):
    jobs = plan(snakemake, "results/bmd/qc.csv")
    subjects = len(PAPER["datasets"]["bmd"]["subjects"])
    assert jobs["stack"] == 1 and jobs["qc"] == jobs["reliability"] == subjects
    assert set(jobs) == {"synthesize_bmd", "index", "reliability", "qc", "stack"}


def test_a_recording_becomes_betas_and_only_its_volumes_are_projected(snakemake, tmp_path):
    names = ("a.dtseries.nii", "b.nii.gz", "a.tsv", "b.tsv")
    a, b, events_a, events_b = ((tmp_path / name).write_text("") or str(tmp_path / name) for name in names)
    runs = [{"series": a, "events": events_a, "learn": True}, {"volume": b, "events": events_b}]
    overlay = {**SIMULATED, "recordings": {"mine": {"label": "stim_file", "runs": runs}}}
    run = snakemake("--dry-run", "--printshellcmds", "results/recordings/mine/trials.tsv", overlay=overlay)
    assert run.code == 0 and dict(run.jobs) == {"project": 1, "betas": 1}, run.text[-3000:]
    assert f"--series {a} results/recordings/mine/run-2.dtseries.nii --events {events_a} {events_b}" in run.text
    assert "--learn-from 1 --label stim_file" in run.text


def test_missing_data_are_named_before_anything_runs(snakemake, tmp_path):
    run = snakemake("--dry-run", "results/bmd/metrics.csv")
    assert run.code == 1 and "Raw data are missing" in run.text
    for name in ("bmd", "had", "cc2017", "hcp"):
        assert f"{tmp_path}/data/{name}" in run.text
    assert "ds005165" in run.text and "licence" in run.text
    assert "mosaic" not in run.text.split("Raw data are missing")[1], "no table asks for it"
    assert "Traceback" not in run.text and not (tmp_path / "results").exists()


def test_only_missing_data_that_the_target_needs_are_named(snakemake, tmp_path):
    run = snakemake("--cores", "1", "results/bmd/oracle/metrics.csv")
    assert run.code == 1 and "Traceback" not in run.text
    said = run.text[run.text.index("brainflix: Raw data are missing.") :].strip().splitlines()
    assert len(said) == 2 and f"{tmp_path}/data/bmd (no such folder)" in said[1] and "; get " in said[1]
    assert "1,103 of its 1,103 files" in said[1], "annotations and clips: an oracle opens no responses"
    assert not any((tmp_path / ".snakemake" / "locks").iterdir())


@pytest.mark.parametrize(
    "target, sentence",
    [
        (
            "results/had/full/metrics.csv",
            "brainflix: config: datasets.had.evaluate: expected the subjects .* found none",
        ),
        ("results/figures/gallery-had.png", "brainflix: config: datasets.had.evaluate: expected the subjects"),
        ("results/bmd/responses/sub-99.h5", "brainflix: responses of bmd: expected one of sub-01, .* found sub-99"),
        ("results/had/metrics.csv", "No rule to produce results/had/metrics.csv"),
        ("results/backbones/foo", "No rule to produce results/backbones/foo"),
    ],
)
def test_a_target_that_cannot_be_is_refused_without_a_traceback(snakemake, target, sentence):
    run = snakemake("--dry-run", target, overlay=SIMULATED)
    assert run.code == 1 and "Traceback" not in run.text and "KeyError" not in run.text
    assert re.search(sentence, run.text), run.text[-2000:]


def test_own_of_another_dataset_is_refused_without_a_traceback(snakemake):
    overlay = {**SIMULATED, "cohorts": {"own": {"own-dataset": "none", "bmd": "own"}}}
    run = snakemake("--dry-run", "results/cc2017/mlp/metrics.csv", overlay=overlay)
    assert run.code == 1 and "Traceback" not in run.text
    assert "cohort own: expected that who learns from own of bmd is evaluated on bmd, found cc2017" in run.text


@pytest.mark.parametrize(
    "overlay, sentence",
    [
        ({"treads": 3}, "'treads' was unexpected"),
        ({"pretrain": {"model": {"patchs": 16}}}, "pretrain.model: .*'patchs' was unexpected"),
        ({"threads": "four"}, "threads: 'four' is not of type 'integer'"),
        ({"align": {"training": {"learning_rate": "1e-5"}}}, "learning_rate: '1e-5' is not of type 'number'"),
        (
            {"variants": {"full": {"latent": "nobody"}}},
            "variants.full.latent: expected one of .* found 'nobody'",
        ),
        ({"datasets": {"bmd": {"options": {"train_clips": "x"}}}}, "train_clips: expected int, found 'x'"),
    ],
)
def test_a_wrong_config_is_refused_in_one_sentence(snakemake, overlay, sentence):
    run = snakemake("--dry-run", "results/bmd/metrics.csv", overlay={**SIMULATED, **overlay})
    assert run.code == 1 and "Traceback" not in run.text
    assert re.search(sentence, run.text), run.text[-2000:]


def test_a_study_of_a_thousand_subjects_is_planned_in_shards_without_listing_folders(snakemake, tmp_path):
    subjects = [str(100_000 + i) for i in range(1084)]
    for subject in subjects[:5]:  # the others are links to these
        for run in ("REST1_LR", "REST1_RL", "REST2_LR", "REST2_RL"):
            folder = tmp_path / f"hcp/{subject}/MNINonLinear/Results/rfMRI_{run}"
            folder.mkdir(parents=True)
            (folder / f"rfMRI_{run}_Atlas_MSMAll_hp2000_clean.dtseries.nii").touch()
    for i, subject in enumerate(subjects[5:]):
        (tmp_path / "hcp" / subject).symlink_to(tmp_path / "hcp" / subjects[i % 5])
    shutil.rmtree(tmp_path / "hcp/100000/MNINonLinear/Results/rfMRI_REST2_RL")  # and a run of every fifth is missing
    overlay = {"datasets": {"hcp": {"root": str(tmp_path / "hcp"), "subjects": subjects, "shard_subjects": 50}}}
    (tmp_path / "hcp").chmod(0o111)  # may be entered, not listed
    targets = [f"results/hcp/responses/shard-{i:03d}.h5" for i in range(22)]
    run = snakemake("--dry-run", *targets, overlay=overlay)
    assert run.code == 0, run.text[-3000:]
    assert run.jobs["parcellate"] == 22 and run.jobs["index"] == 1


def test_the_figure_of_training_needs_what_was_trained_and_no_video(snakemake):
    jobs = plan(snakemake, "results/figures/training-bmd.svg")
    assert jobs["curves"] == jobs["pretrain"] == jobs["align"] == 1
    assert jobs["regress"] == 6, "single for two subjects and full, z and b each"
    assert jobs["generate"] == jobs["predict"] == 0


def test_a_launcher_goes_in_front_of_a_training_and_asks_for_no_new_one(snakemake):
    launch = "'torchrun --standalone --nproc-per-node=4 --no-python'"
    run = snakemake(
        "--dry-run", "--printshellcmds", "results/figures/training-bmd.svg",
        "--set-resources", f"pretrain:launch={launch}", "pretrain:gpu=4", overlay=SIMULATED,
    )  # fmt: skip
    assert run.code == 0, run.text[-3000:]
    front = "torchrun --standalone --nproc-per-node=4 --no-python brainflix pretrain --responses"
    assert re.search(rf"^ *Shell command: {front}", run.text, re.M)
    assert re.search(r"^ *Shell command: +brainflix align ", run.text, re.M)
