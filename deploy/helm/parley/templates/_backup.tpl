{{/* Backups: what the CronJob that makes them and the Job that restores one have in common. */}}

{{/* Where the URL of a service's database comes from, and nothing else of its secrets: a source of a projected volume. Takes
     root, name, component. */}}
{{- define "parley.databaseSource" -}}
{{- $variable := include "parley.variable" (dict "service" .name "setting" "database_url") -}}
{{- $operator := eq .root.Values.postgresql.mode "cloudnativepg" -}}
secret:
  name: {{ $operator | ternary (include "parley.componentName" (dict "root" .root "component" .name "suffix" "db-app")) (include "parley.secretName" .) }}
  items: [{ key: {{ $operator | ternary "uri" $variable }}, path: {{ $variable }} }]
{{- end -}}

{{/* The pod. Takes root, services (name to component), command (backup or restore). */}}
{{- define "parley.backupPod" -}}
{{- $root := .root -}}
{{- $backup := $root.Values.backup -}}
{{- $command := .command -}}
{{- $scope := dict "root" $root "name" "backup" "component" $backup -}}
metadata:
  {{- include "parley.podMetadata" $scope | nindent 2 }}
spec:
  # What fails runs again by itself: the other services' dumps are not made twice.
  restartPolicy: OnFailure
  serviceAccountName: {{ include "parley.serviceAccountName" $scope }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with include "parley.imagePullSecrets" $root }}
  {{- . | nindent 2 }}
  {{- end }}
  securityContext:
    {{- include "parley.podSecurityContext" $scope | nindent 4 }}
  {{- with $backup.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $backup.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    {{- range $name, $component := .services }}
    - name: {{ $name }}
      image: {{ include "parley.image" (dict "root" $root "image" $backup.image) }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      command: [python, -m, deploy.backup.postgres]
      args:
        - {{ $command }}
        - {{ $name }}
        - --store
        - {{ $backup.store.url }}
        {{- if eq $command "backup" }}
        - --recipients
        - /etc/parley/backup/recipients
        - --keep
        - {{ int $backup.keep | quote }}
        {{- else }}
        - --identity
        - /run/secrets/identity/identity
        {{- with $backup.restore.name }}
        - --name
        - {{ . }}
        {{- end }}
        {{- end }}
      env:
        - { name: PARLEY_SECRETS_DIR, value: /run/secrets/parley }
        {{- with $backup.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      securityContext:
        {{- include "parley.containerSecurityContext" $scope | nindent 8 }}
      resources:
        {{- toYaml $backup.resources | nindent 8 }}
      volumeMounts:
        - { name: tmp-{{ $name }}, mountPath: /tmp }
        - { name: database-{{ $name }}, mountPath: /run/secrets/parley, readOnly: true }
        {{- if eq $command "backup" }}
        - { name: recipients, mountPath: /etc/parley/backup, readOnly: true }
        {{- else }}
        - { name: identity, mountPath: /run/secrets/identity, readOnly: true }
        {{- end }}
        {{- if $backup.store.existingSecret }}
        - { name: store, mountPath: /run/secrets/store, readOnly: true }
        {{- end }}
        {{- with $backup.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- end }}
  volumes:
    {{- range $name, $component := .services }}
    - name: tmp-{{ $name }}
      emptyDir: { sizeLimit: {{ $backup.tmpSize }} }
    - name: database-{{ $name }}
      projected:
        defaultMode: 0440
        sources:
          - {{- include "parley.databaseSource" (dict "root" $root "name" $name "component" $component) | nindent 12 }}
    {{- end }}
    {{- if eq $command "backup" }}
    - name: recipients
      configMap:
        name: {{ $backup.recipientsConfigMap | default (include "parley.componentName" (dict "root" $root "component" "backup")) }}
        items: [{ key: recipients, path: recipients }]
    {{- else }}
    - name: identity
      secret:
        secretName: {{ $backup.restore.identitySecret }}
        items: [{ key: identity, path: identity }]
        defaultMode: 0440
    {{- end }}
    {{- with $backup.store.existingSecret }}
    - name: store
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with $backup.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end -}}
