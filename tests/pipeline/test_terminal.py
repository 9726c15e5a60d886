"""What a run shows: progress in a line, failures with their log, chatter not at all."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from crgan.pipeline import terminal
from crgan.pipeline.terminal import show_plan, show_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logger_to(stream: io.StringIO) -> logging.Logger:
    """A logger like Snakemake's, which wrote to `stream` before."""
    logger = logging.Logger("run", logging.INFO)
    logger.addHandler(logging.StreamHandler(stream))
    show_progress(logger)
    return logger


def say(logger: logging.Logger, event: LogEvent, level: int = logging.INFO, **facts: Any) -> None:
    logger.log(level, "a text for the log file", extra={"event": event, **facts})


def start(logger: logging.Logger, job: int, rule: str, **wildcards: str) -> None:
    say(logger, LogEvent.JOB_INFO, jobid=job, rule_name=rule, wildcards=wildcards)


def test_a_file_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock[0])
    out = io.StringIO()
    logger = logger_to(out)
    say(logger, LogEvent.RUN_INFO, stats={"train_gan": 100, "total": 100})
    for job in range(100):
        start(logger, job, "train_gan", seed=str(job))
        clock[0] += 1
        say(logger, LogEvent.JOB_FINISHED, job_id=job)
        say(logger, LogEvent.PROGRESS, done=job + 1, total=100)
    lines = out.getvalue().splitlines()
    assert lines[0] == "0 of 100 jobs done"
    assert lines[-1] == "100 of 100 jobs done"
    assert 4 <= len(lines) <= 7
    assert "running: train_gan 21, about 79 s left" in out.getvalue()
    assert "\033" not in out.getvalue()


def test_a_terminal_gets_one_line_that_is_painted_anew() -> None:
    out = Terminal()
    logger = logger_to(out)
    say(logger, LogEvent.RUN_INFO, stats={"total": 2})
    start(logger, 1, "pretrain_id", dataset="market1501")
    say(logger, LogEvent.PROGRESS, done=1, total=2)
    logger.info("Complete log(s): here.log")
    text = out.getvalue()
    assert "1 of 2 jobs done, running: pretrain_id market1501" in text
    assert "Complete log(s): here.log\n" in text
    assert text.count("\n") <= 3
    for handler in logger.handlers:
        handler.close()


def test_a_failure_is_shown_once_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text("\n".join(f"line {n}" for n in range(50)) + "\ntorch: out of memory\n")
    out = io.StringIO()
    logger = logger_to(out)
    start(logger, 7, "train_gan", method="crgan")
    for _ in range(2):
        say(
            logger,
            LogEvent.JOB_ERROR,
            logging.ERROR,
            jobid=7,
            rule_name="train_gan",
            log=[str(log)],
        )
    text = out.getvalue()
    assert text.count("failed: train_gan crgan") == 1
    assert "    torch: out of memory\n" in text
    assert f"    log: {log}\n" in text
    assert "line 10\n" not in text


def test_warnings_and_errors_pass_and_chatter_does_not() -> None:
    out = io.StringIO()
    logger = logger_to(out)
    for chatter in ("Select jobs to execute...", "Provided cores: 2", "", "host: here"):
        logger.info(chatter)
    logger.warning("3 outputs are stale")
    logger.info("Nothing to be done (all requested files are present and up to date).")
    say(logger, LogEvent.SHELLCMD, shellcmd="python -m stages.train_gan")
    logger.error("WorkflowError: no such file")
    assert out.getvalue().splitlines() == [
        "3 outputs are stale",
        "Nothing to be done (all requested files are present and up to date).",
        "WorkflowError: no such file",
    ]


def test_a_file_is_no_terminal_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = io.StringIO()
    logger = logger_to(out)
    say(logger, LogEvent.RUN_INFO, stats={"total": 2})
    say(logger, LogEvent.PROGRESS, done=2, total=2)
    logger.warning("3 outputs are stale")
    assert out.getvalue() == "0 of 2 jobs done\n2 of 2 jobs done\n3 outputs are stale\n"


def test_a_plan_is_jobs_by_rule_and_why() -> None:
    out = io.StringIO()
    logger = logging.Logger("run", logging.INFO)
    logger.addHandler(logging.StreamHandler(out))
    stale = {"b.pt": "parameters changed: lr was 1, is 2", "c.pt": "a/b.pt: source code changed"}
    show_plan(logger, stale, lambda jobs: f"{jobs[0][1]['dataset']} is missing")
    logger.info("Building DAG of jobs...")
    counts = {"prepare_data": 1, "train_gan": 4, "total": 5}
    reasons = (
        "Missing output files: a.csv",
        "Updated input files: a.csv; Params have changed since last execution: before: x; now: y",
        "Input files updated by another job: a.csv, b.csv",
        "Missing output files: b.pt",
        "Missing output files: c.pt; Input files updated by another job: b.pt",
    )
    outputs = ("a.csv", "x.pt", "y.pt", "b.pt", "c.pt")
    say(logger, LogEvent.RUN_INFO, stats=counts)
    for job, (reason, output) in enumerate(zip(reasons, outputs, strict=True)):
        rule = "train_gan" if job else "prepare_data"
        facts: dict[str, Any] = {"rule_name": rule, "wildcards": {"dataset": "market1501"}}
        facts |= {"output": [output]}
        say(logger, LogEvent.JOB_INFO, jobid=job, reason=reason, **facts)
    say(logger, LogEvent.RUN_INFO, stats=counts)
    logger.info("Reasons:\n    (check individual jobs above for details)")
    logger.info("This was a dry-run (flag -n). The order of jobs does not reflect anything.")
    assert out.getvalue() == (
        "5 jobs would run (snakemake -n --printshellcmds lists them):\n"
        "     1  prepare_data  not made yet\n"
        "     4  train_gan     2 what it reads is made anew, 1 other parameters, "
        "1 parameters changed\n"
        "\n"
        "market1501 is missing\n"
    )


def test_the_log_file_keeps_everything(tmp_path: Path) -> None:
    logger = logging.Logger("run", logging.INFO)
    logger.addHandler(logging.FileHandler(tmp_path / "run.log"))
    logger.addHandler(logging.StreamHandler(io.StringIO()))
    show_progress(logger)
    logger.info("Select jobs to execute...")
    assert (tmp_path / "run.log").read_text() == "Select jobs to execute...\n"
