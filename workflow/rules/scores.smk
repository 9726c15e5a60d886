rule evaluate:
    input:
        unpack(exp.scored),
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        beside_target=f"{ART}/data/{{target}}/images.npy",
    output:
        out=f"{RES}/cells/{CELL}.json",
        queries=f"{RES}/queries/{CELL}.npz",
        record=f"{RES}/cells/{CELL}.prov.json",
        record_of_queries=f"{RES}/queries/{CELL}.prov.json",
    log:
        f"logs/{RES}/cells/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("gan", "adapt", "rendered", "handcrafted"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("evaluate")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("evaluate"),
        arguments=exp.arguments("evaluate"),
    shell:
        "python -m stages.evaluate {params.arguments} > {log} 2>&1"


rule select:
    input:
        **SOURCE,
        **TARGET,
        reid=exp.reid,
    output:
        out=f"{RES}/selection/{CELL}.json",
        record=f"{RES}/selection/{CELL}.prov.json",
    log:
        f"logs/{RES}/selection/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("selected"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("select")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("select"),
        arguments=exp.arguments("select"),
    shell:
        "python -m stages.select {params.arguments} > {log} 2>&1"


rule measure_images:
    input:
        **TASK,
        gan=exp.gan("measure_images", f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
        lpips_weights=f"{ART}/weights/lpips.pt",
        inception_weights=f"{ART}/weights/inception.pt",
    output:
        out=f"{RES}/visual/{CELL}.json",
        record=f"{RES}/visual/{CELL}.prov.json",
    log:
        f"logs/{RES}/visual/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("visual"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("measure_images")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("measure_images"),
        arguments=exp.arguments("measure_images"),
    shell:
        "python -m stages.measure_images {params.arguments} > {log} 2>&1"


rule judge_images:
    input:
        **TASK,
        gan=exp.gan("judge_images", f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
        judges=rules.train_judges.output.out,
        lpips_weights=f"{ART}/weights/lpips.pt",
    output:
        out=f"{RES}/judged/{CELL}.json",
        record=f"{RES}/judged/{CELL}.prov.json",
    log:
        f"logs/{RES}/judged/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("visual"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("judge_images")
    threads: exp.threads
    resources:
        gpu=exp.gpu,
    params:
        slice=exp.slice("judge_images"),
        arguments=exp.arguments("judge_images"),
    shell:
        "python -m stages.judge_images {params.arguments} > {log} 2>&1"
