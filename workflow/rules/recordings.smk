# Recordings that nobody has turned into betas yet: volumes to fsLR-32k, series to single trials.
rule project:
    input:
        volume=asked(paths.recorded_volume),
    output:
        "results/recordings/{recording}/run-{run}.dtseries.nii",
    log:
        "results/logs/project/{recording}/run-{run}.log",
    conda:
        "../../envs/workbench.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=60,
    params:
        inputs=flags,
        surfaces=lambda w: (
            f"--surfaces {shlex.quote(config['recordings'][w.recording]['surfaces'])}"
            if "surfaces" in config["recordings"][w.recording]
            else ""
        ),
    shell:
        "brainflix project {params.inputs} {params.surfaces} --out {output} > {log} 2>&1"


rule betas:
    input:
        unpack(asked(paths.recorded_runs)),
    output:
        betas="results/recordings/{recording}/betas.dscalar.nii",
        trials="results/recordings/{recording}/trials.tsv",
        hrf="results/recordings/{recording}/hrf.dscalar.nii",
    log:
        "results/logs/betas/{recording}.log",
    benchmark:
        "results/benchmarks/betas/{recording}.tsv"
    resources:
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        inputs=flags,
        learn=asked(paths.learnable_runs),
        label=lambda w: config["recordings"][w.recording]["label"],
        settings=settings("glm"),
    shell:
        "brainflix betas {params.inputs} {params.learn} --label {params.label:q} --settings {params.settings:q}"
        " --out {output.betas} --trials {output.trials} --hrf {output.hrf} > {log} 2>&1"
