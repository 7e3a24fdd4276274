{{/* Names, labels and addresses. Everything that is called something is called it here. */}}

{{- define "parley.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "parley.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* The prefix of all names: at most 36 characters, so that no suffix makes a name longer than 63; a name that is cut
     ends in a hash, so that two long releases that begin alike do not meet. */}}
{{- define "parley.fullname" -}}
{{- $base := .Release.Name -}}
{{- if .Values.fullnameOverride -}}
{{- $base = .Values.fullnameOverride -}}
{{- else if not (contains (include "parley.name" .) .Release.Name) -}}
{{- $base = printf "%s-%s" .Release.Name (include "parley.name" .) -}}
{{- end -}}
{{- if gt (len $base) 36 -}}
{{- printf "%s-%s" ($base | trunc 27 | trimSuffix "-") ($base | sha256sum | trunc 8) -}}
{{- else -}}
{{- $base -}}
{{- end -}}
{{- end -}}

{{/* The name of a component's object. Takes root, component, and a suffix where the kind has several. */}}
{{- define "parley.componentName" -}}
{{- $name := printf "%s-%s" (include "parley.fullname" .root) .component -}}
{{- if .suffix }}{{ $name = printf "%s-%s" $name .suffix }}{{ end -}}
{{- $name -}}
{{- end -}}

{{/* What a component's pods are found by: never anything that may change. */}}
{{- define "parley.selectorLabels" -}}
app.kubernetes.io/name: {{ include "parley.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* The labels of a pod: without the chart's version, whose change alone must not replace pods. */}}
{{- define "parley.podLabels" -}}
{{ include "parley.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: parley
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "parley.labels" -}}
{{ include "parley.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: parley
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ include "parley.chart" .root }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A file's text as a block of YAML, indented by two, its empty lines empty. */}}
{{- define "parley.block" -}}
{{- regexReplaceAll "(?m)^ +$" (. | trim | nindent 2) "" -}}
{{- end -}}

{{/* The metadata of an object. Takes root, component, and where needed: suffix, annotations (text), labels (text). */}}
{{- define "parley.metadata" -}}
name: {{ include "parley.componentName" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "parley.labels" . | nindent 2 }}
  {{- with .labels }}
  {{- . | nindent 2 }}
  {{- end }}
{{- if or .annotations .root.Values.commonAnnotations }}
annotations:
  {{- with .annotations }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .root.Values.commonAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Where callers find a component: its headless Service, which has its pods one by one. Takes root, component, and `single`
     where its Service's one address is meant. */}}
{{- define "parley.address" -}}
{{- $suffix := .single | ternary "" "headless" -}}
{{- include "parley.host" (dict "root" .root "service" (include "parley.componentName" (dict "root" .root "component" .component "suffix" $suffix))) -}}
{{- end -}}

{{/* The host name of a Service. A short one is found with the first look-up; one with the domain is the fourth. */}}
{{- define "parley.host" -}}
{{- .service -}}{{- with .root.Values.clusterDomain }}.{{ $.root.Release.Namespace }}.svc.{{ . }}{{ end -}}
{{- end -}}

{{/* An image as `registry/repository:tag@digest`. Takes root, image, and a registry of its own where it has one. */}}
{{- define "parley.image" -}}
{{- $registry := .root.Values.global.imageRegistry | default .registry | default .root.Values.image.registry -}}
{{- $tag := .image.tag | default .root.Chart.AppVersion -}}
{{- with $registry }}{{ printf "%s/" . }}{{ end -}}
{{- printf "%s:%s" .image.repository $tag -}}
{{- with .image.digest }}{{ printf "@%s" . }}{{ end -}}
{{- end -}}

{{- define "parley.imagePullSecrets" -}}
{{- with concat .Values.image.pullSecrets .Values.global.imagePullSecrets | uniq -}}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end -}}
{{- end -}}
