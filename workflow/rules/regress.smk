# Stage 2: from features to z, b or raw text states.
rule regress:
    input:
        features=asked(paths.learned_features),
        targets=asked(paths.learned_targets),
    output:
        weights=REGRESSOR + "/{target}.safetensors",
        curve=REGRESSOR + "/{target}.csv",
    log:
        "results/logs/regress/{regressor}/{scope}/seed-{seed}/{target}.log",
    benchmark:
        "results/benchmarks/regress/{regressor}/{scope}/seed-{seed}/{target}.tsv"
    threads: config["threads"]
    resources:
        launch="",
        gpu=lambda w: int(config["regressors"][w.regressor]["model"] == "mlp"),
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
        checkpoint_seconds=300,
    params:
        threads=config["threads"],
        inputs=flags,
        model=lambda w: config["regressors"][w.regressor]["model"],
        settings=lambda w: settings(config["regressors"][w.regressor]["model"]),
        checkpoints="results/checkpoints/regress/{regressor}/{scope}/seed-{seed}/{target}",
    shell:
        "{resources.launch} brainflix regress {params.inputs} --model {params.model} --settings {params.settings:q} --seed {wildcards.seed}"
        " --checkpoints {params.checkpoints} --checkpoint-seconds {resources.checkpoint_seconds}"
        " $(within {resources.runtime}) --threads {params.threads}"
        " --out {output.weights} --curve {output.curve} > {log} 2>&1"


rule predict:
    input:
        regressor=REGRESSOR + "/{target}.safetensors",
        features=asked(paths.predicted_features),
    output:
        REGRESSOR + "/{dataset}/sub-{subject}/{target}.h5",
    log:
        "results/logs/predict/{regressor}/{scope}/seed-{seed}/{dataset}/sub-{subject}/{target}.log",
    benchmark:
        "results/benchmarks/predict/{regressor}/{scope}/seed-{seed}/{dataset}/sub-{subject}/{target}.tsv"
    threads: config["threads"]
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=30,
    params:
        threads=config["threads"],
        inputs=flags,
    shell:
        "brainflix predict {params.inputs} --threads {params.threads} --out {output} > {log} 2>&1"


rule measure:
    input:
        predictions=REGRESSOR + "/{dataset}/sub-{subject}/{target}.h5",
        targets="results/{dataset}/targets/{target}.h5",
    output:
        REGRESSOR + "/{dataset}/sub-{subject}/{target}.csv",
    log:
        "results/logs/measure/{regressor}/{scope}/seed-{seed}/{dataset}/sub-{subject}/{target}.log",
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        inputs=flags,
    shell:
        "brainflix measure {params.inputs} --out {output} > {log} 2>&1"
