"""A table as Markdown for people: measured value, spread, printed value, notes by number."""

from __future__ import annotations

from crgan.report.tables import Line, Table, cell_text

_TITLES = {
    1: "quality of the rendered images, with and without the dual condition",
    2: "what the dual condition brings in re-identification",
    3: "what each loss brings in re-identification",
    4: "quality of the rendered images, beside SPGAN",
    5: "GAN-based methods",
    6: "unsupervised cross-domain methods, Market-1501 and DukeMTMC-reID",
    7: "unsupervised cross-domain methods, from CUHK03",
}
_DATASETS = {"market1501": "Market-1501", "dukemtmc": "DukeMTMC-reID", "cuhk03": "CUHK03"}
_PROFILES = {
    "demo": "measured on the generated demo benchmark; not comparable with the paper's numbers",
    "smoke": "a test run of a few iterations; no number here means anything",
    "paper": "the paper's scale; the notes say where the setting differs from the paper's",
}
_DIRECTION = {"LPIPS": "higher is better", "FID": "lower is better"}


def markdown(table: Table) -> str:
    """The table as Markdown, one section for each direction; ends with a line break."""
    number = table.printed.number
    about = _PROFILES.get(table.profile, "a profile of your own; see its section in params.yaml")
    notes = list(dict.fromkeys(note for line in table.lines for note in line.notes))
    parts = [
        f"# Table {number}: {_TITLES[number]}",
        f"**Profile `{table.profile}`: {about}.**",
        _how_to_read(table),
    ]
    for source, target in dict.fromkeys((e.row.source, e.row.target) for e in table.lines):
        lines = [e for e in table.lines if (e.row.source, e.row.target) == (source, target)]
        parts.append(f"## {dataset_label(source)} → {dataset_label(target)}")
        parts.append(_section(table, lines, notes))
    if notes:
        parts.append("## Notes")
        parts.append("\n".join(f"{i}. {_escaped(note)}" for i, note in enumerate(notes, 1)))
    return "\n\n".join(parts) + "\n"


def dataset_label(name: str) -> str:
    """A data set's name as people write it."""
    return _DATASETS.get(name, name)


def _how_to_read(table: Table) -> str:
    units = [f"{m}: {_DIRECTION[m]}" for m in table.printed.metrics if m in _DIRECTION]
    unit = "; ".join(units) if units else "percent"
    return (
        "Each cell: measured mean ± standard deviation over seeds (paper: the printed value); "
        f"- where nothing was measured. {unit[0].upper()}{unit[1:]}."
    )


def _section(table: Table, lines: list[Line], notes: list[str]) -> str:
    metrics = table.printed.metrics
    groups = ["Type"] if table.printed.has_types else []
    head = [*groups, "Method", *metrics, "Notes"]
    rule = [*(["---"] * (len(groups) + 1)), *(["---:"] * len(metrics)), "---"]
    rows = [head, rule]
    for line in lines:
        group = [line.row.type] if groups else []
        values = [_cell(line, metric) for metric in metrics]
        numbers = ", ".join(str(notes.index(note) + 1) for note in line.notes)
        rows.append([*group, _escaped(line.row.method), *values, numbers])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(line: Line, metric: str) -> str:
    mean, std, paper = cell_text(line, metric)
    text = f"{mean} ± {std}" if std else mean or "-"
    return f"{text} (paper {paper})" if paper else text


def _escaped(text: str) -> str:
    """Characters that Markdown would take as its own in a table's cell."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
