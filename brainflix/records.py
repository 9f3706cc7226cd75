"""What an output is made from, written down when its job starts and not only when it ends.

Snakemake records parameters and inputs of an output when its main process sees the job end. A job that outlives a
killed main process ends unseen: its output would then count as up to date for ever, whatever is changed in the config,
as there is nothing to compare with.
"""

from __future__ import annotations

import time
from typing import Any


def from_the_start(persistence: Any) -> None:
    """Have Snakemake's record of a job's outputs written at its start as well.

    Not public, but all that tells parameters as Snakemake compares them; it is held to one major version.
    """
    from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord

    started = persistence.started

    def start(job: Any, external_jobid: str | None = None) -> None:
        started(job, external_jobid)
        now = time.time()
        record = MetadataRecord(
            record_format_version=RECORD_FORMAT_VERSION,
            rule=job.rule.name,
            code=persistence._code(job.rule),
            input=persistence._input(job),
            params=persistence._params(job),
            log=persistence._log(job),
            shellcmd=job.shellcmd,
            conda_env=persistence._conda_env(job),
            container_img_url=job.container_img_url,
            software_stack_hash=persistence._software_stack_hash(job),
            job_hash=hash(job),
            starttime=now,
            endtime=now,
        )
        for output in job.output:
            persistence._write_record(persistence._get_key(output), record)

    persistence.started = start
