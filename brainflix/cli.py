"""The command line: one verb per step; a step's signature and docstring are its options.

Steps are imported only when they are called, so ``brainflix --help`` and light steps stay fast.
"""

from __future__ import annotations

import sys

from cyclopts import App, CycloptsError, Parameter

from brainflix import __version__, origin
from brainflix.errors import InputError

STEPS = {
    "check": "Say which raw files are there, which are missing and where to get them, and what looks wrong.",
    "synthesize": "Write a simulated study in a dataset's native layout.",
    "index": "List a dataset's stimuli.",
    "parcellate": "Cut one subject's responses out of the raw files: the 41 Glasser ROIs.",
    "reliability": "Average repeats over the whole cortex, and measure how well they agree.",
    "qc": "Tabulate and draw noise ceiling, repeat reliability and intersubject correlation.",
    "stack": "Put tables of single subjects under each other.",
    "project": "Map a series of volumes onto fsLR-32k.",
    "betas": "Estimate the response to every trial of some runs.",
    "caption": "Give every stimulus its captions.",
    "extract": "Compute a target (z, b, text states, ...) for every stimulus.",
    "import_mbm": "Turn a published checkpoint of a masked brain model into an encoder.",
    "pretrain": "Masked brain modelling.",
    "align": "Align an encoder with caption embeddings by contrastive learning.",
    "embed": "Run an encoder over a subject's responses.",
    "regress": "Fit a regressor from features to a target.",
    "gaussian": "Write random responses in place of a subject's: the paper's random baseline.",
    "average": "Predict the mean of the training targets for every test stimulus.",
    "predict": "Predict a target for the test stimuli.",
    "measure": "Score predicted targets.",
    "describe": "Decode captions from predicted BLIP embeddings.",
    "generate": "Generate videos from latents and captions.",
    "evaluate": "Score generated videos, stimulus by stimulus.",
    "summarize": "Turn scores into values with intervals and chance.",
    "headline": "Put the variants of a dataset into one table.",
    "gallery": "Draw stimuli, reconstructions and oracle side by side.",
    "curves": "Draw how the loss fell in training.",
    "show": "Print result tables.",
    "plan": "Estimate jobs, hours and disk of what is still to be made.",
    "status": "Say what a run of the workflow is doing: jobs by rule, training, failures.",
    "provenance": "Write down what a finished table was made from.",
    "bundle": "Pack a finished table with all that is needed to check it.",
    "verify": "Check a bundle, or run it again.",
    "backbone": "Train one of the tiny backbones on the simulated world.",
}

app = App(
    name="brainflix",
    help=__doc__,
    version=__version__,
    result_action="return_value",
    # Lists follow one flag: --scores a.csv b.csv
    default_parameter=Parameter(consume_multiple=True, negative=()),
)
for _name, _help in STEPS.items():
    app.command(f"brainflix.steps.{_name}:{_name}", name=_name.replace("_", "-"), help=_help)


def main() -> None:
    """Run a step; bad input, or bad usage, is one line on stderr and exit code 1."""
    origin.announce(sys.argv[1:])
    try:
        app(exit_on_error=False, print_error=False)
    except (InputError, CycloptsError) as error:
        print(f"brainflix: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
