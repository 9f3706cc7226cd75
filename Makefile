# `make demo` and `make test` set themselves up from nothing but Python 3.11.
PYTHON ?= python3.11
CORES ?= 2
export PATH := $(CURDIR)/.venv/bin:$(PATH)
DEMO := snakemake --configfile config/demo.yaml --cores $(CORES)
FIGURES := results/figures/gallery-bmd.png results/figures/gallery-cc2017.png

.PHONY: env demo test test-slurm
env: .venv/done

.venv/done: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "brainflix needs $(PYTHON); name another with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt torch
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

demo: env
	$(DEMO) results/bmd/metrics.csv results/cc2017/metrics.csv $(FIGURES)
	@brainflix show --metrics results/bmd/metrics.csv results/cc2017/metrics.csv
	@echo "Pictures: $(FIGURES) and the .mp4 beside each."

test: env
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	codespell
	pytest -n $(CORES) -m "not slow"
	pytest -m slow

# On a real SLURM of its own: munge, slurmctld and two nodes; skipped, with the reason, where there can be none.
test-slurm: env
	python -m tests.slurm.lab install
	BRAINFLIX_SLURM=1 pytest -rs --verbose tests/slurm
