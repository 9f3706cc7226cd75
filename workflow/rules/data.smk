# Captions: a user's own captions.tsv wins, then the dataset's human ones, then a captioner's.
rule caption:
    input:
        stimuli="results/{dataset}/stimuli.tsv",
        given=lambda w: config["datasets"][w.dataset].get("captions") or [],
    output:
        "results/{dataset}/captions.tsv",
    log:
        "results/logs/caption/{dataset}.log",
    benchmark:
        "results/benchmarks/caption/{dataset}.tsv"
    threads: config["threads"]
    resources:
        gpu=lambda w: int(config["datasets"][w.dataset]["captioner"] is not None),
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        threads=config["threads"],
        source=source,
        inputs=flags,
        captioner=captioner,
    shell:
        "brainflix caption {params.source} {params.inputs} {params.captioner}"
        " --threads {params.threads} --out {output} > {log} 2>&1"
