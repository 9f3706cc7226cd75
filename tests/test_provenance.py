"""Provenance is walked back through Snakemake's records; a bundle holds it, and says who touched what."""

import json
import shutil
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from brainflix import artifacts, crate, provenance
from brainflix.errors import InputError
from brainflix.steps.bundle import bundle
from brainflix.steps.headline import headline
from brainflix.steps.provenance import provenance as write_provenance
from brainflix.steps.summarize import SummarizeSettings, summarize
from brainflix.steps.verify import verify

ROOT = Path(__file__).parents[1]
TARGET = Path("results/bmd/metrics.csv")
VARIANTS = ["oracle", "full"]


def config():
    found = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    found["headline"]["bmd"] = VARIANTS
    found["summarize"]["resamples"] = 200
    return found


def record(name, rule, inputs=(), log=None):
    """Write a record as Snakemake does."""
    path = Path(".snakemake/metadata") / urlsafe_b64encode(str(name).encode()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    times = {"starttime": 1_700_000_000.0, "endtime": 1_700_000_100.5, "external_jobid": None}
    values = {"rule": rule, "input": [str(i) for i in inputs], "log": [log] if log else []}
    path.write_text(json.dumps({**values, **times}))


def write_scores(path, variant, subject):
    rng = np.random.default_rng(len(variant))
    rows = [
        {"stimulus": f"{clip:04d}", "metric": metric, "value": rng.uniform(0.2, 0.9), "chance": 0.1, "group": clip}
        for metric in ("ssim", "b_mse", "retrieval_top1")
        for clip in range(20)
    ]
    about = {"using": "toy (frames 2)", "shuffles": 5, "dataset": "bmd", "variant": variant, "subject": subject}
    artifacts.write_table(path, pd.DataFrame(rows).assign(**about, seed=0, simulated=True))


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder in which ``results/bmd/metrics.csv`` was made from scores, those from videos, those from raw files."""
    monkeypatch.chdir(tmp_path)
    settings, tables = SummarizeSettings(**config()["summarize"]), []
    raw = Path("data/bmd/raw.bin")
    raw.parent.mkdir(parents=True)
    raw.write_bytes(b"raw" * 100)
    record("results/bmd/videos.h5", "generate", [raw])
    for variant in VARIANTS:
        scores = []
        for subject in ["any"] if variant == "oracle" else ["01", "02"]:
            path = Path(f"results/bmd/{variant}/seed-0/sub-{subject}/scores.csv")
            log = Path(f"results/logs/evaluate/bmd/{variant}/seed-0/sub-{subject}.log")
            write_scores(path, variant, subject)
            record(path, "evaluate", ["results/bmd/videos.h5"], str(log))
            measured = Path(f"results/benchmarks/evaluate/bmd/{variant}/seed-0/sub-{subject}.tsv")
            measured.parent.mkdir(parents=True, exist_ok=True)
            measured.write_text("s\n1.0\n")
            scores.append(path)
        tables.append(Path(f"results/bmd/{variant}/metrics.csv"))
        summarize(scores=scores, settings=settings, out=tables[-1])
        record(tables[-1], "summarize", scores)
    headline(metrics=tables, out=TARGET)
    record(TARGET, "headline", tables)
    figure = Path("results/figures/gallery-bmd.png")
    figure.parent.mkdir()
    figure.write_bytes(b"\x89PNG\r\n\x1a\nx")
    describe()
    return tmp_path


def describe():
    write_provenance(target=TARGET, config=config(), out=TARGET.with_name("provenance.json"))


def test_everything_that_made_a_table_is_told(study):
    found = provenance.read(TARGET.with_name("provenance.json"))
    assert found["target"] == str(TARGET) and found["config"]["headline"]["bmd"] == VARIANTS
    assert found["seeds"] == {"seeds": [0], "gaussian_seed": 0, "clips_seed": 0, "phantom_seed": 0}
    (raw,) = found["inputs"]
    assert raw == {"path": "data/bmd/raw.bin", "bytes": 300, "sha256": provenance.checksum(Path("data/bmd/raw.bin"))}
    assert len(found["jobs"]) == 1 + 3 + 2 + 1 and not found["unrecorded"]
    assert found["code"]["sha256"] and found["packages"]["torch"] and found["machine"]["cpu"]


def test_a_result_that_nobody_is_known_to_have_made_is_told(study):
    record("results/bmd/videos.h5", "generate", ["data/bmd/raw.bin", "results/models/by-hand.h5"])
    describe()
    assert provenance.read(TARGET.with_name("provenance.json"))["unrecorded"] == ["results/models/by-hand.h5"]


def test_records_under_long_names_are_found(study):
    name = "results/" + "/".join(["x" * 60] * 6) + "/scores.csv"
    key = urlsafe_b64encode(name.encode()).decode()
    pieces = [key[i : i + 254] for i in range(0, len(key), 254)]
    path = Path(".snakemake/metadata", *(f"@{piece}" for piece in pieces[:-1]), pieces[-1])
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"rule": "evaluate", "input": [], "log": [], "starttime": 0, "endtime": 0}))
    assert set(provenance.history(name, Path(".snakemake")).jobs) == {name}


def test_large_files_are_told_by_size_and_parts_unless_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "WHOLE_BYTES", 100)
    path = tmp_path / "large.bin"
    content = np.random.default_rng(0).bytes(1_000_000)
    path.write_bytes(content)
    first = provenance.fingerprint(path, whole=False)
    assert "sha256" not in first and first["bytes"] == 1_000_000
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert provenance.fingerprint(path, whole=False) != first, "the last byte counts"
    assert provenance.fingerprint(path, whole=True)["sha256"] == provenance.checksum(path)


def test_a_folder_is_told_by_names_and_sizes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(b"12")
    first = provenance.fingerprint(tmp_path / "a", whole=False)
    (tmp_path / "a" / "1.png").write_bytes(b"123")
    assert first["files"] == 1 and provenance.fingerprint(tmp_path / "a", whole=False) != first


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda: shutil.rmtree(".snakemake"), "expected a record of the job that made results/bmd/metrics.csv"),
        (lambda: Path("data/bmd/raw.bin").unlink(), "data/bmd/raw.bin: expected a raw file that was read"),
        (lambda: TARGET.unlink(), "expected a file that the workflow made, found nothing"),
    ],
)
def test_provenance_that_cannot_be_known_is_refused(study, spoil, words):
    spoil()
    with pytest.raises(InputError, match=words):
        describe()


@pytest.fixture
def packed(study, capsys):
    bundle(TARGET, out=study / "b.zip")
    return study / "b.zip"


def names(path):
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_a_bundle_holds_tables_scores_figures_and_no_raw_data(packed):
    found = names(packed)
    assert {"ro-crate-metadata.json", "config.yaml", "provenance.json", str(TARGET)} <= found
    assert {f"results/bmd/{v}/metrics.csv" for v in VARIANTS} <= found and "results/figures/gallery-bmd.png" in found
    assert sum(name.endswith("scores.csv") for name in found) == 3
    assert sum(name.startswith("results/benchmarks/") for name in found) == 3
    assert not [name for name in found if name.endswith((".h5", ".bin", ".mp4", "captions.tsv"))]


def test_the_same_files_make_the_same_bundle(packed, study):
    bundle(TARGET, out=study / "again.zip")
    assert packed.read_bytes() == (study / "again.zip").read_bytes()


def test_a_bundle_that_was_moved_to_an_empty_folder_is_verified(packed, tmp_path_factory, monkeypatch, capsys):
    empty = tmp_path_factory.mktemp("elsewhere")
    shutil.move(packed, empty / "b.zip")
    monkeypatch.chdir(empty)
    verify(Path("b.zip"))
    text = capsys.readouterr().out
    assert "3 tables follow from the scores" in text and "the code here" in text
    assert [path.name for path in empty.iterdir()] == ["b.zip"], "nothing is left behind"


def rewrite(path, change, *, honest):
    """Change a file of a bundle; ``honest`` puts the new checksum into the inventory."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    if honest:
        inventory = json.loads(files["ro-crate-metadata.json"])
        about = {"name": "x", "description": "x", "licence": "x", "version": "1", "sources": {}, "began": 0, "ended": 0}
        about["target"] = next(e for e in inventory["@graph"] if e["@id"] == "./")["mainEntity"]["@id"]
        rest = {name: content for name, content in files.items() if name != "ro-crate-metadata.json"}
        crate.write(path, rest, about)
        return
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def flatter(files, name="results/bmd/metrics.csv"):
    table = files[name].decode().splitlines()
    cells = table[-1].split(",")
    cells[5] = "0.99"
    files[name] = ("\n".join([*table[:-1], ",".join(cells)]) + "\n").encode()


SCORES = "results/bmd/full/seed-0/sub-01/scores.csv"


@pytest.mark.parametrize(
    "change, honest, words",
    [
        (flatter, False, r"results/bmd/metrics.csv: expected sha256"),
        (flatter, True, r"results/bmd/metrics.csv: expected what follows from the scores, found value 0.99 for"),
        (lambda f: flatter(f, "results/bmd/full/metrics.csv"), True, r"bmd/(full/)?metrics.csv: expected what follows"),
        (lambda f: f.update({SCORES: f[SCORES].replace(b"0.", b"0.0", 1)}), False, rf"{SCORES}: expected sha256"),
        (lambda f: f.pop(SCORES), False, rf"{SCORES}: expected the file that is listed, found none"),
        (lambda f: f.pop(SCORES), True, rf"full/metrics.csv: expected {SCORES}, which it is made from, found none"),
        (lambda f: f.update({"extra.csv": b"x"}), False, r"extra.csv: expected no file that is not listed"),
        (lambda f: f.update({"../evil.csv": b"x"}), True, r"expected names of files below one folder"),
        (
            lambda f: f.update({"config.yaml": b"seeds: [1]\n"}),
            True,
            r"config.yaml: expected the configuration",
        ),
        (lambda f: f.pop("provenance.json"), True, r"expected provenance.json and config.yaml"),
        (lambda f: f.pop("ro-crate-metadata.json"), False, r"expected an RO-Crate's ro-crate-metadata.json"),
        (lambda f: f.update({"ro-crate-metadata.json": b"{}"}), False, r"expected an RO-Crate's"),
    ],
)
def test_a_bundle_that_was_tampered_with_is_refused_by_name(packed, change, honest, words):
    rewrite(packed, change, honest=honest)
    with pytest.raises(InputError, match=words):
        verify(packed)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"text"])
