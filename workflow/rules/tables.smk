rule make_table:
    input:
        printed=exp.printed(),
        scores=exp.with_records(
            exp.scores(f"{RES}/cells/{CELL}.json", f"{RES}/visual/{CELL}.json")
        ),
        code=exp.code("make_table"),
    output:
        table=report(
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
        scores=exp.score_folders(),
    shell:
        "python -m stages.make_table --table {wildcards.table} --printed {input.printed}"
        " {params.scores} --out {output.table} --readable {output.readable} > {log} 2>&1"


rule tabulate_renderings:
    input:
        judged=exp.with_records(exp.cells(f"{RES}/judged/{CELL}.json", "visual")),
        visual=exp.with_records(exp.cells(f"{RES}/visual/{CELL}.json", "visual")),
        code=exp.code("tabulate_renderings"),
    output:
        table=report(
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
        scores=exp.rendering_folders(),
    shell:
        "python -m stages.tabulate_renderings {params.scores}"
        " --out {output.table} --readable {output.readable} > {log} 2>&1"


rule tabulate_all:
    input:
        scores=exp.with_records(
            exp.cells(f"{RES}/cells/{CELL}.json", exp.scored)
        ),
        code=exp.code("tabulate_all"),
    output:
        table=report(
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
        scores=exp.all_score_folders(),
    shell:
        "python -m stages.tabulate_all {params.scores}"
        " --out {output.table} --readable {output.readable} > {log} 2>&1"


rule tables:
    input:
        expand("results/table{table}.csv", table=exp.tables),
        rules.tabulate_renderings.output.table,
        rules.tabulate_all.output.table,
