# brainflix: from raw fMRI to the tables and figures of the paper.
#
# A path names every choice that determined the file, and nothing else:
#   results/recordings/{recording}/run-{run}.dtseries.nii  betas.dscalar.nii    project, betas
#   results/{dataset}/stimuli.tsv  captions.tsv                                 index, caption
#   results/{dataset}/responses/sub-{subject}.h5  (hcp: shard-{shard}.h5)       parcellate (.qc.tsv beside it)
#   results/{dataset}/reliability/sub-{subject}.h5                              reliability
#   results/{dataset}/qc/sub-{subject}.csv .dscalar.nii  qc.csv                  qc, stack
#   results/{dataset}/targets/{target}.h5  {target}-each.h5  {target}-mean.h5    extract, extract --each, average
#   results/encoders/{encoder}/{scope}/seed-{seed}/encoder.safetensors .csv     pretrain, align, import_mbm
#   results/encoders/{encoder}/{scope}/seed-{seed}/{dataset}/sub-{subject}.h5   embed
#   results/regressors/{regressor}/{scope}/seed-{seed}/{target}.safetensors .csv  regress
#   .../{regressor}/{scope}/seed-{seed}/{dataset}/sub-{subject}/{target}.h5     predict (.csv: measure)
#   results/{dataset}/{variant}/seed-{seed}/sub-{subject}/                      describe, generate, evaluate
#   results/{dataset}/{variant}/metrics.csv                                     summarize
#   results/{dataset}/metrics.csv                                               headline
#   results/ablations/{variant}/metrics.csv                                     one ablation, on BMD
#   results/{dataset}/provenance.json  (ablations and variants too)             provenance
#   results/figures/gallery-{dataset}.png .mp4  qc-{dataset}-{subject}.png      gallery, qc
#   results/figures/training-{dataset}.svg                                      curves
from snakemake.utils import min_version

min_version("9.27")


configfile: workflow.source_path("config/paper.yaml")


report: "workflow/report/workflow.rst"


if "container" in config:

    container: config["container"]


include: "workflow/rules/common.smk"
include: "workflow/rules/phantom.smk"
include: "workflow/rules/recordings.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/qc.smk"
include: "workflow/rules/targets.smk"
include: "workflow/rules/encode.smk"
include: "workflow/rules/regress.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        expand("results/{dataset}/metrics.csv", dataset=config["headline"]),
        expand("results/{dataset}/provenance.json", dataset=config["headline"]),
        expand("results/figures/gallery-{dataset}.png", dataset=config["headline"]),
    localrule: True


onsuccess:
    run_log.finish(good=True)


onerror:
    run_log.finish(good=False)
