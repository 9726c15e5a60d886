rule make_table:
    input:
        printed=exp.printed,
        cells=exp.scores(f"{RES}/cells/{CELL}.json"),
        visual=exp.imaged(f"{RES}/visual/{CELL}.json"),
    output:
        out=report(
            "results/table{table}.csv",
            category="Tables",
            labels={"table": "{table}"},
            caption="../report/table.rst",
        ),
        readable="results/table{table}.md",
        record="results/table{table}.prov.json",
    log:
        "logs/results/table{table}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("make_table")
    params:
        slice=exp.slice("make_table"),
        arguments=exp.arguments("make_table"),
    shell:
        "python -m stages.make_table {params.arguments} > {log} 2>&1"


rule bound_table:
    input:
        printed=exp.printed,
        queries=exp.scores(f"{RES}/queries/{CELL}.npz"),
        visual=exp.imaged(f"{RES}/visual/{CELL}.json"),
    output:
        out=report(
            "results/intervals/table{table}.csv",
            category="Evidence",
            labels={"table": "{table}, intervals"},
            caption="../report/intervals.rst",
        ),
        readable="results/intervals/table{table}.md",
        record="results/intervals/table{table}.prov.json",
    log:
        "logs/results/intervals/table{table}.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("bound_table")
    params:
        slice=exp.slice("bound_table"),
        arguments=exp.arguments("bound_table"),
    shell:
        "python -m stages.bound_table {params.arguments} > {log} 2>&1"


rule tabulate_cmc:
    input:
        printed=exp.printed,
        queries=exp.scores(f"{RES}/queries/{CELL}.npz"),
    output:
        out=report(
            "results/curves/table{table}.csv",
            category="Evidence",
            labels={"table": "{table}, CMC curves"},
            caption="../report/cmc.rst",
        ),
        record="results/curves/table{table}.prov.json",
    log:
        "logs/results/curves/table{table}.log",
    wildcard_constraints:
        table="|".join(map(str, exp.ranked_tables)),
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("tabulate_cmc")
    params:
        slice=exp.slice("tabulate_cmc"),
        arguments=exp.arguments("tabulate_cmc"),
    shell:
        "python -m stages.tabulate_cmc {params.arguments} > {log} 2>&1"


rule tabulate_renderings:
    input:
        judged=exp.cells(f"{RES}/judged/{CELL}.json", "visual"),
        visual=exp.cells(f"{RES}/visual/{CELL}.json", "visual"),
    output:
        out=report(
            "results/renderings.csv",
            category="Tables",
            labels={"table": "renderings (not in the paper)"},
            caption="../report/renderings.rst",
        ),
        readable="results/renderings.md",
        record="results/renderings.prov.json",
    log:
        "logs/results/renderings.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("tabulate_renderings")
    params:
        slice=exp.slice("tabulate_renderings"),
        arguments=exp.arguments("tabulate_renderings"),
    shell:
        "python -m stages.tabulate_renderings {params.arguments} > {log} 2>&1"


rule tabulate_all:
    input:
        cells=exp.cells(f"{RES}/cells/{CELL}.json", exp.ranked),
    output:
        out=report(
            "results/all.csv",
            category="Tables",
            labels={"table": "all measured cells"},
            caption="../report/all.rst",
        ),
        readable="results/all.md",
        record="results/all.prov.json",
    log:
        "logs/results/all.log",
    conda:
        "../envs/crgan.yaml"
    container:
        exp.container("tabulate_all")
    params:
        slice=exp.slice("tabulate_all"),
        arguments=exp.arguments("tabulate_all"),
    shell:
        "python -m stages.tabulate_all {params.arguments} > {log} 2>&1"


rule weigh_claims:
    input:
        claims=exp.claims,
        printed=exp.all_printed,
        queries=exp.claimed("queries", f"{RES}/queries/{CELL}.npz"),
        visual=exp.claimed("visual", f"{RES}/visual/{CELL}.json"),
        judged=exp.claimed("judged", f"{RES}/judged/{CELL}.json"),
    output:
        out=report(
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
        arguments=exp.arguments("weigh_claims"),
    shell:
        "python -m stages.weigh_claims {params.arguments} > {log} 2>&1"
