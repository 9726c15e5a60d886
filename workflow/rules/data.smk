rule fetch_weights:
    output:
        out=f"{ART}/weights/{{role}}.pt",
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
        arguments=exp.arguments("fetch_weights"),
    shell:
        "python -m stages.fetch_weights {params.arguments} > {log} 2>&1"


rule prepare_data:
    output:
        out=f"{ART}/data/{{dataset}}/manifest.csv",
        images=f"{ART}/data/{{dataset}}/images.npy",
        record=f"{ART}/data/{{dataset}}/manifest.prov.json",
        record_of_images=f"{ART}/data/{{dataset}}/images.prov.json",
    log:
        f"logs/{ART}/data/{{dataset}}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("prepare_data")
    params:
        slice=exp.slice("prepare_data"),
        arguments=exp.arguments("prepare_data"),
        raw=f"resources/{P}/{{dataset}}",
    shell:
        "python -m stages.prepare_data {params.arguments} --raw {params.raw} > {log} 2>&1"


rule extract_masks:
    input:
        manifest=f"{ART}/data/{{dataset}}/manifest.csv",
        beside=f"{ART}/data/{{dataset}}/images.npy",
        weights=f"{ART}/weights/parsing.pt",
    output:
        out=f"{ART}/masks/{{dataset}}.h5",
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
        arguments=exp.arguments("extract_masks"),
    shell:
        "python -m stages.extract_masks {params.arguments} > {log} 2>&1"
