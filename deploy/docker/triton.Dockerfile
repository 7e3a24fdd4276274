# Triton with the embedded models, on a CPU: the same server as on a laptop, from its wheel, with weights that come inside
# packages or with the project. Context: the repository's root. What GPUs need is in triton-gpu.Dockerfile.
#
# Pin the base by digest for a release: `--build-arg BASE_IMAGE=NAME:TAG@sha256:…` (docs/operations/images.md).
ARG BASE_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /tool && python3 -m venv --without-pip /opt/parley
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY triton_models/weights.txt triton_models/weights.txt
# The server alone is taken out of its wheel: what else it wants is a web server and a client. Weights come without the code beside them.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    pip() { /tool/bin/pip --python /opt/parley/bin/python --disable-pip-version-check "$@"; } \
    && pip install --quiet --no-compile --constraint constraints.txt ".[triton]" \
    && pip install --quiet --no-compile --no-deps --constraint constraints.txt nvidia-pytriton \
    && pip install --quiet --no-compile --no-deps --requirement triton_models/weights.txt \
    && pip uninstall --quiet --yes parley \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/parley/lib
# Where Triton's own image has them. The stub of one Python lies beside the backend; the others stay away.
RUN python=$(/opt/parley/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])') \
    && packages=/opt/parley/lib/python$python/site-packages \
    && mkdir /opt/tritonserver && cd /opt/tritonserver \
    && mv "$packages"/pytriton/tritonserver/bin "$packages"/pytriton/tritonserver/backends . \
    && mv "$packages/pytriton/tritonserver/python_backend_stubs/$python/triton_python_backend_stub" backends/python/ \
    && rm -r "$packages"/pytriton/tritonserver "$packages"/nvidia_pytriton.libs/libpython* \
    && mv "$packages"/nvidia_pytriton.libs lib \
    && echo /opt/parley/application > "$packages/parley.pth"
# The models that draw have an environment of their own (docs/decisions/010-torch-environments.md), 2 GB with torch for a
# CPU, which the secret `pip` has to name an index for. Without it, TORCH=false, there is no `diffusion`.
ARG TORCH=true
COPY triton_models/environments triton_models/environments
COPY scripts/mend_torchaudio.py scripts/mend_torchaudio.py
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    mkdir -p /torch && if [ "$TORCH" = true ]; then \
        python3 -m venv --without-pip /opt/parley/application/.venv-torch \
        && /tool/bin/pip --python /opt/parley/application/.venv-torch/bin/python --disable-pip-version-check install --quiet --no-compile \
            --constraint triton_models/environments/torch.txt --requirement triton_models/environments/torch.in \
        && /opt/parley/application/.venv-torch/bin/python scripts/mend_torchaudio.py \
        && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/parley/application/.venv-torch/lib \
        && mv /opt/parley/application/.venv-torch /torch/; \
    fi
COPY triton_models triton_models
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    /tool/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps --target /application . \
    && rm -r /application/bin \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /application \
    && mkdir /repository

FROM ${BASE_IMAGE}
# The models run in the interpreter's shared library, inside Triton's stubs.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        ca-certificates libpython3-stdlib libpython3.11 python3-minimal \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/parley /opt/parley
COPY --from=build /opt/tritonserver /opt/tritonserver
COPY --from=build /torch /opt/parley/application
COPY --from=build /application /opt/parley/application
COPY --from=build --chown=65532:65532 /repository /repository
# What the chart starts, too.
COPY deploy/helm/parley/files/launch_triton.py /opt/parley/launch.py
# The stub is an isolated interpreter: it takes its packages from where the first python3 on PATH lives, reads no PYTHONPATH
# (hence parley.pth), and not the locale's encoding. Each model has an instance for each core: threads inside would only
# fight over them.
ENV PATH=/opt/parley/bin:/opt/tritonserver/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/opt/tritonserver/lib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUTF8=1 \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1 \
    MALLOC_ARENA_MAX=2 \
    HOME=/tmp
USER 65532:65532
WORKDIR /tmp
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["python3", "/opt/parley/launch.py"]
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="parley/triton" \
      org.opencontainers.image.description="Triton with Parley's embedded models, for CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
