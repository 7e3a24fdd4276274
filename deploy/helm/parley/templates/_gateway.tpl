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
  {{- $text = $text | replace (include "parley.edsBlock" $name) (include "parley.gatewayAddress" (dict "root" $root "name" $name "there" $there)) -}}
{{- end -}}
{{- $text -}}
{{- end -}}

{{- define "parley.gatewayAddress" -}}
{{- if .there }}
{{- $address := include "parley.address" (dict "root" .root "component" .name) }}
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

{{/* gateway/bootstrap.yaml with the clusters' place, and the listener for probes and metrics. */}}
{{- define "parley.gatewayBootstrap" -}}
{{ .Files.Get "files/gateway/bootstrap.yaml" | replace "./clusters.yaml" "/etc/parley/cluster/clusters.yaml" | trim }}

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
{{- end -}}
