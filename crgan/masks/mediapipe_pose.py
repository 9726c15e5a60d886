"""Person masks by MediaPipe Pose Landmark (BlazePose, Bazarevsky et al., 2020) on ai-edge-litert.

The network expects a square cut-out around one person and gives, beside its key points, the
person's mask. A person crop is that cut-out once it is made square.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from crgan.common.errors import UserError
from crgan.common.io import sha256_file
from crgan.common.settings import Within
from crgan.masks.backend import Batch, MaskBackend, Resources, options_from

_SIDE = 256  # of the network's input and mask
_MASK_OUTPUT = "Identity_2"


@dataclass(frozen=True)
class Options:
    """Settings.

    Attributes:
        threshold: a pixel is person where the mask's probability exceeds it. One half: the network
            is trained with a symmetric loss, and its masks are steep (7 % of the pixels of real
            crops lie between 0.1 and 0.9), so the value hardly matters.
    """

    weights = "mediapipe_pose_full"  # or mediapipe_pose_heavy; no type, so no setting
    threshold: Annotated[float, Within(above=0, below=1)] = 0.5


class MediaPipePose:
    """The backend `mediapipe_pose`; 17 ms a crop with the full model, 60 ms with the heavy one."""

    name = "mediapipe_pose"

    def __init__(self, weights: Path, options: Options | None = None, threads: int = 1) -> None:
        """Load the .tflite file `weights`.

        The model takes one image at a time, so each thread has an interpreter of its own and
        images are shared out among them; an image's mask does not depend on `threads`.

        Raises:
            UserError: ai-edge-litert or the file is absent, or the file is no such model.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise UserError(
                "masks.backend mediapipe_pose needs the package ai-edge-litert; "
                "run `pip install ai-edge-litert` or choose grabcut"
            ) from None
        if not weights.is_file():
            raise UserError(
                f"{weights}: no such file; `python -m stages.fetch_weights mediapipe_pose_full` "
                "brings the weights"
            )
        self.options = options or Options()
        self.settings: dict[str, Any] = asdict(self.options)
        self.weights_sha256: str | None = sha256_file(weights)
        try:
            networks = [Interpreter(model_path=str(weights), num_threads=1) for _ in range(threads)]
            for network in networks:
                network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{weights}: not a TFLite model ({error})") from None
        outputs = {o["name"]: o["index"] for o in networks[0].get_output_details()}
        if _MASK_OUTPUT not in outputs:
            raise UserError(f"{weights}: has no output {_MASK_OUTPUT}; not a Pose Landmark model")
        self._input = networks[0].get_input_details()[0]["index"]
        self._output = outputs[_MASK_OUTPUT]
        self._pool = ThreadPoolExecutor(threads)
        self._free: SimpleQueue[Any] = SimpleQueue()
        for network in networks:
            self._free.put(network)

    def masks(self, batch: Batch) -> NDArray[np.bool_]:
        """See `MaskBackend.masks`."""
        probabilities = list(self._pool.map(self._probability, batch.images))
        return np.stack(probabilities) > self.options.threshold

    def _probability(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The person's probability, float32 (H, W) in [0, 1]."""
        height, width = image.shape[:2]
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        # Replicated edges rather than black: the network has seen cut-outs of whole images.
        square = cv2.copyMakeBorder(
            image, top, side - height - top, left, side - width - left, cv2.BORDER_REPLICATE
        )
        scaled = _resized(square, _SIDE).astype(np.float32) / 255
        network = self._free.get()  # as many as the pool has threads: never waits
        try:
            network.set_tensor(self._input, scaled[None])
            network.invoke()
            probability = expit(network.get_tensor(self._output)[0, :, :, 0])
        finally:
            self._free.put(network)
        return _resized(probability, side)[top : top + height, left : left + width]


def _resized(image: NDArray[Any], side: int) -> NDArray[Any]:
    method = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=method))


def make(settings: Mapping[str, Any], resources: Resources) -> MaskBackend:
    """See `crgan.masks.backend`."""
    options = options_from(Options, "mediapipe_pose", settings)
    if resources.weights is None:
        raise UserError(
            "masks.backend mediapipe_pose needs weights: set weights.parsing in the profile to "
            "mediapipe_pose_full or _heavy, or leave it out (by hand: --weights FILE)"
        )
    return MediaPipePose(resources.weights, options, resources.threads)
