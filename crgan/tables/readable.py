"""A table as Markdown for people: measured value, spread, printed value, notes by number."""

from __future__ import annotations

from crgan.tables.names import profile_warning
from crgan.tables.printed import is_visual
from crgan.tables.tables import Line, Table, cell_text
from crgan.tables.written import direction_label, markdown_table, numbered

_TITLES = {
    1: "quality of the rendered images, with and without the dual condition",
    2: "what the dual condition brings in re-identification",
    3: "what each loss brings in re-identification",
    4: "quality of the rendered images, beside SPGAN",
    5: "GAN-based methods",
    6: "unsupervised cross-domain methods, Market-1501 and DukeMTMC-reID",
    7: "unsupervised cross-domain methods, from CUHK03",
}
_DIRECTION = {"LPIPS": "higher is better", "FID": "lower is better"}


def markdown(table: Table) -> str:
    """The table as Markdown, one section for each direction; ends with a line break."""
    number = table.printed.number
    notes = list(dict.fromkeys(note for line in table.lines for note in line.notes))
    parts = [
        f"# Table {number}: {_TITLES[number]}",
        f"**Profile `{table.profile}`: {profile_warning(table.profile)}.**",
        _how_to_read(table),
    ]
    for source, target in dict.fromkeys((e.row.source, e.row.target) for e in table.lines):
        lines = [e for e in table.lines if (e.row.source, e.row.target) == (source, target)]
        parts.append(f"## {direction_label(source, target)}")
        parts.append(_section(table, lines, notes))
    if notes:
        parts.append("## Notes")
        parts.append(numbered(map(_escaped, notes)))
    return "\n\n".join(parts) + "\n"


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
    uses = [] if is_visual(table.printed) else ["Uses"]
    head = [*groups, "Method", *metrics, *uses, "Notes"]
    rule = [*(["---"] * (len(groups) + 1)), *(["---:"] * len(metrics))]
    rule += ["---"] * (len(uses) + 1)
    rows = [head, rule]
    for line in lines:
        group = [line.row.type] if groups else []
        values = [_cell(line, metric) for metric in metrics]
        numbers = ", ".join(str(notes.index(note) + 1) for note in line.notes)
        used = [line.uses] if uses else []
        rows.append([*group, _escaped(line.row.method), *values, *used, numbers])
    return markdown_table(rows)


def _cell(line: Line, metric: str) -> str:
    mean, std, paper = cell_text(line, metric)
    text = f"{mean} ± {std}" if std else mean or "-"
    return f"{text} (paper {paper})" if paper else text


def _escaped(text: str) -> str:
    """Characters that Markdown would take as its own in a table's cell."""
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")
