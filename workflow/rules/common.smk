import sys
import warnings
from functools import partial
from pathlib import Path

# Not workflow.basedir: that is the root when the root Snakefile is the one that was named.
PROJECT = str(
    Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
)
if PROJECT not in sys.path:
    sys.path.insert(0, PROJECT)

from snakemake.exceptions import WorkflowError

from crgan.pipeline.terminal import show_plan, show_progress
from crgan.common.errors import UserError
from crgan.pipeline.params import snapshot
from crgan.workflow.adopt import before_run, note_made
from crgan.workflow.foresee import foresee
from crgan.workflow.plan import Experiment, job_environment, plans_jobs, runs_jobs
from crgan.workflow.preflight import missing_for_jobs, require_for_jobs

try:
    # In a container or conda environment the jobs' Python is that one's.
    isolated = {m.name for m in workflow.deployment_settings.deployment_method}
    exp = Experiment(config, apptainer="APPTAINER" in isolated)
    shell.prefix(job_environment(exp.params, own_python=not isolated))
    if workflow.is_main_process:
        real = runs_jobs(sys.argv)
        finding = before_run(exp.params, config, real=real)
        if message := finding.message(real):
            logger.warning(message)
        if real:
            snapshot(exp.params)
            show_progress(logger)
        else:
            foresee(workflow, finding)
            if plans_jobs(sys.argv):
                show_plan(logger, finding.stale, partial(missing_for_jobs, exp.params))
except UserError as error:
    raise WorkflowError(str(error)) from None

# Snakemake drops what it need not wait for when inputs are yet to be made, and Python notices.
warnings.filterwarnings("ignore", r"coroutine 'InputFiles", RuntimeWarning)

config.update(exp.params)

P = exp.profile
ART = f"artifacts/{P}"
RES = f"results/{P}"
PAIR = "{source}-{target}"
CELL = "{method}/{source}-{target}/seed{seed}"
BETWEEN = "{method}/{a}-{b}/seed{seed}"

# Inputs that rules share. The stages find images.npy beside the manifest.
SOURCE = {
    "source_manifest": f"{ART}/data/{{source}}/manifest.csv",
    "beside_source": f"{ART}/data/{{source}}/images.npy",
}
TARGET = {
    "target_manifest": f"{ART}/data/{{target}}/manifest.csv",
    "beside_target": f"{ART}/data/{{target}}/images.npy",
}
TASK = {
    **SOURCE,
    **TARGET,
    "source_masks": f"{ART}/masks/{{source}}.h5",
    "target_masks": f"{ART}/masks/{{target}}.h5",
}


wildcard_constraints:
    dataset="|".join(exp.matrix["datasets"]),
    source="|".join(exp.matrix["datasets"]),  # of a pair or not: D_id can be trained on any
    target="|".join(exp.matrix["targets"]),
    a="|".join(exp.matrix["datasets"]),
    b="|".join(exp.matrix["datasets"]),
    seed=r"\d+",
    table="[1-7]",


def check_inputs():
    """One message with all that the jobs to come would not find, before any of them runs."""
    try:
        jobs = workflow.dag.needrun_jobs()
        require_for_jobs(exp.params, [(j.rule.name, j.wildcards_dict) for j in jobs])
    except UserError as error:
        raise WorkflowError(str(error)) from None
