"""What the profiles ask of a cluster, as Snakemake would work it out for a job."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from tests.stub_project import ROOT

PROFILES = ROOT / "workflow/profiles"


class Input(list[str]):
    """Inputs of a job, as the profiles' expressions see them: two real data sets."""

    size_mb = 7000.0


@cache
def profile(name: str) -> dict[str, Any]:
    """A profile's settings."""
    loaded: dict[str, Any] = yaml.safe_load((PROFILES / name / "config.yaml").read_text())
    return loaded


def asked(rule: str, attempt: int) -> dict[str, Any]:
    """What the default profile asks for a rule's job: {resource: value}."""
    given = {"input": Input(), "attempt": attempt}
    lines = profile("default")["set-resources"][rule]
    return {resource: eval(expression, given) for resource, expression in lines.items()}
