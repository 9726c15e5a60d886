"""Run at the end of each image's build: a broken image must not get a name.

python health.py IMAGE MODULE... checks, in the image, that every pinned package is there in its
version, that the modules can be imported, and that torch was built for the CUDA libraries installed
beside it. Then it writes the image's name to /etc/crgan/name, where stages look for it.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

RECIPE = Path("/etc/crgan")


def main(image: str, *modules: str) -> None:
    """Check the image, say what was found, write its name."""
    lines = (RECIPE / f"{image}.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines)
    wrong = [f"{n}: {version(n)}, not {p}" for n, p in pinned.items() if version(n) != p]
    if wrong:
        sys.exit(f"image {image}: {', '.join(wrong)}")
    for module in modules:
        import_module(module)
    print(f"{image}: {len(pinned)} packages, imports {' '.join(modules)}")
    if "torch" in pinned:
        check_cuda(pinned)
    (RECIPE / "name").write_text(f"{image}\n")


def check_cuda(pinned: dict[str, str]) -> None:
    """torch's CUDA is the one of the locked runtime library."""
    import torch

    cuda = torch.version.cuda
    print(f"torch {torch.__version__}, torch.version.cuda {cuda}")
    runtime = next((v for n, v in pinned.items() if n.startswith("nvidia-cuda-runtime")), None)
    if runtime and not (cuda and runtime.startswith(f"{cuda}.")):
        sys.exit(f"torch is built for CUDA {cuda}, nvidia-cuda-runtime is {runtime}")


if __name__ == "__main__":
    main(*sys.argv[1:])
