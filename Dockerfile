# Three images from one file: `train` runs the pipeline's steps, `train-gpu` the same with CUDA, `serve` the embedded
# model server. `make image` builds them; what is installed comes from uv.lock.
#
# Dependencies and code are layers apart: a change of code leaves those of a gigabyte as they are.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

# ---- What installs; nothing of these stages is in the images.
FROM ${BASE} AS uv
ARG UV_VERSION=0.13.9
RUN python3 -m venv /uv && /uv/bin/pip install --no-cache-dir --disable-pip-version-check --quiet uv==${UV_VERSION}
# Compiled here, once: the root file system is read-only later, and TensorFlow takes 11 s to import from sources.
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
WORKDIR /src

# The lock, one list an image. The stages below depend on their list alone, not on all that pyproject.toml says.
FROM uv AS requirements
COPY pyproject.toml uv.lock ./
RUN for image in "train --extra=train --extra=cpu" "train-gpu --extra=train --extra=gpu" "serve --extra=cpu"; do \
      set -- $image && name=$1 && shift \
      && /uv/bin/uv export --quiet --frozen --no-dev --no-emit-project --no-header "$@" --output-file $name.txt || exit 1; \
    done

# TensorFlow's headers go: nothing here compiles.
FROM uv AS train-environment
COPY --from=requirements /src/train.txt ./
RUN /uv/bin/uv venv --quiet /opt/nightshift \
 && /uv/bin/uv pip install --quiet --python /opt/nightshift --no-deps --require-hashes -r train.txt \
 && rm -rf /opt/nightshift/lib/python3*/site-packages/tensorflow/include

FROM uv AS train-gpu-environment
COPY --from=requirements /src/train-gpu.txt ./
RUN /uv/bin/uv venv --quiet /opt/nightshift \
 && /uv/bin/uv pip install --quiet --python /opt/nightshift --no-deps --require-hashes -r train-gpu.txt \
 && rm -rf /opt/nightshift/lib/python3*/site-packages/tensorflow/include

FROM uv AS serve-environment
COPY --from=requirements /src/serve.txt ./
RUN /uv/bin/uv venv --quiet /opt/nightshift \
 && /uv/bin/uv pip install --quiet --python /opt/nightshift --no-deps --require-hashes -r serve.txt \
 && rm -rf /opt/nightshift/lib/python3*/site-packages/tensorflow/include

FROM ${BASE} AS code
COPY nightshift /app/nightshift
RUN python3 -m compileall -q /app \
 && printf '#!/opt/nightshift/bin/python3\nfrom nightshift.cli import main\n\nmain()\n' > /app/nightshift-command \
 && chmod 755 /app/nightshift-command

# ---- What runs: nobody's home, and nothing written outside /tmp and mounted volumes.
FROM ${BASE} AS runtime
RUN groupadd --gid 65532 nightshift && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp nightshift
ENV PATH=/opt/nightshift/bin:${PATH} PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib TF_CPP_MIN_LOG_LEVEL=2
USER 65532:65532

FROM runtime AS train
COPY --from=train-environment /opt/nightshift /opt/nightshift
COPY --from=code /app/nightshift-command /opt/nightshift/bin/nightshift
COPY --from=code /app/nightshift /app/nightshift
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nightshift-train" \
      org.opencontainers.image.description="The steps of Nightshift's pipelines, on CPUs" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
CMD ["nightshift", "--help"]

FROM runtime AS train-gpu
COPY --from=train-gpu-environment /opt/nightshift /opt/nightshift
COPY --from=code /app/nightshift-command /opt/nightshift/bin/nightshift
COPY --from=code /app/nightshift /app/nightshift
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nightshift-train-gpu" \
      org.opencontainers.image.description="The steps of Nightshift's pipelines, on GPUs" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
CMD ["nightshift", "--help"]

FROM runtime AS serve
COPY --from=serve-environment /opt/nightshift /opt/nightshift
COPY --from=code /app/nightshift /app/nightshift
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="nightshift-serve" \
      org.opencontainers.image.description="Nightshift's embedded model server" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
EXPOSE 8500 8501
ENTRYPOINT ["python3", "-m", "nightshift.serving.embedded", "--host", "0.0.0.0"]
