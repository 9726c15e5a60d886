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
    wildcard_constraints:
        method=exp.methods("gan"),
    # more waits behind them than behind others: else one of them is what all wait for at the end
    priority: 10
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("train_gan")
    threads: exp.training_threads
    resources:
        gpu=exp.training_gpus,
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


rule train_translation:
    input:
        a_manifest=f"{ART}/data/{{a}}/manifest.csv",
        a_images=f"{ART}/data/{{a}}/images.npy",
        b_manifest=f"{ART}/data/{{b}}/manifest.csv",
        b_images=f"{ART}/data/{{b}}/images.npy",
        a_masks=f"{ART}/masks/{{a}}.h5",
        b_masks=f"{ART}/masks/{{b}}.h5",
        code=exp.code("train_translation", "translators"),
    output:
        model=f"{ART}/gan/{BETWEEN}.pt",
        history=f"{ART}/gan/{BETWEEN}.csv",
        samples=f"{ART}/gan/{BETWEEN}.png",
        record=f"{ART}/gan/{BETWEEN}.prov.json",
    log:
        f"logs/{ART}/gan/{BETWEEN}.log",
    wildcard_constraints:
        method=exp.methods("translators"),
    priority: 10
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("train_translation")
    threads: exp.training_threads
    resources:
        gpu=exp.training_gpus,
    params:
        slice=exp.slice("train_translation", "translators"),
        model=exp.model("translators"),
    shell:
        "python -m stages.train_translation --method {wildcards.method} --model {params.model}"
        " --a {wildcards.a} --b {wildcards.b} --seed {wildcards.seed}"
        " --a-manifest {input.a_manifest} --b-manifest {input.b_manifest}"
        " --a-masks {input.a_masks} --b-masks {input.b_masks}"
        " --out {output.model} --history {output.history} --samples {output.samples}"
        " > {log} 2>&1"


rule render_set:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        gan=exp.gan("rendered", f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
        code=exp.code("render_set", "rendered"),
    output:
        images=f"{ART}/sets/{CELL}.h5",
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
        model=exp.model("rendered"),
    shell:
        "python -m stages.render_set --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --gan {input.gan} --out {output.images} > {log} 2>&1"
