rule train_gan:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        d_id=rules.pretrain_id.output.model,
        d_cam=rules.pretrain_cam.output.model,
        code=exp.code("train_gan", "gan"),
    output:
        model=f"{ART}/gan/{CELL}.pt",
        history=f"{ART}/gan/{CELL}.csv",
        samples=f"{ART}/gan/{CELL}.png",
        record=f"{ART}/gan/{CELL}.prov.json",
    log:
        f"logs/{ART}/gan/{CELL}.log",
    benchmark:
        f"logs/{ART}/gan/{CELL}.tsv"
    wildcard_constraints:
        method=exp.methods("gan"),
    conda:
        "../envs/crgan.yaml"
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("train_gan"),
        model=exp.model("gan"),
    shell:
        "python -m stages.train_gan --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --d-id {input.d_id} --d-cam {input.d_cam}"
        " --out {output.model} --history {output.history} --samples {output.samples}"
        " > {log} 2>&1"
