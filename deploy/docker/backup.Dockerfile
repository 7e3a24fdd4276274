# The backup's image: PostgreSQL's client programs and deploy.backup.postgres. Context: the repository's root.
#
# Pin both bases by digest for a release: `--build-arg BASE_IMAGE=NAME:TAG@sha256:…` (docs/operations/images.md). They have
# to hold the same Python: packages are installed in the one and run in the other. pg_dump has to be of the server's major
# version or a newer one.
ARG BUILD_IMAGE=docker.io/library/debian:bookworm-slim
ARG BASE_IMAGE=docker.io/library/postgres:18-bookworm

FROM ${BUILD_IMAGE} AS build
ENV PIP_CACHE_DIR=/var/cache/pip
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ca-certificates python3-venv \
    && rm -rf /var/lib/apt/lists/*
# pip stays here: it installs into an environment that has none.
RUN python3 -m venv /tool && python3 -m venv --without-pip /opt/parley
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The extra `weights` has the ways to S3's, Google's and Azure's storage. What pip is told on this machine may be given as
# the secret `pip`; nothing of it stays.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    /tool/bin/pip --python /opt/parley/bin/python --disable-pip-version-check install --quiet --no-compile \
        --constraint constraints.txt ".[backup,weights]" \
    && /tool/bin/pip --python /opt/parley/bin/python uninstall --quiet --yes parley \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/parley/lib
COPY deploy/__init__.py deploy/__init__.py
COPY deploy/backup deploy/backup
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=cache,target=/var/cache/pip \
    /tool/bin/pip --disable-pip-version-check install --quiet --no-compile --no-deps --target /application . \
    && rm -r /application/bin \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /application \
    && echo /opt/parley/application > "$(/opt/parley/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/parley.pth"

FROM ${BASE_IMAGE}
# What the base lacks: PostgreSQL's own image has no Python; a plain Debian has no client programs either.
ARG PACKAGES="ca-certificates python3"
RUN apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${PACKAGES} \
    && rm -rf /var/lib/apt/lists/* /usr/local/bin/gosu
COPY --from=build /opt/parley /opt/parley
COPY --from=build /application /opt/parley/application
ENV PATH=/opt/parley/bin:/usr/lib/postgresql/18/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
USER 65532:65532
WORKDIR /tmp
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["python", "-m", "deploy.backup.postgres", "--help"]
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="parley/backup" \
      org.opencontainers.image.description="Dumps, encrypts and restores the databases of Parley's services" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
