# What a stimulus is to a frozen model: z, b, text states, text embedding, classes.
rule extract:
    input:
        stimuli="results/{dataset}/stimuli.tsv",
        captions=lambda w: (
            "results/{dataset}/captions.tsv"
            if config["targets"][w.target]["kind"].startswith("text")
            else []
        ),
    output:
        "results/{dataset}/targets/{target}.h5",
    log:
        "results/logs/extract/{dataset}/{target}.log",
    benchmark:
        "results/benchmarks/extract/{dataset}/{target}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        threads=config["threads"],
        source=source,
        inputs=flags,
        kind=lambda w: config["targets"][w.target]["kind"],
        backbone=lambda w: backbone(config["targets"][w.target]["backbone"]),
        settings=lambda w: settings("targets", w.target, "settings"),
        each="",
    shell:
        "brainflix extract --name {wildcards.dataset} {params.source} {params.inputs} --target-kind {params.kind} --backbone {params.backbone:q}"
        " --settings {params.settings:q} {params.each} --threads {params.threads} --out {output} > {log} 2>&1"


use rule extract as extract_each with:
    output:
        "results/{dataset}/targets/{target}-each.h5",
    log:
        "results/logs/extract_each/{dataset}/{target}.log",
    benchmark:
        "results/benchmarks/extract_each/{dataset}/{target}.tsv"
    params:
        each="--each",


rule average:
    input:
        targets="results/{dataset}/targets/{target}.h5",
    output:
        "results/{dataset}/targets/{target}-mean.h5",
    log:
        "results/logs/average/{dataset}/{target}.log",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        inputs=flags,
    shell:
        "brainflix average {params.inputs} --out {output} > {log} 2>&1"
