# Three images from one file: `train` runs the pipeline's steps, `train-gpu` the same with CUDA, `serve` the embedded
# model server. `make image` builds them; what is installed comes from uv.lock.
#
# Dependencies and code are layers apart: a change of code leaves those of a gigabyte as they are.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

# ---- The lock, one list an image: an environment depends on its list alone, not on all that pyproject.toml says.
FROM ${BASE} AS requirements
ARG UV_VERSION=0.13.9
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir --disable-pip-version-check --quiet uv==${UV_VERSION}
WORKDIR /src
COPY pyproject.toml uv.lock ./
# More of pyproject.toml's extras for the images of steps: --build-arg EXTRAS="--extra=beam", or --extra=dataflow.
ARG EXTRAS=
RUN for image in "train --extra=train --extra=cpu ${EXTRAS}" "train-gpu --extra=train --extra=gpu ${EXTRAS}" \
      "serve --extra=cpu"; do \
      set -- $image && name=$1 && shift \
      && /uv/bin/uv export --quiet --frozen --no-dev --no-emit-project --no-header "$@" --output-file $name.txt || exit 1; \
    done

FROM ${BASE} AS code
COPY nightshift /app/nightshift
RUN python3 -m compileall -q /app \
 && printf '#!/opt/nightshift/bin/python3\nfrom nightshift.cli import main\n\nmain()\n' > /app/nightshift-command \
 && chmod 755 /app/nightshift-command

# ---- What runs: nobody's home, and nothing written outside /tmp and mounted volumes.
FROM ${BASE} AS runtime
RUN groupadd --gid 65532 nightshift && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp nightshift
# What installs an image's list; uv itself goes again, and TensorFlow's headers, since nothing here compiles. Python is
# compiled once: the root file system is read-only later, and TensorFlow takes 11 s to import from sources.
ARG UV_VERSION=0.13.9
RUN printf '%s\n' 'set -e' \
      'export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1' \
      'python3 -m venv /tmp/uv' \
      "/tmp/uv/bin/pip install --no-cache-dir --disable-pip-version-check --quiet uv==${UV_VERSION}" \
      '/tmp/uv/bin/uv venv --quiet /opt/nightshift' \
      '/tmp/uv/bin/uv pip install --quiet --python /opt/nightshift --no-deps --require-hashes -r /opt/requirements.txt' \
      'rm -rf /tmp/uv /tmp/uv-* /opt/nightshift/lib/python3*/site-packages/tensorflow/include' > /opt/install
ENV PATH=/opt/nightshift/bin:${PATH} PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib TF_CPP_MIN_LOG_LEVEL=2

FROM runtime AS train
COPY --from=requirements /src/train.txt /opt/requirements.txt
RUN sh /opt/install
COPY --from=code /app/nightshift-command /opt/nightshift/bin/nightshift
COPY --from=code /app/nightshift /app/nightshift
USER 65532:65532
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nightshift-train" \
      org.opencontainers.image.description="The steps of Nightshift's pipelines, on CPUs" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
CMD ["nightshift", "--help"]

FROM runtime AS train-gpu
COPY --from=requirements /src/train-gpu.txt /opt/requirements.txt
RUN sh /opt/install
COPY --from=code /app/nightshift-command /opt/nightshift/bin/nightshift
COPY --from=code /app/nightshift /app/nightshift
USER 65532:65532
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nightshift-train-gpu" \
      org.opencontainers.image.description="The steps of Nightshift's pipelines, on GPUs" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
CMD ["nightshift", "--help"]

FROM runtime AS serve
COPY --from=requirements /src/serve.txt /opt/requirements.txt
RUN sh /opt/install
COPY --from=code /app/nightshift /app/nightshift
USER 65532:65532
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nightshift-serve" \
      org.opencontainers.image.description="Nightshift's embedded model server" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
EXPOSE 8500 8501
ENTRYPOINT ["python3", "-m", "nightshift.serving.embedded", "--host", "0.0.0.0"]
