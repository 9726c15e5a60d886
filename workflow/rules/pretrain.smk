rule pretrain_id:
    input:
        **SOURCE,
        weights=f"{ART}/weights/backbone.pt",
    output:
        out=f"{ART}/d_id/{{source}}/seed{{seed}}.pt",
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
        arguments=exp.arguments("pretrain_id"),
    shell:
        "python -m stages.pretrain_id {params.arguments} > {log} 2>&1"


rule pretrain_cam:
    input:
        **TARGET,
    output:
        out=f"{ART}/d_cam/{{target}}/seed{{seed}}.pt",
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
        arguments=exp.arguments("pretrain_cam"),
    shell:
        "python -m stages.pretrain_cam {params.arguments} > {log} 2>&1"


rule fresh_cnn:
    input:
        weights=f"{ART}/weights/backbone.pt",
    output:
        out=f"{ART}/fresh/seed{{seed}}.pt",
        record=f"{ART}/fresh/seed{{seed}}.prov.json",
    log:
        f"logs/{ART}/fresh/seed{{seed}}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("fresh_cnn")
    params:
        slice=exp.slice("fresh_cnn"),
        arguments=exp.arguments("fresh_cnn"),
    shell:
        "python -m stages.fresh_cnn {params.arguments} > {log} 2>&1"


rule train_judges:
    input:
        **SOURCE,
        **TARGET,
        weights=f"{ART}/weights/backbone.pt",
    output:
        out=f"{ART}/judges/{PAIR}.pt",
        record=f"{ART}/judges/{PAIR}.prov.json",
    log:
        f"logs/{ART}/judges/{PAIR}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("train_judges")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("train_judges"),
        arguments=exp.arguments("train_judges"),
    shell:
        "python -m stages.train_judges {params.arguments} > {log} 2>&1"
