# What all rules share: names and paths of the config, turned into inputs and flags.
# Named inputs of a rule are the flags of its step: input.features -> --features (see flags()).
import functools
import json
import shlex
import sys
from pathlib import Path

from brainflix import config as names
from brainflix import consistency, locks, paths, rawfiles, records, runlog, slurm
from brainflix import trained, validation
from brainflix.errors import InputError


def refuse(why):
    """Stop with a sentence; under an exception Snakemake would put a traceback."""
    sys.exit(f"brainflix: {why}")


if workflow.is_main_process:
    locks.clear_stale()
    run_log = runlog.attach(workflow)  # Snakefile ends it
    slurm.harden()


onstart:
    # of the main process only, when it holds its lock; never of a dry-run
    records.from_the_start(workflow.persistence)
    moved = workflow.overwrite_workdir is not None
    try:
        slurm.take_over(workflow.executor_settings, folder=Path.cwd(), moved=moved)
    except InputError as error:
        refuse(error)


try:
    validation.validate(
        config, Path(workflow.source_path("../schemas/config.schema.yaml"))
    )
    validation.check(config)
    consistency.check(config)
except InputError as error:
    refuse(error)

VARIANT, ENCODER, REGRESSOR = paths.VARIANT, paths.ENCODER, paths.REGRESSOR

# Steps run beside the interpreter that runs Snakemake; math libraries use the threads of the config.
# `within MINUTES` has a training in a SLURM job of so many minutes save and leave a sixtieth before they are over. It
# is no parameter, as changing when to save is no reason to train anew.
# glibc gives freed arrays back to the kernel and asks for them again, which costs torch a tenth of its time on a CPU.
shell.prefix(
    f"export PATH=$PATH:{shlex.quote(str(Path(sys.executable).parent))}"
    f" OMP_NUM_THREADS={config['threads']} OPENBLAS_NUM_THREADS={config['threads']}"
    " MALLOC_MMAP_THRESHOLD_=268435456 MALLOC_TRIM_THRESHOLD_=268435456 BRAINFLIX_JOB=1;"
    ' within() {{ [ -z "${{SLURM_JOB_ID:-}}" ] || echo "--max-seconds $(($1 * 59))"; }}; '
)


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    target="|".join(config["targets"]),
    encoder="|".join(config["encoders"]),
    regressor="|".join(config["regressors"]),
    variant="|".join(config["variants"]),
    stem="(sub|shard)-[A-Za-z0-9]+",
    subject="[A-Za-z0-9]+",
    scope="[A-Za-z0-9-]+",
    seed=r"\d+",
    recording="|".join(config["recordings"]) or "(?!)",
    run=r"\d+",


def asked(function):
    """An input function from one of brainflix.paths."""

    def find(wildcards):
        try:
            return function(config, wildcards)
        except InputError as error:
            refuse(error)

    return find


def flags(wildcards, input):
    """Named inputs as command-line flags."""
    lists = {
        name: [files] if isinstance(files, str) else list(files)
        for name, files in input.items()
    }
    return " ".join(
        f"--{name.replace('_', '-')} {shlex.join(files)}"
        for name, files in lists.items()
        if files
    )


def settings(*keys):
    """A section of the config as JSON for --settings; a change in it re-runs what uses it."""
    value = config
    for key in keys:
        value = value[key]
    return json.dumps(value)


def one_of(choices):
    """A wildcard constraint; one that matches nothing where there is no choice."""
    return "|".join(choices) or "(?!)"


def source(wildcards):
    """--dataset and --root of a dataset."""
    entry = config["datasets"][wildcards.dataset]
    return f"--dataset {entry['adapter']} --root {shlex.quote(entry['root'])}"


def options(wildcards):
    """--subjects of a dataset, all or one shard, and its --options."""
    entry = config["datasets"][wildcards.dataset]
    stem = getattr(wildcards, "stem", None)
    subjects = (
        names.inside(config, wildcards.dataset, stem) if stem else entry["subjects"]
    )
    return f"--subjects {shlex.join(subjects)} --options {shlex.quote(json.dumps(entry['options']))}"


@asked
def stimulus_files(config, wildcards):
    """Raw files that say what was shown."""
    return rawfiles.stimulus_files(config, wildcards, workflow.dag_settings.targets)


@asked
def response_files(config, wildcards):
    """Raw files that hold the responses of a subject, or of a shard of subjects."""
    return rawfiles.response_files(config, wildcards, workflow.dag_settings.targets)


def backbone(name):
    """Where a frozen model is: a name on the hub, a folder, or brainflix:<folder in the package>."""
    return config["backbones"][name]


def generator(wildcards):
    """The generator of a variant."""
    return config["generators"][config["variants"][wildcards.variant]["generator"]]


def captioner(wildcards):
    """Flags that name a captioner and say how it works, where the dataset has no human captions."""
    name = config["datasets"][wildcards.dataset]["captioner"]
    if not name:
        return ""
    return f"--captioner {shlex.quote(backbone(name))} --settings {shlex.quote(settings('caption'))}"
