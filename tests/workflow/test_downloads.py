"""Downloads as people have them, through the real workflow: names with spaces, clips that are folders."""

import shutil

import cv2
import pytest

from brainflix import artifacts
from tests.datasets import raw, studies


@pytest.mark.slow
def test_names_with_spaces_and_folders_of_pictures_survive_shell_and_snakemake(snakemake, tmp_path):
    had, bmd = tmp_path / "my downloads/had 1.1.1", tmp_path / "my downloads/bmd (clips as pictures)"
    studies.write_had(had)
    studies.write_bmd(bmd)
    shutil.rmtree(bmd / "stimuli")
    for clip in ("0001", "0002", "0003", "0004", "1001", "1002"):
        (bmd / "stimuli/frames" / clip).mkdir(parents=True)
        for i, picture in enumerate(raw.numbered(3), start=1):
            cv2.imwrite(str(bmd / "stimuli/frames" / clip / f"{i}.png"), picture)
    overlay = {
        "datasets": {
            "had": {"root": str(had), "subjects": ["01"], "options": studies.HAD},
            "bmd": {"root": str(bmd), "subjects": ["01"], "evaluate": ["01"], "options": studies.BMD},
        }
    }
    targets = ["results/had/responses/sub-01.h5", "results/bmd/responses/sub-01.h5", "results/bmd/captions.tsv"]
    run = snakemake("--cores", "1", *targets, overlay=overlay)
    assert run.code == 0, run.text[-3000:]
    assert len(artifacts.read(tmp_path / targets[0], kind="responses").rows) == 360
    assert len(artifacts.read(tmp_path / targets[1], kind="responses").rows) == 14
    table = artifacts.read_table(tmp_path / "results/bmd/stimuli.tsv", columns=["path"])
    assert table["path"][0] == str(bmd / "stimuli/frames/0001")
    again = snakemake("--dry-run", *targets, overlay=overlay)
    assert again.code == 0 and not again.jobs
