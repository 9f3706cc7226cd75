# Quality control to look at: noise ceiling, repeat reliability, intersubject correlation.
rule reliability:
    input:
        response_files,
        stimuli="results/{dataset}/stimuli.tsv",
    output:
        "results/{dataset}/reliability/{stem}.h5",
    log:
        "results/logs/reliability/{dataset}/{stem}.log",
    benchmark:
        "results/benchmarks/reliability/{dataset}/{stem}.tsv"
    wildcard_constraints:
        stem="sub-[A-Za-z0-9]+",
    resources:
        mem_mb=lambda wildcards, attempt: 12000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        source=source,
        options=options,
        inputs=flags,
        space=config["qc"]["space"],
    shell:
        "brainflix reliability --name {wildcards.dataset} {params.source} {params.options} {params.inputs}"
        " --space {params.space} --out {output} > {log} 2>&1"


rule qc:
    input:
        reliability="results/{dataset}/reliability/sub-{subject}.h5",
        others=asked(paths.other_reliabilities),
    output:
        table="results/{dataset}/qc/sub-{subject}.csv",
        maps="results/{dataset}/qc/sub-{subject}.dscalar.nii",
        figure=report(
            "results/figures/qc-{dataset}-{subject}.png",
            category="quality control",
            labels={"dataset": "{dataset}", "subject": "{subject}"},
            caption="../report/qc.rst",
        ),
    log:
        "results/logs/qc/{dataset}/sub-{subject}.log",
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=30,
    params:
        inputs=flags,
    shell:
        "brainflix qc {params.inputs} --out {output.table} --maps {output.maps}"
        " --figure {output.figure} > {log} 2>&1"


rule stack:
    input:
        tables=lambda w: [
            f"results/{w.dataset}/qc/sub-{subject}.csv"
            for subject in config["datasets"][w.dataset]["subjects"]
        ],
    output:
        report(
            "results/{dataset}/qc.csv",
            category="quality control",
            caption="../report/qc.rst",
        ),
    log:
        "results/logs/stack/{dataset}.log",
    params:
        inputs=flags,
    shell:
        "brainflix stack {params.inputs} --out {output} > {log} 2>&1"


localrules:
    stack,
