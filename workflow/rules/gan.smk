rule train_gan:
    input:
        **TASK,
        d_id=rules.pretrain_id.output.out,
        d_cam=rules.pretrain_cam.output.out,
    output:
        out=f"{ART}/gan/{CELL}.pt",
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
        arguments=exp.arguments("train_gan"),
    shell:
        "python -m stages.train_gan {params.arguments} > {log} 2>&1"


rule train_translation:
    input:
        a_manifest=f"{ART}/data/{{a}}/manifest.csv",
        b_manifest=f"{ART}/data/{{b}}/manifest.csv",
        beside_a=f"{ART}/data/{{a}}/images.npy",
        beside_b=f"{ART}/data/{{b}}/images.npy",
        a_masks=f"{ART}/masks/{{a}}.h5",
        b_masks=f"{ART}/masks/{{b}}.h5",
    output:
        out=f"{ART}/gan/{BETWEEN}.pt",
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
        slice=exp.slice("train_translation"),
        arguments=exp.arguments("train_translation"),
    shell:
        "python -m stages.train_translation {params.arguments} > {log} 2>&1"
