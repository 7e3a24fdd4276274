{{/* Triton: what a group's pod is started with, and where its weights come from. */}}

{{/* The names of the groups that are deployed, as text; empty when there are none. */}}
{{- define "parley.tritonGroups" -}}
{{- range $name, $component := include "parley.components" . | fromJson }}{{ if eq $component.kind "triton" }}{{ $name }} {{ end }}{{ end -}}
{{- end -}}

{{/* Whether this release makes the claim that holds the weights. */}}
{{- define "parley.modelClaim" -}}
{{- if and (eq .Values.triton.profile "gpu") (has .Values.modelCache.mode (list "pvc" "download")) (not .Values.modelCache.pvc.existingClaim) -}}true{{- end -}}
{{- end -}}

{{/* Whether weights are fetched before Triton starts. */}}
{{- define "parley.modelDownload" -}}
{{- if and (eq .Values.triton.profile "gpu") .Values.modelCache.download.sources (has .Values.modelCache.mode (list "download" "emptyDir")) -}}true{{- end -}}
{{- end -}}

{{- define "parley.tritonData" -}}
launch.py: |
  {{- include "parley.block" (.Files.Get "files/launch_triton.py") }}
{{- if include "parley.modelDownload" . }}
download.py: |
  {{- include "parley.block" (.Files.Get "files/download_models.py") }}
sources.json: |
  {{- include "parley.block" (.Values.modelCache.download.sources | toPrettyJson) }}
{{- end }}
{{- end -}}

{{- define "parley.tritonContainer" -}}
{{- $gpu := eq .root.Values.triton.profile "gpu" -}}
name: triton
image: {{ include "parley.image" (dict "root" .root "image" .component.image) }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
# Renders the model repository for this machine, then becomes Triton.
command: [python3, /etc/parley/cluster/launch.py]
securityContext:
  {{- include "parley.containerSecurityContext" . | nindent 2 }}
ports:
  - { name: http, containerPort: 8000 }
  - { name: grpc, containerPort: 8001 }
  - { name: metrics, containerPort: 8002 }
env:
  - { name: PARLEY_TRITON_PROFILE, value: {{ .root.Values.triton.profile }} }
  - { name: PARLEY_TRITON_MODELS, value: {{ join "," .component.models | quote }} }
  - { name: PARLEY_TRITON_PARAMETERS, value: {{ merge (dict) (deepCopy .component.parameters) ($gpu | ternary (dict "model_directory" .root.Values.modelCache.path) (dict)) | toJson | quote }} }
  - { name: PARLEY_TRITON_EXIT_SECONDS, value: {{ include "parley.text" .component.termination.graceSeconds | quote }} }
  {{- if .root.Values.mtls.enabled }}
  - { name: PARLEY_TRITON_TLS, value: /run/tls }
  {{- end }}
  {{- with .root.Values.tracing.httpEndpoint }}
  - { name: PARLEY_TRITON_OTLP, value: {{ . | quote }} }
  {{- end }}
  {{- with .component.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
startupProbe:
  httpGet: { path: /v2/health/ready, port: http }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: {{ include "parley.startupThreshold" .component }}
livenessProbe:
  httpGet: { path: /v2/health/live, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /v2/health/ready, port: http }
  periodSeconds: 5
  timeoutSeconds: 3
  failureThreshold: 3
lifecycle:
  preStop:
    sleep: { seconds: {{ int .component.termination.preStopSeconds }} }
resources:
  {{- $resources := deepCopy .component.resources }}
  {{- if .component.gpus }}
  {{- range list "requests" "limits" }}
  {{- $_ := set (get $resources .) $.root.Values.triton.gpuResource (int $.component.gpus) }}
  {{- end }}
  {{- end }}
  {{- toYaml $resources | nindent 2 }}
volumeMounts:
  - { name: tmp, mountPath: /tmp }
  - { name: shm, mountPath: /dev/shm }
  - { name: repository, mountPath: /repository }
  - { name: configuration, mountPath: /etc/parley/cluster, readOnly: true }
  {{- if $gpu }}
  - { name: models, mountPath: {{ .root.Values.modelCache.path }}, readOnly: true }
  {{- end }}
  {{- with .component.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .root.Values.mtls.enabled }}
  - { name: tls, mountPath: /run/tls, readOnly: true }
  {{- end }}
{{- end -}}

{{- define "parley.tritonVolumes" -}}
{{ include "parley.tmpVolume" . }}
- name: shm
  emptyDir: { medium: Memory, sizeLimit: {{ .component.shmSize }} }
- name: repository
  emptyDir: { sizeLimit: 16Mi }
- name: configuration
  configMap:
    name: {{ include "parley.componentName" (dict "root" .root "component" "triton") }}
{{- if eq .root.Values.triton.profile "gpu" }}
{{ include "parley.modelVolume" .root }}
{{- if and (include "parley.modelDownload" .root) .root.Values.modelCache.download.existingSecret }}
- name: download-credentials
  secret:
    secretName: {{ .root.Values.modelCache.download.existingSecret }}
    defaultMode: 0440
{{- end }}
{{- end }}
{{- with .component.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- if .root.Values.mtls.enabled }}
{{ include "parley.tlsVolume" . }}
{{- end }}
{{- end -}}

{{/* The volume with the weights. */}}
{{- define "parley.modelVolume" -}}
{{- $cache := .Values.modelCache -}}
- name: models
{{- if eq $cache.mode "imageVolume" }}
  image: { reference: {{ $cache.imageVolume.reference | quote }}, pullPolicy: {{ $cache.imageVolume.pullPolicy }} }
{{- else if eq $cache.mode "emptyDir" }}
  emptyDir: { sizeLimit: {{ $cache.emptyDir.sizeLimit }} }
{{- else }}
  persistentVolumeClaim:
    claimName: {{ $cache.pvc.existingClaim | default (include "parley.componentName" (dict "root" . "component" "models")) }}
{{- end }}
{{- end -}}

{{/* Fetches the weights: resumed where it was broken off, checked, by one pod at a time. */}}
{{- define "parley.modelInit" -}}
{{- $download := .root.Values.modelCache.download -}}
- name: models
  image: {{ include "parley.image" (dict "root" .root "image" $download.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  command: [python3, /etc/parley/cluster/download.py, /etc/parley/cluster/sources.json, {{ .root.Values.modelCache.path }}, {{ include "parley.text" $download.timeoutSeconds | quote }}]
  securityContext:
    {{- include "parley.containerSecurityContext" . | nindent 4 }}
  env:
    - { name: HOME, value: /tmp }
    {{- with $download.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  resources:
    requests: { cpu: 250m, memory: 256Mi, ephemeral-storage: 64Mi }
    limits: { cpu: "2", memory: 1Gi, ephemeral-storage: 512Mi }
  volumeMounts:
    - { name: tmp, mountPath: /tmp }
    - { name: configuration, mountPath: /etc/parley/cluster, readOnly: true }
    - { name: models, mountPath: {{ .root.Values.modelCache.path }} }
    {{- if $download.existingSecret }}
    - { name: download-credentials, mountPath: /run/secrets/download, readOnly: true }
    {{- end }}
{{- end -}}
