"""Run at the end of each image's build: a broken image must not get a name.

python health.py IMAGE checks, in the image, that every pinned package is there in its version, that
what its stages import can be imported, and that torch was built for the CUDA libraries installed
beside it. Then it writes the image's name to /etc/crgan/name, where stages look for it.
"""

import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

RECIPE = Path("/etc/crgan")


def main(image: str) -> None:
    """Check the image, say what was found, write its name."""
    pinned: dict[str, str] = {}
    modules: list[str] = []
    for path in sorted(RECIPE.glob("*.txt")):
        for line in path.read_text().splitlines():
            name, equals, number = line.partition("==")
            if line.startswith("# imports:"):
                modules += line.partition(":")[2].split()
            elif equals and not line.startswith("#"):
                pinned[name] = number
    wrong = [f"{n}: {version(n)}, not {p}" for n, p in pinned.items() if version(n) != p]
    if wrong or not modules:
        sys.exit(f"image {image}: {wrong or 'no modules to import'}")
    for module in dict.fromkeys(modules):
        import_module(module)
    print(f"{image}: {len(pinned)} packages, imports {' '.join(dict.fromkeys(modules))}")
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
    main(sys.argv[1])
