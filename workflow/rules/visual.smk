rule measure_images:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        gan=exp.gan("visual", f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
        lpips=f"{ART}/weights/lpips.pt",
        inception=f"{ART}/weights/inception.pt",
        code=exp.code("measure_images", "visual"),
    output:
        scores=f"{RES}/visual/{CELL}.json",
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
        model=exp.model("visual"),
    shell:
        "python -m stages.measure_images --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --gan {input.gan} --lpips-weights {input.lpips} --inception-weights {input.inception}"
        " --out {output.scores} > {log} 2>&1"


rule train_judges:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        weights=f"{ART}/weights/backbone.pt",
        code=exp.code("train_judges"),
    output:
        judges=f"{ART}/judges/{PAIR}.pt",
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
    shell:
        "python -m stages.train_judges"
        " --source {wildcards.source} --target {wildcards.target}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --weights {input.weights} --out {output.judges} > {log} 2>&1"


rule judge_images:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        gan=exp.gan("visual", f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
        judges=rules.train_judges.output.judges,
        lpips=f"{ART}/weights/lpips.pt",
        code=exp.code("judge_images", "visual"),
    output:
        scores=f"{RES}/judged/{CELL}.json",
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
        model=exp.model("visual"),
    shell:
        "python -m stages.judge_images --method {wildcards.method} --model {params.model}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --gan {input.gan} --judges {input.judges} --lpips-weights {input.lpips}"
        " --out {output.scores} > {log} 2>&1"


rule draw_datasets:
    input:
        manifests=expand(
            f"{ART}/data/{{dataset}}/manifest.csv", dataset=exp.matrix["datasets"]
        ),
        images=expand(
            f"{ART}/data/{{dataset}}/images.npy", dataset=exp.matrix["datasets"]
        ),
        code=exp.code("draw_datasets"),
    output:
        picture=report(
            "results/figure5.png",
            category="Figures",
            labels={"figure": "5", "shows": "the data sets"},
            caption="../report/figure5.rst",
        ),
        record="results/figure5.prov.json",
    log:
        "logs/results/figure5.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_datasets")
    params:
        slice=exp.slice("draw_datasets"),
    shell:
        "python -m stages.draw_datasets --manifests {input.manifests}"
        " --out {output.picture} > {log} 2>&1"


rule draw_renderings:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        gan=f"{ART}/gan/crgan/{PAIR}/seed{exp.first_seed}.pt",
        baseline=f"{ART}/gan/wo_dual_cond/{PAIR}/seed{exp.first_seed}.pt",
        code=exp.code("draw_renderings"),
    output:
        picture=report(
            f"results/figure6-{PAIR}.png",
            category="Figures",
            labels={"figure": "6", "shows": "{source} to {target}"},
            caption="../report/figure6.rst",
        ),
        parts=report(
            f"results/figure6-{PAIR}-parts.png",
            category="Figures",
            labels={"figure": "6", "shows": "{source} to {target}, parts"},
            caption="../report/parts.rst",
        ),
        record=f"results/figure6-{PAIR}.prov.json",
        parts_record=f"results/figure6-{PAIR}-parts.prov.json",
    log:
        f"logs/results/figure6-{PAIR}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_renderings")
    threads: exp.threads
    params:
        slice=exp.slice("draw_renderings"),
    shell:
        "python -m stages.draw_renderings"
        " --source {wildcards.source} --target {wildcards.target}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --gan {input.gan} --baseline-gan {input.baseline}"
        " --out {output.picture} --parts {output.parts} > {log} 2>&1"


rule draw_methods:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        source_masks=f"{ART}/masks/{{source}}.h5",
        target_masks=f"{ART}/masks/{{target}}.h5",
        gans=exp.visual_gans(f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
        code=exp.code("draw_methods"),
    output:
        picture=report(
            f"results/figure7-{PAIR}.png",
            category="Figures",
            labels={"figure": "7", "shows": "{source} to {target}"},
            caption="../report/figure7.rst",
        ),
        record=f"results/figure7-{PAIR}.prov.json",
    log:
        f"logs/results/figure7-{PAIR}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_methods")
    threads: exp.threads
    params:
        slice=exp.slice("draw_methods"),
    shell:
        "python -m stages.draw_methods"
        " --source {wildcards.source} --target {wildcards.target}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --source-masks {input.source_masks} --target-masks {input.target_masks}"
        " --gans {input.gans} --out {output.picture} > {log} 2>&1"


rule draw_rank_lists:
    input:
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        reid=f"{ART}/reid/{CELL}.pt",
        code=exp.code("draw_rank_lists"),
    output:
        picture=report(
            f"{RES}/ranks/{CELL}.png",
            category="Rank lists",
            labels={
                "method": "{method}",
                "direction": "{source} to {target}",
                "seed": "{seed}",
            },
            caption="../report/ranks.rst",
        ),
        record=f"{RES}/ranks/{CELL}.prov.json",
    log:
        f"logs/{RES}/ranks/{CELL}.log",
    wildcard_constraints:
        method=exp.methods("visual"),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_rank_lists")
    threads: exp.threads
    params:
        slice=exp.slice("draw_rank_lists"),
    shell:
        "python -m stages.draw_rank_lists --method {wildcards.method}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --target-manifest {input.target_manifest} --reid {input.reid}"
        " --out {output.picture} > {log} 2>&1"


rule figures:
    input:
        rules.draw_datasets.output.picture,
        [f"results/figure6-{PAIR}.png".format(**c) for c in exp.matrix["renderings"]],
        [f"results/figure7-{PAIR}.png".format(**c) for c in exp.matrix["renderings"]],
        exp.cells(f"{RES}/ranks/{CELL}.png", "visual"),
