"""The Python side of `workflow/`: what the Snakefile asks, before and after its jobs."""
