"""Make a data set of a source's training identities alone, some of them held out for validation.

    python -m stages.hold_out --layout market1501 --raw resources/market1501 \\
        --share 0.2 --seed 0 --out resources/market1501_fit

The new folder has the layout of the old: `bounding_box_train` without the held-out identities, and
these as `query` (one image a camera) and `bounding_box_test`. The old test set is not in it. Not
part of the workflow: name the folder as a data set of its own in params.yaml (docs/evidence.md).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from crgan.common.errors import UserError


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.hold_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--layout", required=True, choices=("market1501", "dukemtmc"))
    parser.add_argument("--raw", type=Path, required=True, help="the source's folder")
    parser.add_argument("--share", type=float, default=0.2, help="of the training identities")
    parser.add_argument("--seed", type=int, default=0, help="which identities")
    parser.add_argument("--out", type=Path, required=True, help="the new folder")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Make it and say what it holds."""
    from crgan.data.held_out import hold_out

    parser = arguments()
    args = parser.parse_args(argv)
    try:
        found = hold_out(args.layout, args.raw, args.out, share=args.share, seed=args.seed)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    counts = ", ".join(f"{name}: {count} images" for name, count in found.items())
    print(f"{args.out}: {counts}")


if __name__ == "__main__":
    main()
