# Stage 3: a caption from b, then a video from z and the caption.
rule describe:
    input:
        unpack(asked(paths.described)),
        stimuli="results/{dataset}/stimuli.tsv",
    output:
        VARIANT + "/captions.tsv",
    log:
        "results/logs/describe/{dataset}/{variant}/seed-{seed}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/describe/{dataset}/{variant}/seed-{seed}/sub-{subject}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        threads=config["threads"],
        inputs=flags,
        captioner=backbone(config["targets"][config["roles"]["b"]]["backbone"]),
        settings=settings("describe"),
        clips=lambda w: config["datasets"][w.dataset]["evaluate_clips"],
        clips_seed=config["clips_seed"],
    shell:
        "brainflix describe {params.inputs} --captioner {params.captioner:q} --settings {params.settings:q}"
        " --clips {params.clips} --clips-seed {params.clips_seed} --threads {params.threads} --out {output} > {log} 2>&1"


rule generate:
    input:
        unpack(asked(paths.generated)),
        captions=VARIANT + "/captions.tsv",
    output:
        VARIANT + "/videos.h5",
    log:
        "results/logs/generate/{dataset}/{variant}/seed-{seed}/sub-{subject}.log",
    benchmark:
        "results/benchmarks/generate/{dataset}/{variant}/seed-{seed}/sub-{subject}.tsv"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        threads=config["threads"],
        inputs=flags,
        generator=lambda w: backbone(generator(w)["backbone"]),
        settings=lambda w: json.dumps(generator(w)["settings"]),
        checkpoints="results/checkpoints/generate/{dataset}/{variant}/seed-{seed}/sub-{subject}",
    shell:
        "brainflix generate {params.inputs} --generator {params.generator:q} --settings {params.settings:q}"
        " --variant {wildcards.variant} --subject {wildcards.subject} --seed {wildcards.seed} --checkpoints {params.checkpoints} --threads {params.threads} --out {output} > {log} 2>&1"
