"""What Kubernetes would be sent for each rule of the workflow, checked against its schema.

    python -m tests.cluster.prove_kubernetes        (make prove-kubernetes)

No cluster: the official plugin's own code makes each job, with the resources of the profiles, and a
client that only keeps what it is given takes it. Each job is checked against the schema of the
Kubernetes API (kubernetes-validate, strict: no unknown key), and for what the schema does not say:
a GPU must stand among the limits, with the number that is requested.
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import kubernetes
import kubernetes_validate
import yaml
from snakemake_executor_plugin_kubernetes import Executor, ExecutorSettings

from crgan.common.errors import UserError
from tests.cluster.profiles import asked, profile

VERSION = "1.31"
IMAGE = "registry.example.org/crgan-train@sha256:" + "0" * 64


def resources(rule: str, attempt: int) -> dict[str, Any]:
    """What the profiles ask of the cluster for a rule, with a GPU and eight threads."""
    more = profile("kubernetes")["default-resources"]
    values = {name: eval(v) if isinstance(v, str) else v for name, v in more.items()}
    return {**asked(rule, attempt), **values, "_cores": 8, "gpu": 1}


def manifest(rule: str, attempt: int) -> dict[str, Any]:
    """The job as it would go over the wire."""
    sent: list[Any] = []
    settings = ExecutorSettings(namespace="crgan")
    executor = Executor.__new__(Executor)
    executor.workflow = SimpleNamespace(
        executor_settings=settings, deployment_settings=SimpleNamespace(deployment_method=set())
    )
    executor.logger = logging.getLogger("prove_kubernetes")
    executor.batchapi = SimpleNamespace(
        create_namespaced_job=lambda namespace, body: sent.append(body)
    )
    executor.lock = mock.MagicMock()
    executor.namespace, executor.container_image = settings.namespace, IMAGE
    executor.k8s_cpu_scalar, executor.k8s_service_account_name = settings.cpu_scalar, None
    executor.run_namespace, executor.secret_envvars = "run", {"aws_key": "AWS_ACCESS_KEY_ID"}
    executor.persistent_volumes, executor.privileged = [], False
    executor.format_job_exec = lambda job: f"python -m snakemake --target-jobs {job.name}:"
    executor.report_job_submission = lambda info: None
    job = SimpleNamespace(
        name=rule, jobid=1, attempt=attempt, is_containerized=False,
        resources=resources(rule, attempt),
    )  # fmt: skip
    executor.run_job(job)
    found: dict[str, Any] = kubernetes.client.ApiClient().sanitize_for_serialization(sent[0])
    return {"apiVersion": "batch/v1", "kind": "Job", **found}


def check(rule: str, found: dict[str, Any]) -> None:
    """The schema, and the rule of extended resources that it does not hold."""
    kubernetes_validate.validate(found, VERSION, strict=True)
    asked = found["spec"]["template"]["spec"]["containers"][0]["resources"]
    gpus = {kind: asked.get(kind, {}).get("nvidia.com/gpu") for kind in ("requests", "limits")}
    if gpus != {"requests": "1", "limits": "1"}:
        raise UserError(f"{rule}: Kubernetes refuses GPUs requested and limited so: {gpus}")


def main() -> None:
    """Check every rule; print one job, or write all of them to --out FOLDER."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.prove_kubernetes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="folder to write each rule's job to, as YAML")
    args = parser.parse_args()
    rules = profile("default")["set-resources"]
    try:
        for rule in rules:
            found = manifest(rule, attempt=1)
            check(rule, found)
            if args.out:
                args.out.mkdir(parents=True, exist_ok=True)
                (args.out / f"{rule}.yaml").write_text(yaml.safe_dump(found, sort_keys=False))
        broken = manifest("train_gan", attempt=1)
        broken["spec"]["template"]["spec"]["gpus"] = 1
        try:
            check("broken", broken)
        except kubernetes_validate.ValidationError as error:
            refused = str(error).splitlines()[0]
        else:
            raise UserError("the schema takes a key that does not exist: it checks nothing")
    except (UserError, kubernetes_validate.ValidationError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    print(yaml.safe_dump(manifest("train_gan", attempt=2), sort_keys=False))
    print(
        f"# {len(rules)} rules' jobs fit the schema of Kubernetes {VERSION}; "
        f"one with a made-up key is refused ({refused})"
    )


if __name__ == "__main__":
    main()
