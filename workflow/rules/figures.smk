rule draw_datasets:
    input:
        manifests=expand(
            f"{ART}/data/{{dataset}}/manifest.csv", dataset=exp.matrix["datasets"]
        ),
        beside=expand(
            f"{ART}/data/{{dataset}}/images.npy", dataset=exp.matrix["datasets"]
        ),
    output:
        out=report(
            "results/figures/figure5.png",
            category="Figures",
            labels={"figure": "5", "shows": "the data sets"},
            caption="../report/figure5.rst",
        ),
        record="results/figures/figure5.prov.json",
    log:
        "logs/results/figures/figure5.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_datasets")
    params:
        slice=exp.slice("draw_datasets"),
        arguments=exp.arguments("draw_datasets"),
    shell:
        "python -m stages.draw_datasets {params.arguments} > {log} 2>&1"


rule draw_renderings:
    input:
        **TASK,
        gan=f"{ART}/gan/crgan/{PAIR}/seed{exp.first_seed}.pt",
        baseline_gan=f"{ART}/gan/wo_dual_cond/{PAIR}/seed{exp.first_seed}.pt",
    output:
        out=report(
            f"results/figures/figure6-{PAIR}.png",
            category="Figures",
            labels={"figure": "6", "shows": "{source} to {target}"},
            caption="../report/figure6.rst",
        ),
        parts=report(
            f"results/figures/figure6-{PAIR}-parts.png",
            category="Figures",
            labels={"figure": "6", "shows": "{source} to {target}, parts"},
            caption="../report/parts.rst",
        ),
        record=f"results/figures/figure6-{PAIR}.prov.json",
        record_of_parts=f"results/figures/figure6-{PAIR}-parts.prov.json",
    log:
        f"logs/results/figures/figure6-{PAIR}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_renderings")
    threads: exp.threads
    params:
        slice=exp.slice("draw_renderings"),
        arguments=exp.arguments("draw_renderings"),
    shell:
        "python -m stages.draw_renderings {params.arguments} > {log} 2>&1"


rule draw_methods:
    input:
        **TASK,
        gans=exp.visual_gans(f"{ART}/gan/{{gan}}/seed{{seed}}.pt"),
    output:
        out=report(
            f"results/figures/figure7-{PAIR}.png",
            category="Figures",
            labels={"figure": "7", "shows": "{source} to {target}"},
            caption="../report/figure7.rst",
        ),
        record=f"results/figures/figure7-{PAIR}.prov.json",
    log:
        f"logs/results/figures/figure7-{PAIR}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("draw_methods")
    threads: exp.threads
    params:
        slice=exp.slice("draw_methods"),
        arguments=exp.arguments("draw_methods"),
    shell:
        "python -m stages.draw_methods {params.arguments} > {log} 2>&1"


rule draw_rank_lists:
    input:
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        beside_target=f"{ART}/data/{{target}}/images.npy",
        reid=exp.reid,
    output:
        out=report(
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
        arguments=exp.arguments("draw_rank_lists"),
    shell:
        "python -m stages.draw_rank_lists {params.arguments} > {log} 2>&1"
