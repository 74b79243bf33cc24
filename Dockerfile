# One image for every role; the command is the role:
#
#   web server      dagster-webserver -h 0.0.0.0 -p 3000
#   daemon          dagster-daemon run
#   code location   dagster api grpc -h 0.0.0.0 -p 4000 -m lstm_pipeline.definitions
#   worker          celery -A lstm_pipeline.orchestration.celery_worker worker   (see examples/cluster)
#   anything else   lstm-pipeline run projects/plant.yaml
#
# No role needs root, a password or a key in the image: what a role has to know comes from its environment
# (LSTM_PIPELINE_STORAGE, AWS_…) and from the dagster.yaml that is mounted into $DAGSTER_HOME.

ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
ARG EXTRAS=ui,mlflow,tuning,celery,kubernetes
# pip compiles, on purpose: no role may write into /opt/venv, so each would compile everything at every start.
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
WORKDIR /src
# The dependencies have a layer of their own: a change of the code alone does not install them again.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir lstm_pipeline && touch lstm_pipeline/__init__.py \
    && pip install -c constraints.txt ".[${EXTRAS}]" \
    && pip uninstall --yes lstm-pipeline
COPY lstm_pipeline lstm_pipeline
RUN pip install --no-deps . && pip check

FROM python:${PYTHON}-slim-bookworm
RUN groupadd --gid 10001 pipeline \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin pipeline \
    && mkdir -p /opt/dagster/dagster_home /app/projects \
    && chown -R 10001:10001 /opt/dagster /app
COPY --from=build /opt/venv /opt/venv
COPY workspace.yaml /app/workspace.yaml
COPY docker/health.py /opt/health.py
ENV PATH=/opt/venv/bin:$PATH \
    DAGSTER_HOME=/opt/dagster/dagster_home \
    LSTM_PIPELINE_PROJECTS=/app/projects \
    MPLCONFIGDIR=/tmp/matplotlib \
    KERAS_HOME=/tmp/keras \
    TF_CPP_MIN_LOG_LEVEL=2 \
    DAGSTER_DISABLE_TELEMETRY=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# By number: Kubernetes can tell from a number, and not from a name, that it is not root.
USER 10001:10001
EXPOSE 3000 4000
# Finds out by itself what role the container has. Kubernetes does not look at this: see examples/kubernetes.
HEALTHCHECK --interval=60s --timeout=60s --start-period=120s --retries=3 CMD ["python", "/opt/health.py"]
CMD ["lstm-pipeline", "--help"]
