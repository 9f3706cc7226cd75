# Tables and pictures.
rule headline:
    input:
        metrics=lambda w: expand(
            "results/{dataset}/{variant}/metrics.csv",
            dataset=w.dataset,
            variant=config["headline"][w.dataset],
        ),
    output:
        report(
            "results/{dataset}/metrics.csv",
            category="metrics",
            caption="../report/metrics.rst",
        ),
    log:
        "results/logs/headline/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(config["headline"]),
    params:
        inputs=flags,
    shell:
        "brainflix headline {params.inputs} --out {output} > {log} 2>&1"


rule ablation:
    input:
        metrics="results/bmd/{variant}/metrics.csv",
    output:
        "results/ablations/{variant}/metrics.csv",
    log:
        "results/logs/ablation/{variant}.log",
    params:
        inputs=flags,
    shell:
        "brainflix headline {params.inputs} --out {output} > {log} 2>&1"


rule provenance:
    input:
        target="results/{table}/metrics.csv",
    output:
        "results/{table}/provenance.json",
    log:
        "results/logs/provenance/{table}.log",
    wildcard_constraints:
        table=f"({'|'.join(config['datasets'])}|ablations)(/({'|'.join(config['variants'])}))?",
    params:
        inputs=flags,
        config=json.dumps(config),
    shell:
        "brainflix provenance {params.inputs} --config {params.config:q} --out {output} > {log} 2>&1"


rule gallery:
    input:
        stimuli="results/{dataset}/stimuli.tsv",
        captions="results/{dataset}/captions.tsv",
        videos=asked(functools.partial(paths.shown, name="videos.h5")),
        described=asked(functools.partial(paths.shown, name="captions.tsv")),
    output:
        png=report(
            "results/figures/gallery-{dataset}.png",
            category="figures",
            caption="../report/gallery.rst",
        ),
        mp4="results/figures/gallery-{dataset}.mp4",
    log:
        "results/logs/gallery/{dataset}.log",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        inputs=flags,
        settings=settings("gallery", "settings"),
    shell:
        "brainflix gallery {params.inputs} --settings {params.settings:q}"
        " --out {output.png} --mp4 {output.mp4} > {log} 2>&1"


rule curves:
    input:
        curves=lambda w: list(asked(trained.curves)(w).values()),
    output:
        report(
            "results/figures/training-{dataset}.svg",
            category="figures",
            caption="../report/training.rst",
        ),
    log:
        "results/logs/curves/{dataset}.log",
    wildcard_constraints:
        dataset=one_of(config["headline"]),
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        inputs=flags,
        labels=lambda w: shlex.join(asked(trained.curves)(w)),
    shell:
        "brainflix curves {params.inputs} --labels {params.labels} --out {output} > {log} 2>&1"


localrules:
    headline,
    ablation,
    provenance,
