"""The stages' command lines: `python -m stages.<name>`.

A warm process may take such a command over before it imports more: `crgan.pipeline.warm`.
"""

from crgan.pipeline.warm import hand_over

hand_over()
