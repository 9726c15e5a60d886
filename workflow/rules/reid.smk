rule finetune:
    input:
        **TASK,
        d_id=rules.pretrain_id.output.out,
        gan=rules.train_gan.output.out,
    output:
        out=f"{ART}/finetuned/{CELL}.pt",
        history=f"{ART}/finetuned/{CELL}.csv",
        record=f"{ART}/finetuned/{CELL}.prov.json",
    log:
        f"logs/{ART}/finetuned/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("gan"),
    priority: 5
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("finetune")
    threads: exp.training_threads
    resources:
        gpu=exp.training_gpus,
    params:
        slice=exp.slice("finetune"),
        arguments=exp.arguments("finetune"),
    shell:
        "python -m stages.finetune {params.arguments} > {log} 2>&1"


rule render_set:
    input:
        **TASK,
        gan=exp.gan("render_set", f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
    output:
        out=f"{ART}/sets/{CELL}.h5",
        record=f"{ART}/sets/{CELL}.prov.json",
    log:
        f"logs/{ART}/sets/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("rendered"),
    priority: 5
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("render_set")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("render_set"),
        arguments=exp.arguments("render_set"),
    shell:
        "python -m stages.render_set {params.arguments} > {log} 2>&1"


rule finetune_set:
    input:
        **SOURCE,
        set=rules.render_set.output.out,
        d_id=rules.pretrain_id.output.out,
    output:
        out=f"{ART}/finetuned/{CELL}.pt",
        history=f"{ART}/finetuned/{CELL}.csv",
        record=f"{ART}/finetuned/{CELL}.prov.json",
    log:
        f"logs/{ART}/finetuned/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("rendered"),
    priority: 5
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("finetune")
    threads: exp.training_threads
    resources:
        gpu=exp.training_gpus,
    params:
        slice=exp.slice("finetune"),
        arguments=exp.arguments("finetune"),
    shell:
        "python -m stages.finetune {params.arguments} > {log} 2>&1"


rule adapt:
    input:
        **SOURCE,
        **TARGET,
        start=exp.start,
    output:
        out=f"{ART}/adapted/{CELL}.pt",
        record=f"{ART}/adapted/{CELL}.prov.json",
    log:
        f"logs/{ART}/adapted/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("adapt"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("adapt")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("adapt"),
        arguments=exp.arguments("adapt"),
    shell:
        "python -m stages.adapt {params.arguments} > {log} 2>&1"


rule handcraft:
    input:
        **SOURCE,
        **TARGET,
    output:
        out=f"{ART}/features/{CELL}.pt",
        record=f"{ART}/features/{CELL}.prov.json",
    log:
        f"logs/{ART}/features/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("handcrafted"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("handcraft")
    threads: exp.threads
    params:
        slice=exp.slice("handcraft"),
        arguments=exp.arguments("handcraft"),
    shell:
        "python -m stages.handcraft {params.arguments} > {log} 2>&1"
