PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
MLFLOW := .venv-mlflow

.PHONY: install constraints demo test test-slow test-coverage check peers bench-peers ui mlflow-ui s3 cluster cluster-stop clean

install: $(VENV)/.installed ## everything into .venv, at the versions of constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, found " + sys.version.split()[0] + "; call make with PYTHON=<path>" if sys.version_info < (3, 11) else 0)'
	@echo 'Installing TensorFlow, Dagster and the rest into $(VENV): 4 GB and some minutes, the first time only.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ui,dev,mlflow,tuning,celery,kubernetes]'
	@touch $@

constraints: ## the newest versions that fit, into constraints.txt
	$(PYTHON) -m venv $(VENV)-fresh
	$(VENV)-fresh/bin/python -m pip install --quiet --disable-pip-version-check -e '.[ui,dev,mlflow,tuning,celery,kubernetes]'
	$(VENV)-fresh/bin/python -m pip freeze --exclude-editable > constraints.txt
	rm -rf $(VENV)-fresh

demo: install ## simulate a plant, train, publish a version, forecast
	$(BIN)/lstm-pipeline demo

test: install ## all tests but the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: install ## the slow ones
	$(BIN)/python -m pytest -m slow

test-coverage: install ## all tests but the slow ones, and the lines that they miss
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term-missing:skip-covered

check: install ## types, style, and that every test can be imported
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(BIN)/python -m pytest --collect-only -qq -m ''

bench-peers: install $(PEERS)/.installed ## speed beside Keras, torch, Darts and NeuralForecast; ARGS=--quick for a first look
	$(BIN)/python -m benchmarks.training $(ARGS)
	$(BIN)/python -m benchmarks.rollout $(ARGS)

peers: install $(PEERS)/.installed ## accuracy beside other libraries; LSTM_PIPELINE_DATA=<folder>, ARGS=--quick for a first look
	$(BIN)/python -m benchmarks.peers $(ARGS)

# The peers never meet this project's packages. torch comes first, so that no package which needs it chooses its build.
$(PEERS)/.installed: benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' benchmarks/peers.txt)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt
	@if $(PEERS)/bin/python -m pip list --disable-pip-version-check | grep -iE '^(nvidia|cuda|triton)'; then echo 'These came with torch and are not needed: all is measured on the CPU. Its CPU build saves gigabytes.'; fi
	@touch $@

ui: install ## Dagster's UI on http://localhost:3000
	. $(BIN)/activate && dg dev

# MLflow's own UI needs an older pyarrow than the pipeline has, so it lives in an environment of its own.
mlflow-ui: $(MLFLOW)/.installed ## what MLflow has been told, on http://localhost:5000; PORT=<number> for another one
	@if [ -z "$$MLFLOW_TRACKING_URI" ]; then test -f "$${LSTM_PIPELINE_STORAGE:-storage}/mlflow/mlflow.db" || { echo "$${LSTM_PIPELINE_STORAGE:-storage}/mlflow/mlflow.db is not there yet: train a project with enable_mlflow: true first"; exit 1; }; fi
	MLFLOW_DISABLE_TELEMETRY=true $(MLFLOW)/bin/mlflow ui --host 127.0.0.1 --port $(or $(PORT),5000) --workers 1 \
		--backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$${LSTM_PIPELINE_STORAGE:-storage}/mlflow/mlflow.db}"

# The same MLflow as the pipeline's, or the UI would ask for its database to be migrated.
$(MLFLOW)/.installed: constraints.txt
	$(PYTHON) -m venv $(MLFLOW)
	$(MLFLOW)/bin/python -m pip install --quiet --disable-pip-version-check "$$(sed -n 's/^mlflow-skinny==/mlflow==/p' constraints.txt)"
	@touch $@

cluster: install ## Redis, Postgres, S3, Dagster and two workers on loopback, to try; WORKERS=<number> for more
	@$(BIN)/python -m examples.cluster.local start --workers $(or $(WORKERS),2)

cluster-stop: ## end them; what they have stored stays in .cluster/
	@$(BIN)/python -m examples.cluster.local stop

clean: ## remove what runs have made
	rm -rf storage .dagster

s3: install ## a local S3 server to try, on loopback; stop it with Ctrl-C
	@mkdir -p .s3/lstm-pipeline
	@echo 'In another shell:'
	@echo '  export AWS_ENDPOINT_URL=http://127.0.0.1:9000 AWS_ACCESS_KEY_ID=lstm-pipeline AWS_SECRET_ACCESS_KEY=only-for-trying'
	@echo '  lstm-pipeline demo --storage s3://lstm-pipeline/demo'
	@$(BIN)/rclone serve s3 --addr 127.0.0.1:9000 --auth-key lstm-pipeline,only-for-trying .s3
