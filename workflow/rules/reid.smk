rule finetune:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        d_id=rules.pretrain_id.output.model,
        gan=rules.train_gan.output.model,
        code=exp.code("finetune", "gan"),
    output:
        model=f"{ART}/reid/{CELL}.pt",
        history=f"{ART}/reid/{CELL}.csv",
        record=f"{ART}/reid/{CELL}.prov.json",
    log:
        f"logs/{ART}/reid/{CELL}.log",
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
        model=exp.model("gan"),
    shell:
        "python -m stages.finetune --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --d-id {input.d_id} --gan {input.gan}"
        " --out {output.model} --history {output.history} > {log} 2>&1"


rule finetune_set:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        images=rules.render_set.output.images,
        d_id=rules.pretrain_id.output.model,
        code=exp.code("finetune"),
    output:
        model=f"{ART}/reid/{CELL}.pt",
        history=f"{ART}/reid/{CELL}.csv",
        record=f"{ART}/reid/{CELL}.prov.json",
    log:
        f"logs/{ART}/reid/{CELL}.log",
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
    shell:
        "python -m stages.finetune --method {wildcards.method}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --set {input.images} --d-id {input.d_id}"
        " --out {output.model} --history {output.history} > {log} 2>&1"


rule adapt:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        start=exp.start(f"{ART}/{{start}}/seed{{seed}}.pt"),
        code=exp.code("adapt", "adapt"),
    output:
        model=f"{ART}/reid/{CELL}.pt",
        record=f"{ART}/reid/{CELL}.prov.json",
    log:
        f"logs/{ART}/reid/{CELL}.log",
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
        slice=exp.slice("adapt", "adapt"),
        model=exp.model("adapt"),
    shell:
        "python -m stages.adapt --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --start {input.start} --out {output.model} > {log} 2>&1"


rule handcraft:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        code=exp.code("handcraft", "handcrafted"),
    output:
        features=f"{ART}/features/{CELL}.pt",
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
        slice=exp.slice("handcraft", "handcrafted"),
        model=exp.model("handcrafted"),
    shell:
        "python -m stages.handcraft --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --out {output.features} > {log} 2>&1"


rule evaluate:
    input:
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        reid=rules.finetune.output.model,
        code=exp.code("evaluate"),
    output:
        scores=f"{RES}/cells/{CELL}.json",
        queries=f"{RES}/queries/{CELL}.npz",
        queries_record=f"{RES}/queries/{CELL}.prov.json",
        record=f"{RES}/cells/{CELL}.prov.json",
    log:
        f"logs/{RES}/cells/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("gan"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("evaluate")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("evaluate"),
    shell:
        "python -m stages.evaluate --method {wildcards.method}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --target-manifest {input.target_manifest} --reid {input.reid}"
        " --out {output.scores} --queries {output.queries} > {log} 2>&1"


use rule evaluate as evaluate_adapted with:
    input:
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        reid=rules.adapt.output.model,
        code=exp.code("evaluate"),
    wildcard_constraints:
        method=exp.methods("adapt"),


use rule evaluate as evaluate_rendered with:
    input:
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        reid=rules.finetune_set.output.model,
        code=exp.code("evaluate"),
    wildcard_constraints:
        method=exp.methods("rendered"),


rule evaluate_features:
    input:
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        features=rules.handcraft.output.features,
        code=exp.code("evaluate"),
    output:
        scores=f"{RES}/cells/{CELL}.json",
        queries=f"{RES}/queries/{CELL}.npz",
        queries_record=f"{RES}/queries/{CELL}.prov.json",
        record=f"{RES}/cells/{CELL}.prov.json",
    log:
        f"logs/{RES}/cells/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("handcrafted"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("evaluate")
    threads: exp.threads
    params:
        slice=exp.slice("evaluate"),
    shell:
        "python -m stages.evaluate --method {wildcards.method}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --target-manifest {input.target_manifest} --features {input.features}"
        " --out {output.scores} --queries {output.queries} > {log} 2>&1"
