# The simulated study: raw files in each dataset's native layout, for datasets under `phantom`.
for name in config["phantom"]:

    rule:
        name:
            f"synthesize_{name.replace('-', '_')}"
        output:
            f"{config['datasets'][name]['root']}/phantom.json",
        log:
            f"results/logs/synthesize/{name}.log",
        benchmark:
            f"results/benchmarks/synthesize/{name}.tsv"
        resources:
            mem_mb=4000,
            runtime=60,
        params:
            settings=settings("phantom", name),
            dataset=config["datasets"][name]["adapter"],
            root=config["datasets"][name]["root"],
            seed=config["phantom_seed"],
        shell:
            "brainflix synthesize --dataset {params.dataset} --root {params.root:q}"
            " --settings {params.settings:q} --seed {params.seed} > {log} 2>&1"


rule backbone:
    """Retrain a tiny backbone of the demo from its seed; nothing asks for it but you."""
    output:
        directory("results/backbones/{backbone}"),
    log:
        "results/logs/backbone/{backbone}.log",
    benchmark:
        "results/benchmarks/backbone/{backbone}.tsv"
    wildcard_constraints:
        backbone=one_of(config["backbone_training"]),
    threads: 1
    resources:
        mem_mb=6000,
        runtime=240,
    params:
        settings=lambda wildcards: settings("backbone_training", wildcards.backbone),
        checkpoints="results/checkpoints/backbone/{backbone}",
        seed=config["phantom_seed"],
    shell:
        "brainflix backbone --name {wildcards.backbone} --settings {params.settings:q}"
        " --seed {params.seed} --checkpoints {params.checkpoints} --threads {threads} --out {output} > {log} 2>&1"
