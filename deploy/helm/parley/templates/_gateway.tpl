{{/* The gateway: Envoy with the files of its image, but for what a cluster says in its own way: the addresses (headless
     Services, resolved by Envoy), and a listener for probes and metrics, since the admin interface stays on loopback. */}}

{{/* Where the address of a cluster stands in gateway/clusters.yaml. */}}
{{- define "parley.edsBlock" -}}
{{- printf "    type: EDS\n    eds_cluster_config:\n      eds_config: { resource_api_version: V3, path_config_source: { path: ./eds/%s.yaml } }" . -}}
{{- end -}}

{{/* gateway/clusters.yaml with the addresses of this release. */}}
{{- define "parley.gatewayClusters" -}}
{{- $root := . -}}
{{- $components := include "parley.components" . | fromJson -}}
{{- $text := .Files.Get "files/gateway/clusters.yaml" -}}
{{- range $path := regexFindAll "\\./eds/[a-z]+\\.yaml" $text -1 | uniq -}}
  {{- $name := $path | trimPrefix "./eds/" | trimSuffix ".yaml" -}}
  {{- $there := and (hasKey $components $name) (has $name (get $components "gateway").calls) -}}
  {{- $single := and $there (not (get $components $name).service.headless) -}}
  {{- $text = $text | replace (include "parley.edsBlock" $name) (include "parley.gatewayAddress" (dict "root" $root "name" $name "there" $there "single" $single)) -}}
{{- end -}}
{{- with .Values.tracing.endpoint }}
  {{- $text = $text | replace "    load_assignment: { cluster_name: tracing }" (include "parley.gatewayCollector" . | trimPrefix "\n") }}
{{- end -}}
{{- $text -}}
{{- end -}}

{{/* Where spans go: the fields of the cluster `tracing`. Takes the URL. */}}
{{- define "parley.gatewayCollector" -}}
{{- $host := regexFind "//[^:/]+" . | trimPrefix "//" }}
{{- printf "    load_assignment:" }}
      cluster_name: tracing
      endpoints:
        - lb_endpoints:
            - endpoint: { address: { socket_address: { address: {{ $host }}, port_value: {{ include "parley.collectorPort" . }} } } }
{{- if hasPrefix "https://" . }}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: {{ $host }}
        common_tls_context:
          validation_context:
            trusted_ca: { filename: /etc/ssl/certs/ca-certificates.crt }
            match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: {{ $host }} } }]
{{- end }}
{{- end -}}

{{- define "parley.gatewayAddress" -}}
{{- if .there }}
{{- $address := include "parley.address" (dict "root" .root "component" .name "single" .single) }}
{{- printf "    type: STRICT_DNS" }}
    dns_refresh_rate: 5s
    respect_dns_ttl: true
    load_assignment:
      cluster_name: {{ .name }}
      endpoints:
        - lb_endpoints:
            - endpoint: { address: { socket_address: { address: {{ $address }}, port_value: 50051 } } }
{{- if .root.Values.mtls.enabled }}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
        sni: {{ $address }}
        common_tls_context:
          alpn_protocols: [h2]
          tls_certificate_sds_secret_configs:
            - name: client
              sds_config: { resource_api_version: V3, path_config_source: { path: /etc/parley/cluster/client.yaml } }
          combined_validation_context:
            default_validation_context:
              match_typed_subject_alt_names: [{ san_type: DNS, matcher: { exact: {{ $address }} } }]
            validation_context_sds_secret_config:
              name: authority
              sds_config: { resource_api_version: V3, path_config_source: { path: /etc/parley/cluster/authority.yaml } }
{{- end }}
{{- else }}
{{- printf "    # Not part of this release: calls to it are answered 503." }}
    type: STATIC
    load_assignment: { cluster_name: {{ .name }} }
{{- end }}
{{- end -}}

