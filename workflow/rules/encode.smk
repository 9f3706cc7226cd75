# Stage 1: masked brain modelling (or what others published), alignment, and running the encoder.
SEGMENT = 1440  # minutes of a training job; one that needs more goes on in the next, which is no reason for more memory


rule import_mbm:
    input:
        lambda w: config["encoders"][w.encoder]["import"],
    output:
        ENCODER + "/encoder.safetensors",
    log:
        "results/logs/import_mbm/{encoder}/{scope}/seed-{seed}.log",
    wildcard_constraints:
        encoder=one_of(
            e for e in config["encoders"] if "import" in config["encoders"][e]
        ),
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=30,
    params:
        pool=config["pretrain"]["model"]["pool"],
    shell:
        "brainflix import-mbm {input:q} --pool {params.pool} --out {output} > {log} 2>&1"


rule pretrain:
    input:
        init=asked(paths.initial_encoder),
        responses=asked(paths.learned_responses),
    output:
        weights=ENCODER + "/encoder.safetensors",
        curve=ENCODER + "/encoder.csv",
    log:
        "results/logs/pretrain/{encoder}/{scope}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/pretrain/{encoder}/{scope}/seed-{seed}.tsv"
    wildcard_constraints:
        encoder=one_of(
            e for e in config["encoders"] if "pretrain" in config["encoders"][e]
        ),
    threads: config["threads"]
    resources:
        gpu=1,
        launch="",  # config/README.md: several processes
        mem_mb=lambda wildcards, attempt: 32000 * min(attempt, 2),
        runtime=SEGMENT,
        checkpoint_seconds=300,
    params:
        threads=config["threads"],
        inputs=flags,
        settings=settings("pretrain"),
        checkpoints="results/checkpoints/pretrain/{encoder}/{scope}/seed-{seed}",
    shell:
        "{resources.launch} brainflix pretrain {params.inputs} --settings {params.settings:q} --seed {wildcards.seed}"
        " --checkpoints {params.checkpoints} --checkpoint-seconds {resources.checkpoint_seconds}"
        " $(within {resources.runtime}) --threads {params.threads}"
        " --out {output.weights} --curve {output.curve} > {log} 2>&1"


rule align:
    input:
        init=asked(paths.initial_encoder),
        responses=asked(paths.learned_responses),
        targets=asked(paths.learned_texts),
    output:
        weights=ENCODER + "/encoder.safetensors",
        curve=ENCODER + "/encoder.csv",
    log:
        "results/logs/align/{encoder}/{scope}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/align/{encoder}/{scope}/seed-{seed}.tsv"
    wildcard_constraints:
        encoder=one_of(
            e for e in config["encoders"] if "align" in config["encoders"][e]
        ),
    threads: config["threads"]
    resources:
        gpu=1,
        launch="",  # config/README.md: several processes
        mem_mb=lambda wildcards, attempt: 32000 * min(attempt, 2),
        runtime=SEGMENT,
        checkpoint_seconds=300,
    params:
        threads=config["threads"],
        inputs=flags,
        settings=lambda w: json.dumps(names.alignment(config, w.encoder)),
        checkpoints="results/checkpoints/align/{encoder}/{scope}/seed-{seed}",
    shell:
        "{resources.launch} brainflix align {params.inputs} --settings {params.settings:q} --seed {wildcards.seed}"
        " --checkpoints {params.checkpoints} --checkpoint-seconds {resources.checkpoint_seconds}"
        " $(within {resources.runtime}) --threads {params.threads}"
        " --out {output.weights} --curve {output.curve} > {log} 2>&1"


rule embed:
    input:
        encoder=ENCODER + "/encoder.safetensors",
        responses="results/{dataset}/responses/{stem}.h5",
    output:
        ENCODER + "/{dataset}/{stem}.h5",
    log:
        "results/logs/embed/{encoder}/{scope}/seed-{seed}/{dataset}/{stem}.log",
    benchmark:
        "results/benchmarks/embed/{encoder}/{scope}/seed-{seed}/{dataset}/{stem}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        threads=config["threads"],
        inputs=flags,
    shell:
        "brainflix embed {params.inputs} --threads {params.threads} --out {output} > {log} 2>&1"
