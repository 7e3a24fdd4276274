{{/* What there is to deploy, as one map: name to everything that values say of it, defaults merged in.

     Besides the keys of `defaults` an entry has
       kind       gateway, service or triton
       grpcPort   where others call it
       targets    whom it calls: setting (what the caller names it), component, port, single (has one address for all its pods)
       min        the least replicas that there will be
       volume     whether it has something at /var/lib/parley
     Use it as {{ $components := include "parley.components" . | fromJson }}. */}}
{{- define "parley.components" -}}
{{- $root := . -}}
{{- $components := dict -}}
{{- range $name, $entry := .Values.services -}}
  {{- $component := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy ($entry | default dict)) -}}
  {{- $kind := eq $name "gateway" | ternary "gateway" "service" -}}
  {{- if and $component.enabled (not (and (eq $kind "gateway") (eq $root.Values.gateway.mode "none"))) -}}
    {{- $sqlite := and $component.database (eq $root.Values.postgresql.mode "sqlite") -}}
    {{- $_ := set $component "volume" (or $component.persistence.enabled $sqlite) -}}
    {{- $_ = set $component "kind" $kind -}}
    {{- $_ = set $component "grpcPort" (eq $kind "gateway" | ternary 8080 50051) -}}
    {{- $_ = set $components $name $component -}}
  {{- end -}}
{{- end -}}
{{- range $group, $entry := .Values.triton.groups -}}
  {{- $component := mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy $root.Values.triton.defaults) (deepCopy ($entry | default dict)) -}}
  {{- $active := eq (eq $root.Values.triton.profile "embedded") (eq $group "embedded") -}}
  {{- if and $component.enabled $active -}}
    {{- $_ := set $component "kind" "triton" -}}
    {{- $_ = set $component "grpcPort" 8001 -}}
    {{- $_ = set $component "group" $group -}}
    {{- $_ = set $component "volume" false -}}
    {{- $_ = set $components (printf "triton-%s" $group) $component -}}
  {{- end -}}
{{- end -}}
{{- range $name, $component := $components -}}
  {{- $targets := list -}}
  {{- range $callee := $component.calls -}}
    {{- $other := $callee -}}
    {{- if eq $callee "triton" -}}
      {{- $other = printf "triton-%s" (eq $root.Values.triton.profile "embedded" | ternary "embedded" $component.modelGroup) -}}
    {{- end -}}
    {{- if hasKey $components $other -}}
      {{- $called := get $components $other -}}
      {{- $targets = append $targets (dict "setting" $callee "component" $other "port" $called.grpcPort "single" (not $called.service.headless)) -}}
    {{- end -}}
  {{- end -}}
  {{- $_ := set $component "targets" $targets -}}
  {{- $scaled := ne $component.autoscaling.engine "none" -}}
  {{- $_ = set $component "min" (int ($scaled | ternary $component.autoscaling.minReplicas $component.replicas)) -}}
{{- end -}}
{{- toJson $components -}}
{{- end -}}

{{/* Whether a component's new pods must wait until the old ones are gone: one replica with something that only one may hold. */}}
{{- define "parley.recreate" -}}
{{- if and (eq .component.autoscaling.engine "none") (eq (int .component.replicas) 1) (eq (int .component.rollout.maxSurge) 0) -}}true{{- end -}}
{{- end -}}

{{/* The name of the ServiceAccount of a component. Takes root, name, component. */}}
{{- define "parley.serviceAccountName" -}}
{{- if .component.serviceAccount.create -}}
{{- .component.serviceAccount.name | default (include "parley.componentName" (dict "root" .root "component" .name)) -}}
{{- else -}}
{{- .component.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The Secret whose keys are a component's settings. Takes root, name, component. */}}
{{- define "parley.secretName" -}}
{{- .component.secret.existingSecret | default (include "parley.componentName" (dict "root" .root "component" .name)) -}}
{{- end -}}

{{/* The name of a setting's variable. Takes service, setting. */}}
{{- define "parley.variable" -}}
{{- printf "PARLEY_%s_%s" (upper .service) (upper .setting) -}}
{{- end -}}

{{/* A value as a variable's text: numbers as people write them, lists and objects as JSON. */}}
{{- define "parley.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq (floor .) . }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end -}}
{{- else if or (kindIs "map" .) (kindIs "slice" .) -}}
{{- toJson . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}
