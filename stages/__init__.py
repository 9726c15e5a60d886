"""The stages' command lines: `python -m stages.<name>`."""
