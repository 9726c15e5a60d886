"""Commands for people with cameras: `crgan adapt`, `search`, `score`, `export` and `datasets`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

_MODEL = "model.onnx or model.pt of crgan adapt or export, or a re-id file of the workflow"


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands to a parser's subparsers; each sets `run`, called with the arguments."""
    _adapt(commands)
    _search(commands)
    _score(commands)
    _export(commands)
    _datasets(commands)


def _command(commands: Any, name: str, run: Any, about: str, examples: str) -> Any:
    parser = commands.add_parser(
        name, help=about, description=about[0].upper() + about[1:] + ".",
        epilog=f"examples:\n{examples}", formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(run=run)
    return parser


def _adapt(commands: Any) -> None:
    parser = _command(
        commands, "adapt", run_adapt, "adapt a re-id model to cameras of your own, without labels",
        """\
  crgan adapt --target cameras/ --out mysite/
      a try without any data set: people are learned from the generated benchmark
  crgan adapt --source market1501 --target cameras/ --out mysite/ --profile paper
      the real thing, with Market-1501 below resources/ and a GPU
  crgan adapt --source labelled/ --target cameras/ --out mysite/ --method crgan+cluster_contrast

cameras/ holds a folder for each camera, of any name, with crops of one person each, in folders of
their own (days, say) or not. The same command goes on where it was cut short, and takes in images
that were added since. It leaves model.onnx, model.pt, card.md and report.html in mysite/.""",
    )  # fmt: skip
    parser.add_argument("--target", type=Path, required=True, metavar="FOLDER",
                        help="<camera>/*.jpg, crops of one person each")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--source", default="generated", metavar="SET",
                        help="who people are learned from: a labelled data set by name (crgan "
                        "datasets), a folder of one, or generated (default)")  # fmt: skip
    parser.add_argument("--method", default="crgan", metavar="NAME",
                        help="crgan (default), crgan+cluster_contrast or direct")  # fmt: skip
    parser.add_argument("--profile", default="demo", metavar="NAME",
                        help="scale: demo (default, minutes), study, paper")  # fmt: skip
    parser.add_argument("--start", type=Path, metavar="MODEL",
                        help="a model.pt whose network learning starts from")  # fmt: skip
    parser.add_argument("--masks", metavar="NAME",
                        help="what finds the person: grabcut, mediapipe_pose or jppnet, whose "
                        "weights you must bring; by default the profile's, but not "
                        "jppnet")  # fmt: skip
    parser.add_argument("--cores", type=int, help="of the processor; all by default")


def run_adapt(args: argparse.Namespace) -> int:
    """`crgan adapt`."""
    from crgan.deploy.adapt import adapt

    made = adapt(
        args.target, args.out, source=args.source, method=args.method, profile=args.profile,
        start=args.start, masks=args.masks, cores=args.cores,
    )  # fmt: skip
    print(made.onnx, made.pt, made.card, made.report, sep="\n")
    return 0


def _search(commands: Any) -> None:
    parser = _command(
        commands, "search", run_search, "rank a folder of images by likeness to a person",
        """\
  crgan search --model mysite/model.onnx --gallery cameras/ cameras/door/0412.jpg
  crgan search --model mysite/model.onnx --gallery cameras/ queries/ --top 20 --out found/
      a folder of queries also gives found/matrix.npy, all similarities

The gallery's features are kept in cameras/.crgan and made anew for new images only.""",
    )  # fmt: skip
    parser.add_argument("--model", type=Path, required=True, help=_MODEL)
    parser.add_argument("--gallery", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("queries", nargs="+", type=Path, metavar="QUERY",
                        help="an image, or a folder of images")  # fmt: skip
    parser.add_argument("--top", type=int, default=10, help="images to find (default 10)")
    parser.add_argument("--same-camera", action="store_true",
                        help="also find images of the query's own camera")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("search"), metavar="FOLDER",
                        help="for ranks.csv and ranks.html (default: search)")  # fmt: skip


def run_search(args: argparse.Namespace) -> int:
    """`crgan search`."""
    from crgan.deploy.model import ReidModel
    from crgan.deploy.search import as_text, search, write_csv, write_html

    is_matrix = any(query.is_dir() for query in args.queries)
    matrix = args.out / "matrix.npy" if is_matrix else None
    found = search(
        ReidModel.load(args.model), args.gallery, args.queries, top=args.top,
        same_camera=args.same_camera, matrix=matrix,
    )  # fmt: skip
    write_csv(found, args.out / "ranks.csv")
    write_html(found, args.out / "ranks.html", "Search")
    for line in as_text(found):
        print(line)
    if found.gallery.skipped:
        print(f"{len(found.gallery.skipped)} images cannot be used; ranks.html lists them")
    print(*(p for p in (args.out / "ranks.csv", args.out / "ranks.html", matrix) if p), sep="\n")
    return 0


def _score(commands: Any) -> None:
    parser = _command(
        commands, "score", run_score, "tell how often a model finds the right person",
        """\
  crgan score --model mysite/model.onnx labelled/
  crgan score --model before.pt after.pt -- market1501/
      several models are compared on the same images

labelled/ holds <person>/<camera>_*.jpg, a few people seen by two cameras or more, or a data set of
any layout that crgan datasets lists. Single query, global features, cosine distance.""",
    )  # fmt: skip
    parser.add_argument("--model", type=Path, nargs="+", required=True, help=_MODEL)
    parser.add_argument("labelled", type=Path, metavar="FOLDER")


def run_score(args: argparse.Namespace) -> int:
    """`crgan score`."""
    from crgan.deploy.labelled import score
    from crgan.deploy.model import ReidModel

    rankings = score([ReidModel.load(path) for path in args.model], args.labelled)
    first = rankings[0]
    print(f"{first.queries - first.dropped_queries} queries, {first.gallery} images in the gallery")
    print("  R1   R5  R10  mAP  model")
    for path, found in zip(args.model, rankings, strict=True):
        rates = (found.rank1, found.rank5, found.rank10, found.mAP)
        print(*(f"{rate:4.1f}" for rate in rates), f" {path}")
    return 0


def _export(commands: Any) -> None:
    parser = _command(
        commands, "export", run_export, "write a re-id file as ONNX and for torchvision",
        """\
  crgan export artifacts/demo/finetuned/crgan/market1501-dukemtmc/seed0.pt --out exported/""",
    )  # fmt: skip
    parser.add_argument("reid", type=Path, help="the re-id file")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER",
                        help="for model.onnx and model.pt")  # fmt: skip


def run_export(args: argparse.Namespace) -> int:
    """`crgan export`."""
    from crgan.deploy.export import export

    print(*export(args.reid, args.out), sep="\n")
    return 0


def _datasets(commands: Any) -> None:
    _command(
        commands, "datasets", run_datasets, "list the data sets that are known, and what is here",
        "  crgan datasets",
    )  # fmt: skip


def run_datasets(args: argparse.Namespace) -> int:
    """`crgan datasets`."""
    from crgan.data.known import as_text, known
    from crgan.pipeline.params import load

    print(as_text(known(load())))
    return 0