{{/* The lines of gateway/listener.yaml that the values change, by the marks before them; as gateway/security.py has them. */}}
{{- define "parley.gatewayLines" -}}
{{- $edge := .Values.gateway.edge }}
{{- if $edge.tls.existingSecret }}
{{- $secret := dict "name" "edge" "sds_config" (dict "resource_api_version" "V3" "path_config_source" (dict "path" "/etc/parley/cluster/edge.yaml")) }}
{{- $common := dict "alpn_protocols" (list "h2" "http/1.1") "tls_params" (dict "tls_minimum_protocol_version" "TLSv1_2") "tls_certificate_sds_secret_configs" (list $secret) }}
{{- $typed := dict "@type" "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" "common_tls_context" $common }}
tls: {{ printf "transport_socket: %s" (dict "name" "envoy.transport_sockets.tls" "typed_config" $typed | toJson) | toJson }}
{{- if $edge.tls.hstsSeconds }}
{{- $header := dict "key" "strict-transport-security" "value" (printf "max-age=%s" (include "parley.text" $edge.tls.hstsSeconds)) }}
hsts: {{ printf "append: %s" (dict "header" $header "append_action" "OVERWRITE_IF_EXISTS_OR_ADD" | toJson) | toJson }}
{{- end }}
{{- end }}
{{- with $edge.corsOrigins }}
{{- $matchers := list }}
{{- range . }}
{{- $matchers = append $matchers (eq . "*" | ternary (dict "safe_regex" (dict "regex" ".*")) (dict "exact" .)) }}
{{- end }}
cors_origins: {{ printf "allow_origin_string_match: %s" (toJson $matchers) | toJson }}
{{- end }}
{{- $rate := int $edge.requestsPerSecond }}
{{- if ne $rate 5000 }}
requests_per_second: {{ printf "token_bucket: { max_tokens: %d, tokens_per_fill: %d, fill_interval: 1s }" (mul 2 $rate) $rate | toJson }}
{{- end }}
{{- $most := gt (int $edge.trustedHops) 0 | ternary 0 (int $edge.maxConnectionsPerAddress) }}
{{- if ne $most 1000 }}
connections_of_an_address: {{ printf "configuration: %s" (dict "@type" "type.googleapis.com/google.protobuf.StringValue" "value" (printf "%d" $most) | toJson) | toJson }}
{{- end }}
{{- if .Values.tracing.endpoint }}
{{- $tracer := dict "@type" "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig" "service_name" "gateway" "grpc_service" (dict "envoy_grpc" (dict "cluster_name" "tracing") "timeout" "1s") }}
{{- $provider := dict "name" "envoy.tracers.opentelemetry" "typed_config" $tracer }}
tracing: {{ printf "tracing: %s\n              generate_request_id: true" (dict "provider" $provider | toJson) | toJson }}
{{- end }}
{{- with int $edge.trustedHops }}
trusted_hops: {{ printf "xff_num_trusted_hops: %d" . | toJson }}
{{- end }}
{{- with $edge.issuer }}
issuer: {{ printf "issuer: %s" (toJson .) | toJson }}
{{- end }}
{{- end -}}

{{/* gateway/listener.yaml with those lines; empty where there are none: then the image's own is used. */}}
{{- define "parley.gatewayListener" -}}
{{- $lines := include "parley.gatewayLines" . | fromYaml -}}
{{- if $lines -}}
  {{- $text := .Files.Get "files/gateway/listener.yaml" -}}
  {{- range $name, $line := $lines -}}
    {{- $text = regexReplaceAll (printf "(?m)^( *# setting: %s\n *(?:- )?)\\S.*$" $name) $text (printf "${1}%s" $line) -}}
  {{- end -}}
  {{- $text -}}
{{- end -}}
{{- end -}}

{{/* The certificate for clients, read anew when its Secret changes. */}}
{{- define "parley.gatewayEdge" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: edge
    tls_certificate:
      certificate_chain: { filename: /run/edge/tls.crt }
      private_key: { filename: /run/edge/tls.key }
      watched_directory: { path: /run/edge }
{{- end -}}

{{/* gateway/bootstrap.yaml with the clusters' place, and the listener for probes and metrics. */}}
{{- define "parley.gatewayBootstrap" -}}
{{- $text := .Files.Get "files/gateway/bootstrap.yaml" | replace "./clusters.yaml" "/etc/parley/cluster/clusters.yaml" }}
{{- if include "parley.gatewayListener" . }}
{{- $text = replace "./listener.yaml" "/etc/parley/cluster/listener.yaml" $text }}
{{- end }}
{{- if .Values.tracing.endpoint }}
{{- $text = replace "tracing.random_sampling: 0" (printf "tracing.random_sampling: %d" (int .Values.tracing.percent)) $text }}
{{- end }}
{{- $text | replace "max_active_downstream_connections: 10000" (printf "max_active_downstream_connections: %d" (int .Values.gateway.edge.maxConnections)) | trim }}

# For the kubelet and Prometheus: nothing here changes anything.
static_resources:
  clusters:
    - name: admin
      type: STATIC
      load_assignment:
        cluster_name: admin
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9901 } } } }] }]
  listeners:
    - name: operations
      # However many clients there are.
      ignore_global_conn_limit: true
      address:
        socket_address: { address: 0.0.0.0, port_value: 9902 }
      # Drained with the others, it would fail the liveness probe.
      drain_type: MODIFY_ONLY
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: operations
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
                route_config:
                  virtual_hosts:
                    - name: operations
                      domains: ["*"]
                      routes:
                        - match: { path: /live }
                          direct_response: { status: 200 }
                        - match: { path: /ready }
                          route: { cluster: admin }
                        - match: { path: /stats/prometheus }
                          route: { cluster: admin }
{{- end -}}

