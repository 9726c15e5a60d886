"""Read the authors' checkpoint with TensorFlow and write its tensors to an .npz (`make jppnet`):

    .venv-tensorflow/bin/python crgan/masks/jppnet/read_checkpoint.py DOWNLOADED/JPPNet-s2 OUT.npz

A script for TensorFlow's own environment, which holds nothing of ours: it imports numpy and
TensorFlow alone. Beside the tensors, as `sha256/<file>`, are the hashes of the checkpoint's files.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def main(source: str, out: str) -> None:
    """Write `out` from the checkpoint in folder `source`, or of prefix `source`."""
    path = Path(source)
    found = sorted(path.glob("*.index")) if path.is_dir() else [Path(f"{path}.index")]
    if len(found) != 1 or not found[0].is_file():
        names = ", ".join(file.name for file in found) or "none"
        sys.exit(f"{path}: expected a folder with one .index file and its .data files, has {names}")
    index = found[0]
    reader = tf.train.load_checkpoint(str(index.with_suffix("")))
    arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    for file in sorted(index.parent.glob(f"{index.stem}.*")):
        with open(file, "rb") as opened:
            arrays[f"sha256/{file.name}"] = np.array(
                hashlib.file_digest(opened, "sha256").hexdigest()
            )
    np.savez(out, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
