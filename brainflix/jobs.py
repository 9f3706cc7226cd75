"""The jobs that a target of the workflow needs, as Snakemake plans them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainflix.errors import InputError

_CORES = 1024  # as many as no rule asks for: planned threads are not to be scaled down


@dataclass(frozen=True)
class Job:
    """A job of the plan.

    Attributes:
        outputs: files it makes.
        is_local: runs in Snakemake's own process, not as a job of a cluster.
        gpu, threads, runtime: what it asks for; minutes.
    """

    rule: str
    wildcards: Mapping[str, str]
    outputs: tuple[str, ...]
    is_local: bool
    gpu: int
    threads: int
    runtime: int


def planned(
    targets: Sequence[str], *, snakefile: Path, configfiles: Sequence[Path], everything: bool = False
) -> tuple[list[Job], dict[str, Any]]:
    """Jobs that are still to be run for some targets, seen from the current folder, and the whole configuration.

    Args:
        everything: as if nothing had been made yet.

    Raises:
        InputError: no Snakefile, or what the workflow says where it refuses to plan.
    """
    from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi
    from snakemake.exceptions import RuleException
    from snakemake_interface_common.exceptions import WorkflowError

    if not snakefile.is_file():
        raise InputError.about(snakefile, expected="the project's Snakefile (--snakefile)", found="nothing")
    try:
        with SnakemakeApi(OutputSettings(log_level_override=logging.CRITICAL, dryrun=True)) as api:
            workflow = api.workflow(
                resource_settings=ResourceSettings(cores=_CORES),
                config_settings=ConfigSettings(configfiles=[path.absolute() for path in configfiles]),
                snakefile=snakefile,
            )
            dag = workflow.dag(DAGSettings(targets=frozenset(targets), forceall=everything))
            dag.execute_workflow(executor="dryrun")
            # Not public, but all that tells local jobs; Snakemake is held to one major version.
            inner = workflow._workflow
            jobs = [_job(job, inner) for job in inner.dag.needrun_jobs(exclude_finished=False)]
            return jobs, inner.globals["config"]
    except (WorkflowError, RuleException) as error:
        raise InputError(f"snakemake: {error}") from error
    except SystemExit as error:  # the Snakefile refused the configuration or missing data, in a sentence
        raise InputError(str(error.code).removeprefix("brainflix: ")) from error


def _job(job: Any, workflow: Any) -> Job:
    resources = job.resources
    return Job(
        rule=job.rule.name,
        wildcards=dict(job.wildcards_dict),
        outputs=tuple(map(str, job.output)),
        is_local=job.rule.norun or job.rule.name in workflow._localrules,  # all are, to a dry-run
        gpu=int(resources.get("gpu", 0)),
        threads=int(job.threads),
        runtime=int(resources.get("runtime", 0)),
    )
