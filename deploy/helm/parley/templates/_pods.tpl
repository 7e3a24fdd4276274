{{/* What all pods have, whatever runs in them. */}}

{{- define "parley.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "parley.containerSecurityContext" -}}
allowPrivilegeEscalation: false
privileged: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities: { drop: [ALL] }
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{/* The pod's metadata. Takes root, name, component, checksum (text of what it is configured by; may be empty). */}}
{{- define "parley.podMetadata" -}}
labels:
  {{- include "parley.podLabels" (dict "root" .root "component" .name) | nindent 2 }}
  {{- if and (eq .root.Values.cloud "aks") .component.identity.id }}
  azure.workload.identity/use: "true"
  {{- end }}
  {{- with .component.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $annotations := dict -}}
{{- with .checksum }}{{ $_ := set $annotations "checksum/config" (sha256sum .) }}{{ end -}}
{{- $annotations = merge $annotations (deepCopy .component.podAnnotations) (deepCopy .root.Values.commonAnnotations) -}}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pod's spec up to its containers. Takes root, name, component. */}}
{{- define "parley.podSpec" -}}
serviceAccountName: {{ include "parley.serviceAccountName" . }}
automountServiceAccountToken: {{ .component.serviceAccount.automount }}
enableServiceLinks: false
{{- with include "parley.imagePullSecrets" .root }}
{{ . }}
{{- end }}
securityContext:
  {{- include "parley.podSecurityContext" . | nindent 2 }}
terminationGracePeriodSeconds: {{ include "parley.gracePeriod" .component }}
{{- with .component.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .component.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .component.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .component.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .component.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .component.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "parley.selectorLabels" (dict "root" $.root "component" $.name) | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- end -}}

{{/* Longer than what happens before the process is told to end and what it may take then, with room for closing. */}}
{{- define "parley.gracePeriod" -}}
{{- add (int .termination.preStopSeconds) (int .termination.graceSeconds) 15 -}}
{{- end -}}

{{/* How a Deployment scales and rolls out: what weights may take to be downloaded comes on top of the start. Takes root,
     component. */}}
{{- define "parley.deploymentSpec" -}}
{{- if eq .component.autoscaling.engine "none" }}
replicas: {{ int .component.replicas }}
{{ end -}}
revisionHistoryLimit: 5
{{- $download := and (eq .component.kind "triton") (eq (include "parley.modelDownload" .root) "true") | ternary (int .root.Values.modelCache.download.timeoutSeconds) 0 }}
progressDeadlineSeconds: {{ add (int .component.rollout.progressDeadlineSeconds) $download }}
{{- if include "parley.recreate" . }}
strategy: { type: Recreate }
{{- else }}
strategy:
  type: RollingUpdate
  rollingUpdate: { maxSurge: {{ .component.rollout.maxSurge }}, maxUnavailable: {{ .component.rollout.maxUnavailable }} }
{{- end }}
{{- end -}}

{{/* The probe periods that make up the time that a component has to start: every five seconds. */}}
{{- define "parley.startupThreshold" -}}
{{- div (add (int .startup.seconds) 4) 5 -}}
{{- end -}}

{{/* The certificates of a component, as a volume. Takes root, name. */}}
{{- define "parley.tlsVolume" -}}
- name: tls
  secret:
    secretName: {{ get .root.Values.mtls.existingSecrets .name | default (include "parley.componentName" (dict "root" .root "component" .name "suffix" "tls")) }}
    defaultMode: 0440
{{- end -}}

{{- define "parley.tmpVolume" -}}
- name: tmp
  emptyDir: { sizeLimit: {{ .component.tmpSize }} }
{{- end -}}

{{/* A quantity in MiB. */}}
{{- define "parley.mebibytes" -}}
{{- $factors := dict "" 9.5367431640625e-07 "m" 0.0 "k" 0.00095367431640625 "M" 0.95367431640625 "G" 953.67431640625 "T" 953674.31640625 "Ki" 0.0009765625 "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 -}}
{{- $unit := regexFind "[A-Za-z]*$" (toString .) -}}
{{- mulf (trimSuffix $unit (toString .) | float64) (get $factors $unit) -}}
{{- end -}}

{{/* What a pod's volumes may take of its node's disk, in MiB: those that the kubelet counts against its limit. Takes root,
     component. */}}
{{- define "parley.writtenMebibytes" -}}
{{- $triton := eq .component.kind "triton" -}}
{{- $cache := .root.Values.modelCache -}}
{{- $sizes := list .component.tmpSize -}}
{{- if $triton }}{{ $sizes = append $sizes "16Mi" }}{{ end -}}
{{- if and .component.volume (not .component.persistence.enabled) }}{{ $sizes = append $sizes .component.persistence.size }}{{ end -}}
{{- if and $triton (eq .root.Values.triton.profile "gpu") (eq $cache.mode "emptyDir") }}{{ $sizes = append $sizes $cache.emptyDir.sizeLimit }}{{ end -}}
{{- $sum := 0.0 -}}
{{- range $sizes }}{{ $sum = addf $sum (include "parley.mebibytes" . | float64) }}{{ end -}}
{{- $sum -}}
{{- end -}}