{{/* The certificates, read anew when cert-manager renews them; Envoy wants a file for each. */}}
{{- define "parley.gatewayClient" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: client
    tls_certificate:
      certificate_chain: { filename: /run/tls/tls.crt }
      private_key: { filename: /run/tls/tls.key }
      watched_directory: { path: /run/tls }
{{- end -}}

{{- define "parley.gatewayAuthority" -}}
resources:
  - "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
    name: authority
    validation_context:
      trusted_ca: { filename: /run/tls/ca.crt }
      watched_directory: { path: /run/tls }
{{- end -}}

{{/* The data of the gateway's ConfigMap. */}}
{{- define "parley.gatewayData" -}}
bootstrap.yaml: |
  {{- include "parley.block" (include "parley.gatewayBootstrap" .) }}
clusters.yaml: |
  {{- include "parley.block" (include "parley.gatewayClusters" .) }}
drain.sh: |
  {{- include "parley.block" (.Files.Get "files/drain.sh") }}
{{- with include "parley.gatewayListener" . }}
listener.yaml: |
  {{- include "parley.block" . }}
{{- end }}
{{- if .Values.gateway.edge.tls.existingSecret }}
edge.yaml: |
  {{- include "parley.block" (include "parley.gatewayEdge" .) }}
{{- end }}
{{- if .Values.mtls.enabled }}
authority.yaml: |
  {{- include "parley.block" (include "parley.gatewayAuthority" .) }}
client.yaml: |
  {{- include "parley.block" (include "parley.gatewayClient" .) }}
{{- end }}
{{- end -}}

{{/* Envoy's container. Takes root, name, component. */}}
{{- define "parley.gatewayContainer" -}}
name: gateway
image: {{ include "parley.image" (dict "root" .root "image" .component.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# The image's folder of the listener, the descriptors and what else gateway/ holds.
workingDir: /etc/parley/gateway
command:
  - envoy
  - --config-path
  - /etc/parley/cluster/bootstrap.yaml
  - --disable-hot-restart
  - --log-level
  - warning
  - --drain-time-s
  - {{ include "parley.text" .component.termination.graceSeconds | quote }}
securityContext:
  {{- include "parley.containerSecurityContext" . | nindent 2 }}
ports:
  - { name: http, containerPort: 8080 }
  - { name: metrics, containerPort: 9902 }
{{- with .component.extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
startupProbe:
  httpGet: { path: /ready, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ include "parley.startupThreshold" .component }}
livenessProbe:
  httpGet: { path: /live, port: metrics }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /ready, port: metrics }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 2
lifecycle:
  preStop:
    # Envoy drops its calls on SIGTERM: it is made to finish them before.
    exec:
      command: [bash, /etc/parley/cluster/drain.sh, {{ include "parley.text" .component.termination.preStopSeconds | quote }}, {{ include "parley.text" .component.termination.graceSeconds | quote }}]
resources:
  {{- toYaml .component.resources | nindent 2 }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: configuration, mountPath: /etc/parley/cluster, readOnly: true }
  {{- with .component.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .root.Values.mtls.enabled }}
  - { name: tls, mountPath: /run/tls, readOnly: true }
  {{- end }}
  {{- if .root.Values.gateway.edge.tls.existingSecret }}
  - { name: edge, mountPath: /run/edge, readOnly: true }
  {{- end }}
{{- end -}}

{{- define "parley.gatewayVolumes" -}}
{{ include "parley.tmpVolume" . }}
- name: configuration
  configMap:
    name: {{ include "parley.componentName" (dict "root" .root "component" .name) }}
{{- with .component.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- if .root.Values.mtls.enabled }}
{{ include "parley.tlsVolume" . }}
{{- end }}
{{- with .root.Values.gateway.edge.tls.existingSecret }}
- name: edge
  secret: { secretName: {{ . }}, defaultMode: 0440 }
{{- end }}
{{- end -}}
