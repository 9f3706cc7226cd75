# Raw files to stimuli and responses.
rule index:
    input:
        stimulus_files,
    output:
        "results/{dataset}/stimuli.tsv",
    log:
        "results/logs/index/{dataset}.log",
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        source=source,
        options=options,
    shell:
        "brainflix index {params.source} {params.options} --out {output} > {log} 2>&1"


rule parcellate:
    input:
        response_files,
        stimuli="results/{dataset}/stimuli.tsv",
    output:
        responses="results/{dataset}/responses/{stem}.h5",
        qc="results/{dataset}/responses/{stem}.qc.tsv",
    log:
        "results/logs/parcellate/{dataset}/{stem}.log",
    benchmark:
        "results/benchmarks/parcellate/{dataset}/{stem}.tsv"
    wildcard_constraints:
        stem="(sub-(?!gaussian)|shard-)[A-Za-z0-9]+",
    resources:
        mem_mb=lambda wildcards, attempt: 6000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        source=source,
        options=options,
        inputs=flags,
    shell:
        "brainflix parcellate --name {wildcards.dataset} {params.source} {params.options} {params.inputs}"
        " --out {output.responses} --qc {output.qc} > {log} 2>&1"


rule gaussian:
    input:
        responses=lambda w: paths.responses(
            config, w.dataset, config["datasets"][w.dataset]["subjects"][:1]
        ),
    output:
        "results/{dataset}/responses/sub-gaussian.h5",
    log:
        "results/logs/gaussian/{dataset}.log",
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        inputs=flags,
        seed=config["gaussian_seed"],
    shell:
        "brainflix gaussian {params.inputs} --seed {params.seed} --out {output} > {log} 2>&1"
