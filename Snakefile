include: "workflow/Snakefile"


# An included file cannot set it: without this line a bare `snakemake` would do nothing, silently.
workflow.default_target = "all"
