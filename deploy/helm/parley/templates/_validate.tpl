{{/* What the schema cannot see: values that contradict each other. Every message says what to change. */}}
{{- define "parley.validate" -}}
{{- $root := . -}}
{{- $components := include "parley.components" . | fromJson -}}
{{- range $name, $component := $components -}}
  {{- $scaling := $component.autoscaling -}}
  {{- $path := eq $component.kind "triton" | ternary (printf "triton.groups.%s" (trimPrefix "triton-" $name)) (printf "services.%s" $name) -}}
  {{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
    {{- fail (printf "%s.autoscaling: minReplicas (%v) is more than maxReplicas (%v)" $path $scaling.minReplicas $scaling.maxReplicas) -}}
  {{- end -}}
  {{- if and (ne $scaling.engine "none") (eq (int $scaling.cpuPercent) 0) (eq (int $scaling.inFlight) 0) (ne $component.kind "triton") -}}
    {{- fail (printf "%s.autoscaling: %s has nothing to scale by; give cpuPercent or inFlight, or set engine to none" $path $scaling.engine) -}}
  {{- end -}}
  {{- if and (gt (int $scaling.inFlight) 0) (ne $component.kind "service") -}}
    {{- fail (printf "%s.autoscaling.inFlight: only services count calls in flight; use cpuPercent" $path) -}}
  {{- end -}}
  {{- if and (eq $component.kind "triton") (gt (int $scaling.cpuPercent) 0) -}}
    {{- fail (printf "%s.autoscaling.cpuPercent: a busy Triton is a good Triton; it scales by the time that requests queue" $path) -}}
  {{- end -}}
  {{- if and (gt (int $scaling.cpuPercent) 0) (not (dig "requests" "cpu" "" $component.resources)) -}}
    {{- fail (printf "%s.autoscaling.cpuPercent: is a part of resources.requests.cpu, which is not given" $path) -}}
  {{- end -}}
  {{- if $scaling.keda.scaleToZero -}}
    {{- if ne $scaling.engine "keda" -}}
      {{- fail (printf "%s.autoscaling.keda.scaleToZero: only KEDA scales to zero; set autoscaling.engine to keda" $path) -}}
    {{- end -}}
    {{- if not $scaling.keda.wakeQuery -}}
      {{- fail (printf "%s.autoscaling.keda.scaleToZero: nothing would ever wake it; give keda.wakeQuery" $path) -}}
    {{- end -}}
    {{- if gt (int $scaling.cpuPercent) 0 -}}
      {{- fail (printf "%s.autoscaling.keda.scaleToZero: cannot be combined with cpuPercent, which no replica has" $path) -}}
    {{- end -}}
  {{- end -}}
  {{- if and (eq (toString $component.rollout.maxSurge) "0") (eq (toString $component.rollout.maxUnavailable) "0") -}}
    {{- fail (printf "%s.rollout: maxSurge and maxUnavailable are both 0; no pod could ever be replaced" $path) -}}
  {{- end -}}
  {{- if le (int $component.rollout.progressDeadlineSeconds) (int $component.startup.seconds) -}}
    {{- fail (printf "%s.rollout.progressDeadlineSeconds (%v) must be more than startup.seconds (%v), or a slow start counts as a failed rollout" $path $component.rollout.progressDeadlineSeconds $component.startup.seconds) -}}
  {{- end -}}
  {{- if and $component.secret.inline $component.secret.existingSecret -}}
    {{- fail (printf "%s.secret: existingSecret and inline exclude each other; put the inline ones into the existing Secret" $path) -}}
  {{- end -}}
  {{- if and $component.secret.inline $root.Values.externalSecrets.enabled -}}
    {{- fail (printf "%s.secret.inline: externalSecrets is enabled; put them into its store" $path) -}}
  {{- end -}}
  {{- if and $component.database (eq $root.Values.postgresql.mode "external") $component.secret.inline (not $component.secret.inline.database_url) -}}
    {{- fail (printf "%s.secret.inline: has no database_url, and postgresql.mode is external" $path) -}}
  {{- end -}}
  {{- range $component.secret.keys -}}
    {{- if hasKey $component.settings . -}}
      {{- fail (printf "%s.settings.%s: is a secret; it belongs into the service's Secret" $path .) -}}
    {{- end -}}
  {{- end -}}
  {{- range list "listen" "metrics_listen" "health_listen" "drain_seconds" "otlp_endpoint" "tls_certificate_file" "tls_key_file" "tls_ca_file" -}}
    {{- if hasKey $component.settings . -}}
      {{- fail (printf "%s.settings.%s: is set by the chart; use termination.graceSeconds for drain_seconds, tracing.endpoint for otlp_endpoint, mtls for tls_*" $path .) -}}
    {{- end -}}
  {{- end -}}
  {{- range $component.targets -}}
    {{- if hasKey $component.settings (printf "%s_target" .setting) -}}
      {{- fail (printf "%s.settings.%s_target: is set by the chart; take %s out of %s.calls where another one is meant" $path .setting .setting $path) -}}
    {{- end -}}
  {{- end -}}
  {{- if and (eq $component.kind "service") (not $component.grpcService) -}}
    {{- fail (printf "%s.grpcService: is needed; readiness asks for it" $path) -}}
  {{- end -}}
  {{- if not $component.image.repository -}}
    {{- fail (printf "%s.image.repository: is needed" $path) -}}
  {{- end -}}
  {{- range $component.calls -}}
    {{- if eq . $name -}}
      {{- fail (printf "%s.calls: it calls itself" $path) -}}
    {{- end -}}
    {{- if not (or (eq . "triton") (hasKey $root.Values.services .)) -}}
      {{- fail (printf "%s.calls: there is no component %s" $path .) -}}
    {{- end -}}
    {{- if and (eq . "triton") (not (hasKey $root.Values.triton.groups $component.modelGroup)) -}}
      {{- fail (printf "%s.modelGroup: %q is no group of triton.groups" $path $component.modelGroup) -}}
    {{- end -}}
  {{- end -}}
  {{- $alone := include "parley.recreate" (dict "component" $component) -}}
  {{- $many := gt (int (eq $scaling.engine "none" | ternary $component.replicas $scaling.maxReplicas)) 1 -}}
  {{- if ne $component.kind "gateway" -}}
    {{- if and $component.service.headless (ne $component.loadBalancing "round_robin") -}}
      {{- fail (printf "%s: service.headless true with loadBalancing %s: callers that find every pod and do not go round them keep to one; set service.headless to false, or loadBalancing to round_robin" $path $component.loadBalancing) -}}
    {{- end -}}
    {{- if and (not $component.service.headless) (eq $component.loadBalancing "round_robin") $many -}}
      {{- fail (printf "%s: loadBalancing round_robin with service.headless false: behind one address every caller keeps to one pod; set service.headless to true, or loadBalancing to proxy where a service mesh balances" $path) -}}
    {{- end -}}
    {{- if and (eq $component.loadBalancing "proxy") $root.Values.mtls.enabled -}}
      {{- fail (printf "%s: loadBalancing proxy with mtls.enabled true: a proxy cannot tell calls apart that are encrypted for somebody else; leave the certificates to the mesh, or set loadBalancing to round_robin" $path) -}}
    {{- end -}}
  {{- end -}}
  {{- if and $component.database (eq $root.Values.postgresql.mode "sqlite") (not $alone) -}}
    {{- fail (printf "%s: postgresql.mode sqlite keeps a file in one pod; set autoscaling.engine none, replicas 1 and rollout.maxSurge 0, maxUnavailable 1 (values-dev.yaml does)" $path) -}}
  {{- end -}}
  {{- if and $component.persistence.enabled (not $component.persistence.existingClaim) (not $alone) (not (has "ReadWriteMany" $component.persistence.accessModes)) -}}
    {{- fail (printf "%s.persistence.accessModes: a rolling update has two pods on one volume; it needs ReadWriteMany" $path) -}}
  {{- end -}}
  {{- range $setting := list "recordings_url" "pictures_url" "upload_root" -}}
    {{- $folder := toString (dig $setting "" $component.settings) -}}
    {{- if and (hasPrefix "/" $folder) (not $component.volume) $many -}}
      {{- fail (printf "%s.settings.%s: %s is a folder that every replica has for itself; enable %s.persistence, or name a bucket where that is possible" $path $setting $folder $path) -}}
    {{- end -}}
    {{- if and (hasPrefix "/" $folder) $component.volume (not (hasPrefix "/var/lib/parley/" $folder)) -}}
      {{- fail (printf "%s.settings.%s: %s is outside of /var/lib/parley, where the shared volume is" $path $setting $folder) -}}
    {{- end -}}
  {{- end -}}
  {{- $storage := dig "limits" "ephemeral-storage" "" $component.resources -}}
  {{- $written := include "parley.writtenMebibytes" (dict "root" $root "component" $component) | float64 -}}
  {{- if and $storage (gt $written (include "parley.mebibytes" $storage | float64)) -}}
    {{- fail (printf "%s.resources.limits.ephemeral-storage (%v) is less than its pods' volumes may take (%.0fMi: tmpSize, and what is kept on the node for want of a claim); they would be evicted before these are full" $path $storage $written) -}}
  {{- end -}}
  {{- if and (eq $root.Values.triton.profile "gpu") (eq $component.kind "triton") (not $component.gpus) -}}
    {{- fail (printf "%s.gpus: the gpu profile needs at least one" $path) -}}
  {{- end -}}
{{- end -}}
{{- if eq .Values.triton.profile "gpu" -}}
  {{- $cache := .Values.modelCache -}}
  {{- if and (has $cache.mode (list "pvc" "download")) (not $cache.pvc.existingClaim) (not (has "ReadWriteMany" $cache.pvc.accessModes)) -}}
    {{- fail "modelCache.pvc.accessModes: the groups of models and the pods of a rolling update share this volume; it needs ReadWriteMany, or an existingClaim that is ReadOnlyMany" -}}
  {{- end -}}
  {{- if and (eq $cache.mode "imageVolume") (not $cache.imageVolume.reference) -}}
    {{- fail "modelCache.imageVolume.reference: is needed for mode imageVolume" -}}
  {{- end -}}
  {{- if and (eq $cache.mode "imageVolume") (semverCompare "<1.33.0-0" .Capabilities.KubeVersion.Version) -}}
    {{- fail (printf "modelCache.mode imageVolume needs Kubernetes 1.33; this is %s" .Capabilities.KubeVersion.Version) -}}
  {{- end -}}
  {{- if and (eq $cache.mode "download") (not $cache.download.sources) -}}
    {{- fail "modelCache.download.sources: is needed for mode download" -}}
  {{- end -}}
{{- end -}}
{{- if and (eq .Values.gateway.mode "gatewayapi") (not .Values.gateway.gatewayApi.parentRefs) -}}
  {{- fail "gateway.gatewayApi.parentRefs: is needed for mode gatewayapi" -}}
{{- end -}}
{{- if and (eq .Values.gateway.mode "gatewayapi") .Values.gateway.edge.tls.existingSecret -}}
  {{- fail "gateway.edge.tls.existingSecret: with mode gatewayapi the Gateway has the certificate, and speaks plaintext to Envoy" -}}
{{- end -}}
{{- range .Values.gateway.gatewayApi.grpcHostnames -}}
  {{- if has . $root.Values.gateway.gatewayApi.hostnames -}}
    {{- fail (printf "gateway.gatewayApi: %s is a host name of both routes; a Gateway takes it for one kind only" .) -}}
  {{- end -}}
{{- end -}}
{{- if and .Values.externalSecrets.enabled (not .Values.externalSecrets.storeRef.name) -}}
  {{- fail "externalSecrets.storeRef.name: is needed" -}}
{{- end -}}
{{- if .Values.backup.enabled -}}
  {{- $databases := list -}}
  {{- range $name, $component := $components -}}
    {{- if $component.database -}}{{ $databases = append $databases $name }}{{- end -}}
  {{- end -}}
  {{- if eq .Values.postgresql.mode "sqlite" -}}
    {{- fail "backup.enabled: with postgresql.mode sqlite the databases are files inside pods, which no other pod reaches; use external or cloudnativepg" -}}
  {{- end -}}
  {{- if not $databases -}}
    {{- fail "backup.enabled: no service that is enabled has a database" -}}
  {{- end -}}
  {{- if not .Values.backup.store.url -}}
    {{- fail "backup.store.url: is needed; s3://bucket/path, gs://bucket/path or abfs://container/path" -}}
  {{- end -}}
  {{- if and .Values.backup.recipients .Values.backup.recipientsConfigMap -}}
    {{- fail "backup.recipients and backup.recipientsConfigMap exclude each other; put the keys into the ConfigMap" -}}
  {{- end -}}
  {{- if not (or .Values.backup.recipients .Values.backup.recipientsConfigMap) -}}
    {{- fail "backup.recipients: is needed; dumps are encrypted to these public keys (age-keygen makes a pair)" -}}
  {{- end -}}
{{- end -}}
{{- with .Values.backup.restore.service -}}
  {{- if not $root.Values.backup.enabled -}}
    {{- fail "backup.restore.service: needs backup.enabled with the store that the dumps are in" -}}
  {{- end -}}
  {{- if not (dig . "database" false $components) -}}
    {{- fail (printf "backup.restore.service: there is no service %s with a database" .) -}}
  {{- end -}}
  {{- if not $root.Values.backup.restore.identitySecret -}}
    {{- fail "backup.restore.identitySecret: is needed; a Secret whose key `identity` is the private key" -}}
  {{- end -}}
{{- end -}}
{{- end -}}
