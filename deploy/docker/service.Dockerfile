# A service's image: `--build-arg SERVICE=chat`, with the repository's root as context. `make images` builds all of them.
#
# Pin both bases by digest for a release: `--build-arg BASE_IMAGE=NAME:TAG@sha256:…` (docs/operations/images.md). They have
# to hold the same Python: packages are installed in the one and run in the other.
ARG BUILD_IMAGE=docker.io/library/debian:bookworm-slim
# Python, its libraries and certificates, nothing else: no shell, no package manager. It needs no RUN below.
ARG BASE_IMAGE=gcr.io/distroless/python3-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
ENV PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
# pip stays here: it installs into an environment that has none.
RUN python3 -m venv /tool && python3 -m venv --without-pip /opt/parley
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
ARG SERVICE
# The packages of this service's extra, in a layer that changes when they do. What pip is told on this machine (an index,
# a proxy's certificate) may be given as the secret `pip`; nothing of it stays.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    /tool/bin/pip --python /opt/parley/bin/python --disable-pip-version-check install --quiet --no-compile \
        --constraint constraints.txt ".[${SERVICE}]" \
    && /tool/bin/pip --python /opt/parley/bin/python uninstall --quiet --yes parley \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/parley/lib
# Parley itself: the chassis, the contracts and this one service, with the metadata that scanners read.
COPY gen gen
COPY services/__init__.py services/__init__.py
COPY services/mesh services/mesh
COPY services/${SERVICE} services/${SERVICE}
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    /tool/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps --target /application . \
    && rm -r /application/bin \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /application \
    && echo /opt/parley/application > "$(/opt/parley/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parley.pth" \
    && printf '#!/opt/parley/bin/python\nimport runpy\n\nrunpy.run_module("services.%s", run_name="__main__")\n' "${SERVICE}" \
        > /opt/parley/bin/serve \
    && chmod 0755 /opt/parley/bin/serve \
    && mkdir /data

FROM ${BASE_IMAGE}
COPY --from=build /opt/parley /opt/parley
COPY --from=build /application /opt/parley/application
# A volume that is mounted here for the first time takes its owner over.
COPY --from=build --chown=65532:65532 /data /var/lib/parley
ENV PATH=/opt/parley/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 65532:65532
WORKDIR /tmp
EXPOSE 50051 9090
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["serve"]
ARG SERVICE
ARG BASE_IMAGE
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="parley/${SERVICE}" \
      org.opencontainers.image.description="Parley's ${SERVICE} service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
