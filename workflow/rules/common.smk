import sys
from pathlib import Path

# Not workflow.basedir: that is the root when the root Snakefile is the one that was named.
PROJECT = str(
    Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
)
if PROJECT not in sys.path:
    sys.path.insert(0, PROJECT)

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import SharedFSUsage

from crgan.pipeline.preflight import require_for_jobs
from crgan.pipeline.reconcile import reconcile
from crgan.pipeline.workflow import Experiment, job_environment, runs_jobs
from crgan.pipeline import containers as images, warm
from crgan.common.errors import UserError
from crgan.pipeline.params import snapshot

try:
    # In a container or conda environment the jobs' Python is that one's.
    isolated = {m.name for m in workflow.deployment_settings.deployment_method}
    exp = Experiment(config, apptainer="APPTAINER" in isolated, workflow=workflow)
    if workflow.is_main_process:
        real = runs_jobs(sys.argv)
        judge = exp.bucket.reconcile if exp.bucket else reconcile
        finding = judge(exp.params, look_only=not real)
        if finding.message(real):
            logger.warning(finding.message(real))
        if real:
            snapshot(exp.params)
    elif SharedFSUsage.PERSISTENCE not in workflow.storage_settings.shared_fs_usage:
        # A job in a folder of its own (a pod): the snapshot of its run is not here.
        snapshot(exp.params)
    shell.prefix(
        job_environment(
            exp.params,
            own_python=not isolated,
            copies=exp.bucket.copies if exp.bucket else None,
        )
    )
except UserError as error:
    raise WorkflowError(str(error)) from None

config.update(exp.params)

P = exp.profile
ART = f"artifacts/{P}"
RES = f"results/{P}"
PAIR = "{source}-{target}"
CELL = "{method}/{source}-{target}/seed{seed}"
BETWEEN = "{method}/{a}-{b}/seed{seed}"


wildcard_constraints:
    dataset="|".join(exp.matrix["datasets"]),
    source="|".join(exp.matrix["sources"]),
    target="|".join(exp.matrix["targets"]),
    a="|".join(exp.matrix["datasets"]),
    b="|".join(exp.matrix["datasets"]),
    seed=r"\d+",
    table="[1-7]",


def check_inputs():
    """One message with all that the jobs to come would not find, before any of them runs."""
    try:
        require_for_jobs(exp.params, workflow.dag.needrun_jobs())
    except UserError as error:
        raise WorkflowError(str(error)) from None


def start_warm():
    """Local jobs on the CPU begin with torch imported; others have a Python of their own."""
    run = exp.params["profiles"][P]["run"]
    here = workflow.local_exec and not workflow.dryrun and not isolated
    if here and images.runtime() == "host" and run["device"] == "cpu":
        warm.start(run["threads"])
