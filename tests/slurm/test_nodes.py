"""Training on several nodes, started as config/README.md says, is the training of one process."""

import json
import re

import numpy as np

from brainflix import artifacts

from .conftest import Clone
from .test_faults import FAULTS, LOG, TARGET, clone, undisturbed  # noqa: F401  (fixtures)

LAUNCH = (
    "srun --nodes=2 --ntasks=2 --cpus-per-task=1 torchrun --nnodes=2 --nproc-per-node=1 --rdzv-backend=c10d"
    " --rdzv-endpoint=$(hostname):29511 --rdzv-id=$SLURM_JOB_ID --no-python"
)
RESOURCES = {
    "nodes": 2,
    "tasks": 2,
    "tasks_per_gpu": 0,
    "mpi": "'srun'",
    "cpus_per_task": 1,
    "gpu": 2,
    "launch": f"'{LAUNCH}'",
}


def test_two_nodes_train_what_one_process_does(clone, undisturbed):  # noqa: F811
    wishes = [f"pretrain:{name}={value}" for name, value in RESOURCES.items()]
    Clone(clone.folder, clone.lab, overlays=FAULTS, options=["--set-resources", *wishes]).submit(TARGET).finish()
    said = (clone.folder / LOG).read_text()
    assert {json.loads(line)["node"] for line in re.findall(r"^made by (.*)$", said, re.M)} == {"gpu1", "gpu2"}
    one, two = (artifacts.load_weights(made.folder / TARGET, kind="encoder")[0] for made in (undisturbed, clone))
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=0, atol=1e-4, err_msg=name)
