rule bound_table:
    input:
        printed=exp.printed(),
        scores=exp.with_records(
            exp.scores(f"{RES}/queries/{CELL}.npz", f"{RES}/visual/{CELL}.json")
        ),
        code=exp.code("bound_table"),
    output:
        table=report(
            "results/table{table}.intervals.csv",
            category="Evidence",
            labels={"table": "{table}, intervals"},
            caption="../report/intervals.rst",
        ),
        readable="results/table{table}.intervals.md",
        record="results/table{table}.intervals.prov.json",
    log:
        "logs/results/table{table}.intervals.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("bound_table")
    params:
        slice=exp.slice("bound_table"),
        scores=exp.interval_folders(),
    shell:
        "python -m stages.bound_table --table {wildcards.table} --printed {input.printed}"
        " {params.scores} --out {output.table} --readable {output.readable} > {log} 2>&1"


rule tabulate_cmc:
    input:
        printed=exp.printed(),
        queries=exp.with_records(exp.scores(f"{RES}/queries/{CELL}.npz", "")),
        code=exp.code("tabulate_cmc"),
    output:
        curves=report(
            "results/table{table}.cmc.csv",
            category="Evidence",
            labels={"table": "{table}, CMC curves"},
            caption="../report/cmc.rst",
        ),
        record="results/table{table}.cmc.prov.json",
    log:
        "logs/results/table{table}.cmc.log",
    wildcard_constraints:
        table="|".join(map(str, exp.ranked_tables)),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("tabulate_cmc")
    params:
        slice=exp.slice("tabulate_cmc"),
        queries=exp.interval_folders(),
    shell:
        "python -m stages.tabulate_cmc --table {wildcards.table} --printed {input.printed}"
        " {params.queries} --out {output.curves} > {log} 2>&1"


rule weigh_claims:
    input:
        claims=exp.claims,
        printed=exp.printed_tables,
        queries=exp.with_records(
            exp.claim_results("queries", f"{RES}/queries/{CELL}.npz")
        ),
        visual=exp.with_records(
            exp.claim_results("visual", f"{RES}/visual/{CELL}.json")
        ),
        judged=exp.with_records(
            exp.claim_results("judged", f"{RES}/judged/{CELL}.json")
        ),
        code=exp.code("weigh_claims"),
    output:
        table=report(
            "results/claims.csv",
            category="Evidence",
            labels={"table": "claims"},
            caption="../report/claims.rst",
        ),
        readable="results/claims.md",
        record="results/claims.prov.json",
    log:
        "logs/results/claims.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("weigh_claims")
    params:
        slice=exp.slice("weigh_claims"),
        scores=exp.claim_folders(),
    shell:
        "python -m stages.weigh_claims --claims {input.claims} --printed {input.printed}"
        " {params.scores} --out {output.table} --readable {output.readable} > {log} 2>&1"


rule select:
    input:
        source_manifest=f"{ART}/data/{{source}}/manifest.csv",
        source_images=f"{ART}/data/{{source}}/images.npy",
        target_manifest=f"{ART}/data/{{target}}/manifest.csv",
        target_images=f"{ART}/data/{{target}}/images.npy",
        reid=f"{ART}/reid/{CELL}.pt",
        code=exp.code("select"),
    output:
        criteria=f"{RES}/selection/{CELL}.json",
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
    shell:
        "python -m stages.select --method {wildcards.method}"
        " --source {wildcards.source} --target {wildcards.target} --seed {wildcards.seed}"
        " --source-manifest {input.source_manifest} --target-manifest {input.target_manifest}"
        " --reid {input.reid} --out {output.criteria} > {log} 2>&1"


rule evidence:
    input:
        exp.cells(f"{RES}/selection/{CELL}.json", "selected"),
        expand("results/table{table}.intervals.csv", table=exp.tables),
        expand("results/table{table}.cmc.csv", table=exp.ranked_tables),
        rules.weigh_claims.output.table,
