# The two commands a newcomer needs:  make results/table6.csv   and   make test
# Everything a target needs is set up by the target itself; `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CORES ?= all
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Snakemake keeps a cache in the home folder, which may be one that cannot be written.
ifneq ($(shell test -w "$$HOME" || echo no),)
export XDG_CACHE_HOME ?= $(CURDIR)/.scratch/cache
endif

.DEFAULT_GOAL := help
.PHONY: help env test lint format docs lock tables figures report check-report jppnet check-jppnet \
  prove-slurm trials FORCE

help: ## list the targets
	@grep -hE '^[a-z%/.-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

env: .venv/.installed ## make .venv of pyproject.toml and requirements.lock (Python 3.11; 6 GB)

.venv/.installed: pyproject.toml requirements.lock
	@"$(PYTHON)" tools/install.py .venv -c requirements.lock -e ".[dev,docs,export]"
	@touch $@

results/%: env FORCE ## one table or figure, e.g. make results/table6.csv
	snakemake --cores $(CORES) $@

tables: env ## all seven tables
	snakemake --cores $(CORES) $(foreach n,1 2 3 4 5 6 7,results/table$(n).csv)

figures: env ## Figures 5, 6 and 7 and the rank lists
	snakemake --cores $(CORES) figures

report: env ## all that was measured in one file, results/report.html (PROFILE=paper for another)
	crgan report $(if $(PROFILE),--profile $(PROFILE))

# Of recorded/PROFILE (docs/evidence.md).
%-tables: env FORCE ## tables, claims, report of a run kept in git, e.g. make study-tables; no training
	crgan rebuild --profile $* --cores $(CORES)

test: lint docs ## lint, docs and the whole test suite, the workflow at smoke scale included
	python -m pytest -n auto --dist loadfile --no-loadscope-reorder

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

docs: env ## the documentation as a web site in results/site
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

# pyproject.toml -> requirements.lock and what the images install.
COMPILE = uv pip compile --python-version 3.11 --no-emit-index-url --no-header --no-annotate --quiet
IMAGE = $(COMPILE) --python-platform x86_64-manylinux_2_28 -c requirements.lock
lock: env ## pin all that the project and its extras need
	$(COMPILE) --universal --all-extras pyproject.toml -o requirements.lock
	$(IMAGE) --group data-image -o docker/requirements/data.txt
	$(IMAGE) --extra export pyproject.toml -o docker/requirements/training.txt

# Environments of their own, each a dependency group of pyproject.toml. Old pips know no groups.
.venv-%/.installed: pyproject.toml
	@"$(PYTHON)" tools/install.py .venv-$* 'pip>=25.1'
	@"$(PYTHON)" tools/install.py .venv-$* --group $*
	@touch $@

check-report: report .venv-browser/.installed ## the report in a real browser (Debian's chromium, chromium-driver)
	.venv-browser/bin/python -m tests.browser.check_report results/report.html

jppnet: env .venv-tensorflow/.installed ## resources/weights/jppnet.pth from CHECKPOINT=FOLDER (docs/masks.md)
	@test -n "$(CHECKPOINT)" || { echo "name the downloaded folder: make jppnet CHECKPOINT=JPPNet-s2"; exit 2; }
	mkdir -p .scratch
	.venv-tensorflow/bin/python crgan/masks/jppnet/read_checkpoint.py "$(CHECKPOINT)" .scratch/jppnet.npz
	python -m crgan.masks.jppnet.convert .scratch/jppnet.npz
	rm .scratch/jppnet.npz

# AUTHORS=FOLDER, a checkout of Engineering-Course/LIP_JPPNet, adds a case built by its own files.
check-jppnet: env .venv-tensorflow/.installed ## our JPPNet against TensorFlow (2 GB; 10 minutes)
	python -m tests.exactness.jppnet_tf --tensorflow .venv-tensorflow/bin/python $(if $(AUTHORS),--authors "$(AUTHORS)")

prove-slurm: env ## Table 4 at smoke scale on a one-node Slurm, jobs killed (root; not in `make test`)
	@"$(PYTHON)" tools/install.py .venv -c requirements.lock -e ".[cluster]"
	python -m tests.cluster.prove_slurm

trials: env ## kills at random moments, full and read-only disks, at smoke scale (root; 20 minutes)
	python -m tests.trials.robustness --kills 10 --disks 10

FORCE:
