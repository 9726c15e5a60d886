# The two commands a newcomer needs:  make results/table6.csv   and   make test
# Everything a target needs is set up by the target itself; `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= all
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help env env-cluster test lint format lock tables figures report check-report smoke \
  clean-results check-jppnet prove-slurm prove-remotes prove-kubernetes prove-storage FORCE

help: ## list the targets
	@grep -hE '^[a-z%/.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

env: .venv/.installed ## make .venv from requirements.lock (Python 3.11; about 6 GB with CUDA torch)

# pip compiles on one core, so every core does it afterwards (44 s in place of 92 on two). Templates
# that are no Python stay uncompiled, as with pip.
.venv/.installed: requirements.lock
	@"$(PYTHON)" -c 'import sys; assert sys.version_info[:2] == (3, 11), sys.version' || \
	  { echo "Python 3.11 is needed; name one with PYTHON=/path/to/python3.11"; exit 1; }
	"$(PYTHON)" -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.lock
	.venv/bin/python -c 'import compileall; compileall.compile_dir(".venv/lib", quiet=2, workers=0)'
	touch $@

results/%: env FORCE ## one table or figure, e.g. make results/table6.csv
	snakemake --cores $(CORES) $@

tables: env ## all seven tables
	snakemake --cores $(CORES) $(foreach n,1 2 3 4 5 6 7,results/table$(n).csv)

figures: env ## Figures 5, 6 and 7 and the rank lists
	snakemake --cores $(CORES) figures

report: env ## all that was measured in one file, results/report.html (PROFILE=paper for another)
	crgan report $(if $(PROFILE),--profile $(PROFILE))

.venv-browser/.installed: requirements-browser.txt
	"$(PYTHON)" -m venv .venv-browser
	.venv-browser/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-browser.txt
	touch $@

check-report: report .venv-browser/.installed ## the report in a real browser (needs Debian's chromium, chromium-driver)
	.venv-browser/bin/python -m tests.browser.check_report results/report.html

lint: env ## style, types and workflow checks
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint
	hadolint docker/Dockerfile

format: env ## rewrite files in the project's style
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

test: lint ## lint and the whole test suite, both engines end to end at smoke scale included
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder

.venv-tf/.installed: requirements-tf.txt
	"$(PYTHON)" -m venv .venv-tf
	.venv-tf/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-tf.txt
	touch $@

# AUTHORS=FOLDER, a checkout of Engineering-Course/LIP_JPPNet, adds a case built by its own files.
check-jppnet: env .venv-tf/.installed ## our JPPNet against TensorFlow (2 GB in .venv-tf; 10 minutes)
	python -m tests.exactness.jppnet_tf --tensorflow .venv-tf/bin/python $(if $(AUTHORS),--authors "$(AUTHORS)")

env-cluster: .venv/.cluster ## add to .venv what clusters and object stores need (docs/clusters.md)

.venv/.cluster: .venv/.installed requirements-cluster.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-cluster.lock
	touch $@

prove-slurm: env-cluster ## Table 4 at smoke scale on a one-node Slurm, jobs killed (root; not in `make test`)
	python -m tests.cluster.prove_slurm

prove-remotes: env-cluster ## DVC: push, fresh clone, pull, nothing to rerun; a folder and an S3 server
	python -m tests.cluster.prove_remotes

prove-kubernetes: env-cluster ## each rule's job as Kubernetes would get it, against its schema
	python -m tests.cluster.prove_kubernetes

prove-storage: env-cluster ## results in a bucket, jobs in pods that share no folder: equal to a local run's
	python -m tests.cluster.prove_storage

COMPILE = uv pip compile --universal --python-version 3.11 \
  --no-emit-index-url --no-header --no-annotate --quiet
lock: env ## requirements*.in -> requirements*.lock
	$(COMPILE) requirements.in -o requirements.lock
	$(COMPILE) requirements-cluster.in -c requirements.lock -o requirements-cluster.lock

FORCE:
