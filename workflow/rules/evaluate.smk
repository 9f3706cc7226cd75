# Scores of every stimulus, then values with intervals and chance.
rule evaluate:
    input:
        unpack(asked(paths.evaluated)),
        videos=VARIANT + "/videos.h5",
        stimuli="results/{dataset}/stimuli.tsv",
        classes=f"results/{{dataset}}/targets/{config['roles']['y']}.h5",
    output:
        VARIANT + "/scores.csv",
    log:
        "results/logs/evaluate/{dataset}/{variant}/seed-{seed}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/evaluate/{dataset}/{variant}/seed-{seed}/sub-{subject}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        threads=config["threads"],
        inputs=flags,
        classifier=backbone(config["targets"][config["roles"]["y"]]["backbone"]),
        settings=settings("evaluate"),
    shell:
        "brainflix evaluate {params.inputs} --classifier {params.classifier:q} --settings {params.settings:q}"
        " --threads {params.threads} --out {output} > {log} 2>&1"


rule summarize:
    input:
        scores=asked(paths.scores),
    output:
        report(
            "results/{dataset}/{variant}/metrics.csv",
            category="metrics",
            labels={"dataset": "{dataset}", "variant": "{variant}"},
            caption="../report/metrics.rst",
        ),
    log:
        "results/logs/summarize/{dataset}/{variant}.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        inputs=flags,
        settings=settings("summarize"),
    shell:
        "brainflix summarize {params.inputs} --settings {params.settings:q} --out {output} > {log} 2>&1"
