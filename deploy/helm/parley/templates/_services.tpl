{{/* Our own services: what each is told, and what it is given as files. */}}

{{/* The environment of a service's container. Takes root, name, component. */}}
{{- define "parley.serviceEnvironment" -}}
{{- $variables := dict -}}
{{- $root := .root -}}
{{- $name := .name -}}
{{- $component := .component -}}
{{- range $setting, $value := $component.settings -}}
  {{- $_ := set $variables $setting (include "parley.text" $value) -}}
{{- end -}}
{{- if eq $name "image" -}}
  {{- /* Where the models that draw may be at zero, jobs wait as long as their start may take. */ -}}
  {{- $models := get (include "parley.components" $root | fromJson) (printf "triton-%s" $component.modelGroup) -}}
  {{- if and $models $models.autoscaling.keda.scaleToZero (not (hasKey $variables "models_wait_seconds")) -}}
    {{- $_ := set $variables "models_wait_seconds" (include "parley.text" $models.startup.seconds) -}}
  {{- end -}}
{{- end -}}
{{- if eq $name "sql" -}}
  {{- $_ := set $variables "closed_hosts" (include "parley.closedHosts" .) -}}
{{- end -}}
{{- $_ := set $variables "listen" "0.0.0.0:50051" -}}
{{- $_ = set $variables "metrics_listen" "0.0.0.0:9090" -}}
{{- $_ = set $variables "drain_seconds" (include "parley.text" $component.termination.graceSeconds) -}}
{{- with $root.Values.tracing.endpoint }}{{ $_ := set $variables "otlp_endpoint" . }}{{ end -}}
{{- range $component.targets -}}
  {{- $_ := set $variables (printf "%s_target" .setting) (printf "%s:%d" (include "parley.address" (dict "root" $root "component" .component "single" .single)) (int .port)) -}}
{{- end -}}
{{- if and $component.database (eq $root.Values.postgresql.mode "sqlite") -}}
  {{- $_ := set $variables "database_url" (printf "sqlite:////var/lib/parley/%s.db" $name) -}}
{{- end -}}
{{- if and (eq $name "identity") (eq $root.Values.redis.mode "internal") -}}
  {{- $_ := set $variables "redis_url" (printf "redis://%s:6379/0" (include "parley.address" (dict "root" $root "component" "redis" "single" false))) -}}
{{- end -}}
{{- if $root.Values.mtls.enabled -}}
  {{- $_ := set $variables "health_listen" "0.0.0.0:50052" -}}
  {{- $_ = set $variables "tls_certificate_file" "/run/tls/tls.crt" -}}
  {{- $_ = set $variables "tls_key_file" "/run/tls/tls.key" -}}
  {{- $_ = set $variables "tls_ca_file" "/run/tls/ca.crt" -}}
{{- else -}}
  {{- /* Network policies say who reaches it. */ -}}
  {{- $_ := set $variables "allow_plaintext" "true" -}}
{{- end -}}
{{- range $setting, $value := $variables }}
- { name: {{ include "parley.variable" (dict "service" $name "setting" $setting) }}, value: {{ $value | quote }} }
{{- end }}
{{- if include "parley.secretSources" . }}
- { name: PARLEY_SECRETS_DIR, value: /run/secrets/parley }
{{- end }}
# glibc keeps a heap for each thread otherwise: memory for nothing in an idle service.
- { name: MALLOC_ARENA_MAX, value: "2" }
{{- with $component.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Where no database of anybody's is: this release's own Services, the cluster's, and what the settings add. Takes root,
     component. */}}
{{- define "parley.closedHosts" -}}
{{- $root := .root -}}
{{- $hosts := list "kubernetes.default.svc" -}}
{{- range $name, $component := include "parley.components" $root | fromJson -}}
  {{- $names := list $name -}}
  {{- if and (ne $component.kind "gateway") $component.service.headless }}{{ $names = append $names (printf "%s-headless" $name) }}{{ end -}}
  {{- if and $component.database (eq $root.Values.postgresql.mode "cloudnativepg") -}}
    {{- range list "db-rw" "db-ro" "db-r" }}{{ $names = append $names (printf "%s-%s" $name .) }}{{ end -}}
  {{- end -}}
  {{- range $names -}}
    {{- $hosts = append $hosts (include "parley.host" (dict "root" $root "service" (include "parley.componentName" (dict "root" $root "component" .)))) -}}
  {{- end -}}
{{- end -}}
{{- if eq $root.Values.redis.mode "internal" -}}
  {{- $hosts = append $hosts (include "parley.address" (dict "root" $root "component" "redis" "single" false)) -}}
{{- end -}}
{{- with .component.settings.closed_hosts -}}
  {{- $hosts = concat $hosts (kindIs "slice" . | ternary . (list .)) -}}
{{- end -}}
{{- join "," $hosts -}}
{{- end -}}

