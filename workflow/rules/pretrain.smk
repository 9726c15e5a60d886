rule pretrain_id:
    input:
        manifest=f"{ART}/data/{{source}}/manifest.csv",
        images=f"{ART}/data/{{source}}/images.npy",
        weights=f"{ART}/weights/backbone.pt",
        code=exp.code("pretrain_id"),
    output:
        model=f"{ART}/d_id/{{source}}/seed{{seed}}.pt",
        history=f"{ART}/d_id/{{source}}/seed{{seed}}.csv",
        record=f"{ART}/d_id/{{source}}/seed{{seed}}.prov.json",
    log:
        f"logs/{ART}/d_id/{{source}}/seed{{seed}}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("pretrain_id")
    threads: exp.training_threads
    resources:
        gpu=exp.training_gpus,
    params:
        slice=exp.slice("pretrain_id"),
    shell:
        "python -m stages.pretrain_id --source {wildcards.source} --seed {wildcards.seed}"
        " --source-manifest {input.manifest} --weights {input.weights}"
        " --out {output.model} --history {output.history} > {log} 2>&1"


rule fresh_cnn:
    input:
        weights=f"{ART}/weights/backbone.pt",
        code=exp.code("fresh_cnn"),
    output:
        model=f"{ART}/fresh/seed{{seed}}.pt",
        record=f"{ART}/fresh/seed{{seed}}.prov.json",
    log:
        f"logs/{ART}/fresh/seed{{seed}}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("fresh_cnn")
    params:
        slice=exp.slice("fresh_cnn"),
    shell:
        "python -m stages.fresh_cnn --seed {wildcards.seed} --weights {input.weights}"
        " --out {output.model} > {log} 2>&1"


rule pretrain_cam:
    input:
        manifest=f"{ART}/data/{{target}}/manifest.csv",
        images=f"{ART}/data/{{target}}/images.npy",
        code=exp.code("pretrain_cam"),
    output:
        model=f"{ART}/d_cam/{{target}}/seed{{seed}}.pt",
        history=f"{ART}/d_cam/{{target}}/seed{{seed}}.csv",
        record=f"{ART}/d_cam/{{target}}/seed{{seed}}.prov.json",
    log:
        f"logs/{ART}/d_cam/{{target}}/seed{{seed}}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("pretrain_cam")
    threads: exp.training_threads
    resources:
        gpu=exp.training_gpus,
    params:
        slice=exp.slice("pretrain_cam"),
    shell:
        "python -m stages.pretrain_cam --target {wildcards.target} --seed {wildcards.seed}"
        " --target-manifest {input.manifest}"
        " --out {output.model} --history {output.history} > {log} 2>&1"
