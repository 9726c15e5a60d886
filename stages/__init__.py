"""The stages' command lines: `python -m stages.<name>`.

Before such a command imports anything more, a warm process may take it over; see `crgan.run.warm`.
"""

from crgan.run.warm import hand_over

hand_over()
