# `make` alone lists the targets. Each does its own set-up in build/ first.
PYTHON ?= python3
VENV = build/venv/bin
PYTEST = $(VENV)/python -m pytest
# Two for each of two cores: a good part of the tests wait for radio, servers and browsers.
TEST_WORKERS ?= 4
# make test ARGS="tests/test_setup.py -k mirror"
ARGS ?=

.PHONY: help setup run demo test fuzz bench golden pictures openapi lint stage clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

setup: ## virtual environment, MicroPython interpreter and font, all in build/; aioble in lib/
	@$(PYTHON) -m tools.setup python interpreter fonts aioble

run: setup ## the virtual house, on a web page
	@$(PYTHON) -m tools.setup phone console
	@$(VENV)/python -m tools.sim run $(ARGS)

demo: setup ## operations 1 and 2 and a fast day of energy, unattended, step by step
	@$(PYTHON) -m tools.setup console
	-@$(PYTHON) -m tools.setup chromium  # for the picture of the chart; without it there is none
	@$(VENV)/python -m tools.sim demo $(ARGS)

test: setup ## every test
	@$(PYTHON) -m tools.setup chromium valgrind phone console postgres nginx
	@$(PYTEST) -n $(TEST_WORKERS) --dist worksteal --tb=short $(ARGS)

fuzz: setup ## what a phone can send, with new seeds until Ctrl-C or a finding
	@$(VENV)/python -m tests.fuzz_phone $(ARGS)

bench: setup ## the figures, each beside its limit
	@$(PYTHON) -m tools.setup valgrind postgres
	@$(VENV)/python -m tools.bench $(ARGS)

golden: setup ## accept the screens as they are now as the golden pictures
	@$(PYTEST) -n $(TEST_WORKERS) --dist worksteal --update-golden tests/test_screens.py $(ARGS)

pictures: setup ## the pictures in docs/: screens, and the pages of house, phone and console in Chromium
	@$(PYTHON) -m tools.setup chromium japanese phone console
	@$(VENV)/python -m tools.sim.contact_sheet --documents
	@$(VENV)/python -m tools.sim pictures

openapi: setup ## docs/openapi.json from the server's code
	@$(VENV)/python -m tools.pps openapi

lint: setup ## ruff
	@$(VENV)/ruff check .

stage: setup ## build/module/: what is flashed
	@$(VENV)/python -m tools.setup.stage $(ARGS)

clean: ## everything that was built or downloaded
	rm -rf build inkan.egg-info
