"""CR-GAN: instance-guided context rendering for cross-domain person re-identification.

The names of `__all__` are for notebooks and other programs:

    import crgan
    model = crgan.ReidModel.load("mysite/model.onnx")
    query, gallery = model(query_images), model(gallery_images)
    ranking = crgan.evaluate(query, gallery, q_pid, q_camid, g_pid, g_camid, ap="step")
    print(ranking.mAP, ranking.cmc)

They are loaded when they are first used, so that `import crgan` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crgan.common.errors import UserError as UserError
    from crgan.data.manifest import Manifest as Manifest
    from crgan.data.manifest import read_manifest as read_manifest
    from crgan.data.store import open_dataset as open_dataset
    from crgan.deploy.adapt import adapt as adapt
    from crgan.deploy.labelled import score as score
    from crgan.deploy.model import ReidModel as ReidModel
    from crgan.deploy.search import search as search
    from crgan.masks.store import open_masks as open_masks
    from crgan.metrics.ranking import Ranking as Ranking
    from crgan.metrics.ranking import evaluate as evaluate
    from crgan.metrics.ranking import evaluate_distances as evaluate_distances
    from crgan.metrics.reranking import rerank as rerank

__version__ = "0.1.0"

# Where a public name is defined, under the same name unless another follows; the imports above say
# it to type checkers.
_HOMES = {
    "Manifest": "crgan.data.manifest",
    "Ranking": "crgan.metrics.ranking",
    "ReidModel": "crgan.deploy.model",
    "UserError": "crgan.common.errors",
    "adapt": "crgan.deploy.adapt",
    "evaluate": "crgan.metrics.ranking",
    "evaluate_distances": "crgan.metrics.ranking",
    "open_dataset": "crgan.data.store",
    "open_masks": "crgan.masks.store",
    "read_manifest": "crgan.data.manifest",
    "rerank": "crgan.metrics.reranking",
    "score": "crgan.deploy.labelled",
    "search": "crgan.deploy.search",
}
__all__ = ["__version__", "load_params", *_HOMES]


def load_params(path: str | Path | None = None) -> dict[str, Any]:
    """The parameters of a file, else of the folder's params.yaml, else those the project came with.

    Raises:
        UserError: no such file, or a value that is wrong.
    """
    from crgan.common.project import project_file
    from crgan.pipeline.params import DEFAULT, load

    return load(path or (DEFAULT if DEFAULT.is_file() else project_file("params.yaml")))


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'crgan' has no attribute {name!r}")
    module, _, other = _HOMES[name].partition(":")
    globals()[name] = value = getattr(import_module(module), other or name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