{{/* The Secrets that a service's secrets come from, as sources of a projected volume; empty where it has none. */}}
{{- define "parley.secretSources" -}}
{{- $sqlite := and .component.database (eq .root.Values.postgresql.mode "sqlite") -}}
{{- $operator := and .component.database (eq .root.Values.postgresql.mode "cloudnativepg") -}}
{{- $only := and (or $sqlite $operator) (deepEqual .component.secret.keys (list "database_url")) (not .component.secret.existingSecret) (not .component.secret.inline) -}}
{{- if and .component.secret.enabled (not $only) }}
- secret:
    name: {{ include "parley.secretName" . }}
    {{- if or $sqlite $operator (and .component.secret.inline (not .component.database)) }}
    optional: true
    {{- end }}
{{- end }}
{{- if $operator }}
- secret:
    name: {{ include "parley.componentName" (dict "root" .root "component" .name "suffix" "db-app") }}
    items: [{ key: uri, path: {{ include "parley.variable" (dict "service" .name "setting" "database_url") }} }]
{{- end }}
{{- end -}}

{{/* The volumes of a service, and the mounts of its container. */}}
{{- define "parley.serviceVolumes" -}}
{{ include "parley.tmpVolume" . }}
{{- with include "parley.secretSources" . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- . | trim | nindent 6 }}
{{- end }}
{{- if .component.persistence.enabled }}
- name: data
  persistentVolumeClaim:
    claimName: {{ .component.persistence.existingClaim | default (include "parley.componentName" (dict "root" .root "component" .name)) }}
{{- else if .component.volume }}
- name: data
  emptyDir: { sizeLimit: {{ .component.persistence.size }} }
{{- end }}
{{- with .component.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- if .root.Values.mtls.enabled }}
{{ include "parley.tlsVolume" . }}
{{- end }}
{{- end -}}

{{- define "parley.serviceMounts" -}}
- { name: tmp, mountPath: /tmp }
{{- if include "parley.secretSources" . }}
- { name: secrets, mountPath: /run/secrets/parley, readOnly: true }
{{- end }}
{{- if .component.volume }}
- { name: data, mountPath: /var/lib/parley }
{{- end }}
{{- with .component.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- if .root.Values.mtls.enabled }}
- { name: tls, mountPath: /run/tls, readOnly: true }
{{- end }}
{{- end -}}

{{/* The container of a service. Takes root, name, component. */}}
{{- define "parley.serviceContainer" -}}
{{- $health := .root.Values.mtls.enabled | ternary 50052 50051 -}}
name: {{ .name }}
image: {{ include "parley.image" (dict "root" .root "image" .component.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
command: [python, -m, services.{{ .name }}]
securityContext:
  {{- include "parley.containerSecurityContext" . | nindent 2 }}
ports:
  - { name: grpc, containerPort: 50051 }
  - { name: metrics, containerPort: 9090 }
  {{- if .root.Values.mtls.enabled }}
  # The kubelet's probes speak no TLS.
  - { name: health, containerPort: 50052 }
  {{- end }}
env:
  {{- include "parley.serviceEnvironment" . | trim | nindent 2 }}
startupProbe:
  grpc: { port: {{ $health }} }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ include "parley.startupThreshold" .component }}
livenessProbe:
  grpc: { port: {{ $health }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  grpc: { port: {{ $health }}, service: {{ .component.grpcService }} }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
lifecycle:
  preStop:
    sleep: { seconds: {{ int .component.termination.preStopSeconds }} }
resources:
  {{- toYaml .component.resources | nindent 2 }}
volumeMounts:
  {{- include "parley.serviceMounts" . | trim | nindent 2 }}
{{- end -}}