def test_what_is_no_bundle_is_refused(tmp_path, content):
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(InputError, match=r"b.zip: expected a bundle \(zip\)"):
        verify(tmp_path / "b.zip")
    with pytest.raises(InputError, match="expected a bundle"):
        verify(tmp_path / "none.zip")


def test_a_flipped_bit_anywhere_is_noticed(packed, tmp_path):
    content = packed.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 40):
        spoilt = bytearray(content)
        spoilt[place] ^= 1
        path = tmp_path / "spoilt.zip"
        path.write_bytes(spoilt)
        try:
            files, _ = crate.read(path)
        except InputError:
            continue
        whole, _ = crate.read(packed)
        assert files == whole, "a bit that no file's content depends on (a time, say)"


def test_a_table_without_provenance_or_with_another_tables_is_not_bundled(study):
    artifacts.write_table(TARGET, pd.read_csv(TARGET).iloc[:-1])
    with pytest.raises(InputError, match=r"expected the provenance of results/bmd/metrics.csv as it is"):
        bundle(TARGET)
    TARGET.with_name("provenance.json").unlink()
    with pytest.raises(InputError, match=r"make it with: snakemake --cores 1 results/bmd/provenance.json"):
        bundle(TARGET)
    with pytest.raises(InputError, match="expected a finished table, found nothing"):
        bundle(Path("results/none/metrics.csv"))


def test_the_bundle_is_an_ro_crate(packed):
    """By the specification, https://www.researchobject.org/ro-crate/specification/1.1."""
    with zipfile.ZipFile(packed) as archive:
        found = json.loads(archive.read("ro-crate-metadata.json"))
        listed = set(archive.namelist())
    assert found["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    entities = {entity["@id"]: entity for entity in found["@graph"]}
    assert len(entities) == len(found["@graph"]), "every @id once"
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert descriptor["@type"] == "CreativeWork" and descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset" and {"name", "description", "datePublished", "license"} <= set(root)
    assert root["datePublished"] == "2023-11-14T22:15:00+00:00", "the end of the last job"
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == listed - {"ro-crate-metadata.json"}
    for name in parts:
        assert entities[name]["@type"] == "File" and int(entities[name]["contentSize"]) > 0

    def references(value):
        if isinstance(value, dict):
            return [value["@id"]] if set(value) == {"@id"} else [r for v in value.values() for r in references(v)]
        return [r for v in value for r in references(v)] if isinstance(value, list) else []

    dangling = {r for entity in entities.values() for r in references(entity)} - set(entities)
    assert dangling == {"https://w3id.org/ro/crate/1.1"}
