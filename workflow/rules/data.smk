if exp.bucket:

    # Raw pictures and weights lie on the submitting machine; jobs elsewhere would not find them.
    localrules:
        fetch_weights,
        prepare_data,


rule fetch_weights:
    input:
        code=exp.code("fetch_weights"),
    output:
        weights=f"{ART}/weights/{{role}}.pt",
        record=f"{ART}/weights/{{role}}.prov.json",
    log:
        f"logs/{ART}/weights/{{role}}.log",
    wildcard_constraints:
        role="backbone|parsing|lpips|inception",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("fetch_weights")
    params:
        slice=exp.slice("fetch_weights"),
    shell:
        "python -m stages.fetch_weights --role {wildcards.role}"
        " --out {output.weights} > {log} 2>&1"


rule prepare_data:
    input:
        code=exp.code("prepare_data"),
    output:
        manifest=f"{ART}/data/{{dataset}}/manifest.csv",
        images=f"{ART}/data/{{dataset}}/images.npy",
        record=f"{ART}/data/{{dataset}}/manifest.prov.json",
        images_record=f"{ART}/data/{{dataset}}/images.prov.json",
    log:
        f"logs/{ART}/data/{{dataset}}/manifest.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("prepare_data")
    params:
        slice=exp.slice("prepare_data"),
        raw=f"resources/{P}/{{dataset}}",
    shell:
        "python -m stages.prepare_data --dataset {wildcards.dataset} --raw {params.raw}"
        " --out {output.manifest} --images {output.images} > {log} 2>&1"


rule extract_masks:
    input:
        manifest=rules.prepare_data.output.manifest,
        images=rules.prepare_data.output.images,
        weights=f"{ART}/weights/parsing.pt",
        code=exp.code("extract_masks"),
    output:
        masks=f"{ART}/masks/{{dataset}}.h5",
        record=f"{ART}/masks/{{dataset}}.prov.json",
    log:
        f"logs/{ART}/masks/{{dataset}}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("extract_masks")
    threads: exp.threads
    params:
        slice=exp.slice("extract_masks"),
    shell:
        "python -m stages.extract_masks --dataset {wildcards.dataset}"
        " --manifest {input.manifest} --weights {input.weights}"
        " --out {output.masks} > {log} 2>&1"
