# The steps of the paper, each by all files below its folders: the stages of dvc.yaml ask for them.


rule datasets:
    input:
        expand(rules.prepare_data.output, dataset=exp.matrix["datasets"]),
        expand(rules.fetch_weights.output, role=exp.roles),


rule masks:
    input:
        expand(rules.extract_masks.output, dataset=exp.matrix["datasets"]),


rule pretrained:
    input:
        expand(
            rules.pretrain_id.output,
            source=exp.matrix["sources"],
            seed=exp.matrix["seeds"],
        ),
        expand(
            rules.pretrain_cam.output,
            target=exp.matrix["targets"],
            seed=exp.matrix["seeds"],
        ),
        expand(rules.fresh_cnn.output, seed=exp.matrix["seeds"]),
        [f"{ART}/judges/{PAIR}.pt".format(**cell) for cell in exp.matrix["judges"]],


rule gans:
    input:
        exp.cells(f"{ART}/gan/{CELL}.pt", "gan"),
        exp.cells(f"{ART}/gan/{BETWEEN}.pt", "translators"),


rule finetuned:
    input:
        exp.cells(f"{ART}/finetuned/{CELL}.pt", "gan"),
        exp.cells(f"{ART}/finetuned/{CELL}.pt", "rendered"),


rule adapted:
    input:
        exp.cells(f"{ART}/adapted/{CELL}.pt", exp.adapting),


rule handcrafted:
    input:
        exp.cells(f"{ART}/features/{CELL}.pt", "handcrafted"),


rule scores:
    input:
        exp.cells(f"{RES}/cells/{CELL}.json", exp.ranked),
        exp.cells(f"{RES}/selection/{CELL}.json", "selected"),
        exp.cells(f"{RES}/visual/{CELL}.json", "visual"),
        exp.cells(f"{RES}/judged/{CELL}.json", "visual"),


rule tables:
    input:
        expand("results/table{table}.csv", table=exp.tables),
        expand("results/intervals/table{table}.csv", table=exp.tables),
        expand("results/curves/table{table}.csv", table=exp.ranked_tables),
        rules.tabulate_renderings.output.out,
        rules.tabulate_all.output.out,
        rules.weigh_claims.output.out,


rule figures:
    input:
        rules.draw_datasets.output.out,
        [
            f"results/figures/figure6-{PAIR}.png".format(**c)
            for c in exp.matrix["renderings"]
        ],
        [
            f"results/figures/figure7-{PAIR}.png".format(**c)
            for c in exp.matrix["renderings"]
        ],
        exp.cells(f"{RES}/ranks/{CELL}.png", "visual"),
