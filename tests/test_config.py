"""What the names of config/paper.yaml mean."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from brainflix import config as names
from brainflix import paths, validation
from brainflix.config import Binding
from brainflix.errors import InputError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def paper():
    return yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())


def test_every_name_in_the_paper_config_refers_to_something(paper):
    validation.check(paper)


@pytest.mark.parametrize(
    "breakage, key",
    [
        (lambda c: c["variants"]["full"].update(latent="nobody"), "variants.full.latent"),
        (lambda c: c["variants"]["full"].update(condition="full"), "variants.full.condition"),
        (lambda c: c["regressors"]["mlp"].update(encoder="x"), "regressors.mlp.encoder"),
        (lambda c: c["encoders"]["aligned"].update(init="x"), "encoders.aligned.init"),
        (lambda c: c["encoders"]["aligned"].update(recipe="x"), "encoders.aligned.recipe"),
        (lambda c: c["cohorts"]["videos"].update(nsd="all"), "cohorts.videos"),
        (lambda c: c["cohorts"]["videos"].update(bmd=["11"]), "cohorts.videos.bmd"),
        (lambda c: c["headline"]["bmd"].append("x"), "headline.bmd"),
        (lambda c: c["datasets"]["bmd"]["evaluate"].append("99"), "datasets.bmd.evaluate"),
        (lambda c: c["targets"]["b-blip"].update(backbone="x"), "targets.b-blip.backbone"),
    ],
)
def test_a_name_that_refers_to_nothing_is_refused_by_its_key(paper, breakage, key):
    breakage(paper)
    with pytest.raises(InputError, match=rf"config: {key}: expected one of .* found"):
        validation.check(paper)


@pytest.mark.parametrize(
    "layer, name, expected",
    [
        ("encoders", "mbm", "all"),
        ("encoders", "aligned-had", "all"),
        ("regressors", "linear", "bmd-01"),
        ("regressors", "single", "bmd-01"),
        ("regressors", "full", "bmd"),
        ("encoders", "aligned-zero-shot", "not-bmd-01"),
        ("regressors", "zero-shot", "not-bmd-01"),
    ],
)
def test_a_scope_says_whose_data_were_learned_from_and_reads_back(paper, layer, name, expected):
    scope = names.scope(paper, layer, name, Binding("bmd", "01"))
    assert scope == expected
    bound = names.binding(paper, scope)
    assert names.scope(paper, layer, name, bound) == scope


def test_an_unbound_encoder_is_shared_but_one_built_on_a_bound_one_is_not(paper):
    paper["encoders"]["late"] = {"init": "mbm-zero-shot", "align": "videos"}
    assert names.scope(paper, "encoders", "late", Binding("bmd", "02")) == "not-bmd-02"


def test_zero_shot_touches_nothing_of_the_held_out_subject(paper):
    w = SimpleNamespace(encoder="mbm-zero-shot", scope="not-bmd-01", seed="0")
    read = paths.learned_responses(paper, w)
    assert "results/bmd/responses/sub-02.h5" in read
    assert "results/bmd/responses/sub-01.h5" not in read
    w = SimpleNamespace(regressor="zero-shot", scope="not-bmd-01", seed="0", target="b-blip")
    assert all("sub-01" not in path and "/not-bmd-01/" in path for path in paths.learned_features(paper, w))


def test_an_impossible_cohort_is_refused(paper):
    paper["datasets"]["bmd"]["subjects"] = ["01"]
    with pytest.raises(InputError, match="no subject of bmd is left"):
        names.members(paper, "others", Binding("bmd", "01"))


def test_an_overlay_takes_a_dataset_out_of_a_cohort(paper):
    w = SimpleNamespace(encoder="mbm-had", scope="all", seed="0")
    assert any("/hcp/" in path for path in paths.learned_responses(paper, w))
    assert "hcp" in names.needed_datasets(paper)
    for cohort in ("hcp-bmd", "hcp-bmd-had", "hcp-others"):
        paper["cohorts"][cohort]["hcp"] = "none"
    validation.check(paper)
    read = paths.learned_responses(paper, w)
    assert {path.split("/")[1] for path in read} == {"bmd", "had"}
    assert "hcp" not in names.needed_datasets(paper)


def test_a_cohort_without_any_dataset_is_refused(paper):
    paper["cohorts"]["hcp-bmd"] = {"hcp": "none", "bmd": "none"}
    with pytest.raises(InputError, match=r"config: cohorts\.hcp-bmd: expected a dataset that is not none, found none"):
        validation.check(paper)


def test_what_needs_no_brain_is_made_once_under_any(paper):
    for variant in ("oracle", "mean", "random"):
        assert names.evaluated_subjects(paper, "bmd", variant) == ["any"]
    assert names.evaluated_subjects(paper, "bmd", "full") == ["01", "02"]


def test_a_variant_takes_its_latent_and_its_condition_from_where_the_config_says(paper):
    w = SimpleNamespace(dataset="bmd", variant="full", seed="0", subject="02")
    folder = "results/regressors/full/bmd/seed-0/bmd/sub-02"
    truth = "results/bmd/targets/z-zeroscope.h5"
    assert paths.generated(paper, w) == {"targets": truth, "latents": f"{folder}/z-zeroscope.h5"}
    assert paths.described(paper, w) == {"condition": f"{folder}/b-blip.h5"}
    w.variant = "clip-raw"
    states = "results/regressors/clip/bmd-02/seed-0/bmd/sub-02/c-openclip.h5"
    assert paths.generated(paper, w)["states"] == states
    assert paths.described(paper, w) == {}


def test_truth_with_a_role_is_the_true_target_and_without_one_the_captions(paper):
    w = SimpleNamespace(dataset="bmd", variant="oracle", seed="0", subject="any")
    true_b, true_c = "results/bmd/targets/b-blip.h5", "results/bmd/targets/c-openclip.h5"
    assert paths.described(paper, w) == {"captions": "results/bmd/captions.tsv"}
    paper["variants"]["oracle"]["condition"] = "truth/b"
    validation.check(paper)
    assert paths.described(paper, w) == {"condition": true_b}
    assert paths.evaluated(paper, w)["b_predictions"] == true_b and "states" not in paths.generated(paper, w)
    paper["variants"]["oracle"]["condition"] = "truth/c"
    assert paths.described(paper, w) == {} and paths.generated(paper, w)["states"] == true_c
    assert "b_predictions" not in paths.evaluated(paper, w)


def test_a_latent_that_the_generator_would_ignore_is_refused(paper):
    paper["variants"]["image-only"]["latent"] = "single"
    sentence = r"variants\.image-only\.latent: expected none, as generator image takes no latent, found single"
    with pytest.raises(InputError, match=sentence):
        validation.check(paper)


def test_noise_cannot_run_through_a_pipeline_that_is_bound_to_a_subject(paper):
    paper["variants"]["random"].update(latent="mlp", condition="none")
    sentence = (
        r"variants\.random\.input: expected responses, as regressor mlp is bound .* by cohort own, found gaussian"
    )
    with pytest.raises(InputError, match=sentence):
        validation.check(paper)


def test_no_text_has_no_role(paper):
    paper["variants"]["full"]["condition"] = "none/b"
    with pytest.raises(InputError, match=r"variants\.full\.condition: expected one of none, found 'none/b'"):
        validation.check(paper)


def test_an_encoder_that_starts_from_itself_is_refused(paper):
    paper["encoders"]["mbm"] = {"init": "aligned", "align": "videos"}
    with pytest.raises(
        InputError, match=r"encoders\.mbm\.init: expected another encoder, found mbm from aligned from mbm"
    ):
        validation.check(paper)


@pytest.mark.parametrize("who", ["own", "others"])
def test_own_and_others_are_of_the_evaluated_dataset(paper, who):
    paper["cohorts"]["own"] = {"bmd": who}
    assert names.members(paper, "own", Binding("bmd", "01"))
    with pytest.raises(InputError, match=rf"cohort own: .* learns from {who} of bmd is evaluated on bmd, found cc2017"):
        names.members(paper, "own", Binding("cc2017", "1"))


def test_a_dataset_of_which_nobody_is_evaluated_has_no_scores_of_a_decoder(paper):
    w = SimpleNamespace(dataset="had", variant="full")
    with pytest.raises(InputError, match=r"datasets\.had\.evaluate: expected the subjects .* variant full, found none"):
        paths.scores(paper, w)
    assert len(paths.scores(paper, SimpleNamespace(dataset="had", variant="oracle"))) == 1


def test_a_file_of_responses_that_the_config_does_not_know_is_refused(paper):
    with pytest.raises(InputError, match=r"responses of bmd: expected one of sub-01, .* found sub-99"):
        names.inside(paper, "bmd", "sub-99")


def test_random_runs_noise_through_the_trained_pipeline(paper):
    w = SimpleNamespace(dataset="bmd", variant="random", seed="0", subject="any")
    assert paths.generated(paper, w)["latents"] == "results/regressors/full/bmd/seed-0/bmd/sub-gaussian/z-zeroscope.h5"


def test_a_subject_listed_twice_is_refused(paper):
    paper["datasets"]["hcp"]["subjects"] = ["100206", "100307", "100206"]
    with pytest.raises(InputError, match=r"config: datasets\.hcp\.subjects: expected each once, found 100206 twice"):
        validation.check(paper)


@pytest.mark.parametrize("root", ["~/data", "/data/{study}", ""])
def test_a_folder_that_shell_or_snakemake_would_read_otherwise_is_refused(paper, root):
    schema = ROOT / "workflow/schemas/config.schema.yaml"
    paper["datasets"]["bmd"]["root"] = "/my data/d'été $HOME (1)"
    validation.validate(paper, schema)
    paper["datasets"]["bmd"]["root"] = root
    with pytest.raises(InputError, match=r"config: datasets\.bmd\.root: .* does not match .* spelt out: no ~, and no"):
        validation.validate(paper, schema)


def test_a_person_under_two_spellings_is_refused(paper):
    """A zero-shot model for one of them would have learnt from the other."""
    paper["datasets"]["bmd"]["subjects"] = ["1", "01", "02", "10"]
    with pytest.raises(InputError, match=r"config: datasets\.bmd\.subjects: expected each once, found 1, 01 twice"):
        validation.check(paper)


def test_a_cohort_may_not_cut_through_a_shard(paper):
    hcp = paper["datasets"]["hcp"]
    hcp["shard_subjects"] = 2
    paper["cohorts"]["hcp-bmd"]["hcp"] = hcp["subjects"][:4]
    validation.check(paper)
    paper["cohorts"]["hcp-bmd"]["hcp"] = hcp["subjects"][:3]
    with pytest.raises(InputError, match=r"config: cohorts\.hcp-bmd\.hcp: expected all subjects of shard-001 or none"):
        validation.check(paper)


def test_subjects_can_be_cut_into_shards(paper):
    hcp = paper["datasets"]["hcp"]
    hcp["shard_subjects"] = 2
    assert list(names.shards(paper, "hcp")) == ["shard-000", "shard-001", "shard-002"]
    assert names.response_stems(paper, "hcp", hcp["subjects"][2:4]) == ["shard-001"]


def test_a_recipe_is_align_but_for_what_it_says(paper):
    plain = names.alignment(paper, "aligned-had")
    assert plain == paper["align"]
    paper["align"]["training"]["epochs"] = 7
    paper["recipes"]["brainflix"] = {"loss": {"temperature": 0.1}, "training": {"batch": 9}}
    ours = names.alignment(paper, "aligned-brainflix")
    assert ours["loss"] == {**plain["loss"], "temperature": 0.1}
    assert ours["training"] == {**plain["training"], "epochs": 7, "batch": 9}
    assert paper["align"]["loss"]["temperature"] == 0.9, "the config itself stays as it is"


def test_a_recipe_of_what_is_not_aligned_is_refused(paper):
    paper["encoders"]["mbm"]["recipe"] = "brainflix"
    with pytest.raises(InputError, match=r"encoders\.mbm\.recipe: expected none, as it is not aligned"):
        validation.check(paper)


def test_aligning_on_from_an_encoder_with_adapters_is_refused(paper):
    paper["encoders"]["twice"] = {"init": "aligned-brainflix", "align": "videos"}
    with pytest.raises(InputError, match=r"encoders\.twice\.init: expected an encoder without adapters"):
        validation.check(paper)


def test_texts_that_are_sampled_are_each_captions_own(paper):
    at = SimpleNamespace(encoder="aligned-brainflix", scope="all", seed=0)
    assert paths.learned_texts(paper, at) == [f"results/{d}/targets/e-openclip-each.h5" for d in ("bmd", "cc2017")]
    at.encoder = "aligned-had"
    assert paths.learned_texts(paper, at) == [f"results/{d}/targets/e-openclip.h5" for d in ("bmd", "cc2017")]


@pytest.mark.parametrize("variant", ["zero-shot-own-dataset", "zero-shot-brainflix"])
def test_nothing_that_a_zero_shot_variant_learns_from_is_of_the_tested_subject(paper, variant):
    """Followed from the prediction back to the raw files: the subject is read to be embedded, and nowhere else."""
    regressor = paper["variants"][variant]["latent"]
    scope = names.scope(paper, "regressors", regressor, Binding("bmd", "01"))
    encoder = paper["regressors"][regressor]["encoder"]
    learned = paths.learned_features(paper, SimpleNamespace(regressor=regressor, scope=scope, seed=0))
    while encoder:
        at = SimpleNamespace(
            encoder=encoder, scope=names.scope(paper, "encoders", encoder, Binding("bmd", "01")), seed=0
        )
        assert at.scope == "not-bmd-01"
        learned += paths.learned_responses(paper, at)
        encoder = paper["encoders"][encoder].get("init")
    assert len(learned) > 20 and not [
        path for path in learned if path.endswith("/bmd/sub-01.h5") or "bmd/responses/sub-01" in path
    ]
