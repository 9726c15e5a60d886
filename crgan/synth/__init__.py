"""The demo benchmark: three generated camera networks in the real data sets' layouts.

generate("market1501", root, DemoConfig())   writes a data set
contact_sheet([root, ...], "sheet.png")      an image to look at
"""

from crgan.synth.benchmark import MARKER, generate
from crgan.synth.config import DATASETS, DemoConfig

__all__ = ["DATASETS", "MARKER", "DemoConfig", "generate"]
