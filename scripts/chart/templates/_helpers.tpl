{{/* The short name that other names begin with; 49 characters leave room for what follows. */}}
{{- define "agent.name" -}}
{{ .Release.Name | trunc 49 | trimSuffix "-" }}
{{- end -}}

{{/* A flag that may stand in two places: one false wins. */}}
{{- define "agent.flag" -}}
{{- if eq "false" (toString .right) (toString .slip) }}false
{{- else if eq "true" (toString .right) (toString .slip) }}true
{{- else }}{{ .default }}
{{- end -}}
{{- end -}}

{{/* What the values come to. `datadog` may be null, and `securityAgent` may stand beside it. */}}
{{- define "agent.settings" -}}
{{- $right := ((.Values.datadog).securityAgent).runtime | default (dict) -}}
{{- $slip := (.Values.securityAgent).runtime | default (dict) -}}
enabled: {{ include "agent.flag" (dict "right" $right.enabled "slip" $slip.enabled "default" "false") }}
fim: {{ include "agent.flag" (dict "right" $right.fimEnabled "slip" $slip.fimEnabled "default" "false") }}
network: {{ include "agent.flag" (dict "right" ($right.network).enabled "slip" ($slip.network).enabled "default" "true") }}
enforcement: {{ include "agent.flag" (dict "right" ($right.enforcement).enabled "slip" ($slip.enforcement).enabled "default" "true") }}
track: {{ include "agent.flag" (dict "right" $right.useSecruntimeTrack "slip" $slip.useSecruntimeTrack "default" "true") }}
policies: {{ ($slip.policies).configMap | default ($right.policies).configMap | default "" | quote }}
include: {{ $slip.containerInclude | default $right.containerInclude | default "" | quote }}
exclude: {{ $slip.containerExclude | default $right.containerExclude | default "" | quote }}
apiKey: {{ (.Values.datadog).apiKey | default "" | quote }}
apiKeySecret: {{ (.Values.datadog).apiKeyExistingSecret | default "" | quote }}
apiKeySecretKey: {{ (.Values.datadog).apiKeyExistingSecretKey | default "api-key" | quote }}
site: {{ (.Values.datadog).site | default "datadoghq.com" | quote }}
logLevel: {{ (.Values.datadog).logLevel | default "info" | quote }}
seccomp: {{ ((.Values.datadog).systemProbe).seccomp | default "localhost/system-probe" | quote }}
seccompRoot: {{ ((.Values.datadog).systemProbe).seccompRoot | default "/var/lib/kubelet/seccomp" | quote }}
runRoot: {{ ((.Values.datadog).systemProbe).runRoot | default "/var/lib/security-agent" | quote }}
apparmor: {{ ((.Values.datadog).systemProbe).apparmor | default "unconfined" | quote }}
{{- $admission := (.Values.clusterAgent).admissionController | default (dict) }}
{{- /* Without the admission controller the objects stay, so that what is applied again tells the API server to ask no more. */}}
clusterAgent: {{ ne "false" (toString (.Values.clusterAgent).enabled) }}
sessions: {{ and (eq "true" (toString ($admission.cwsInstrumentation).enabled)) (ne "false" (toString $admission.enabled)) }}
mode: {{ ($admission.cwsInstrumentation).mode | default "remote_copy" | quote }}
unlabelled: {{ eq "true" (toString $admission.mutateUnlabelled) }}
{{- end -}}

{{/* What there is to say about the values: lines that begin with a dash. */}}
{{- define "agent.warnings" -}}
{{- $s := include "agent.settings" . | fromYaml -}}
{{- if .Values.securityAgent }}
- `securityAgent` stands at the top level of the values and is honoured; it belongs below `datadog`: write `datadog.securityAgent`.
{{- end }}
{{- if not (or $s.enabled $s.fim) }}
- Workload Protection is off: the pods load nothing until `datadog.securityAgent.runtime.enabled` is true.
{{- end }}
{{- if and $s.sessions (not (or (eq $s.mode "remote_copy") (eq $s.mode "init_container"))) }}
- `clusterAgent.admissionController.cwsInstrumentation.mode` is neither remote_copy nor init_container: no session is instrumented.
{{- end }}
{{- if and $s.sessions (not $s.unlabelled) }}
- Users are put on events of pods with the label `admission.datadoghq.com/cws-instrumentation.enabled: "true"` only; set `clusterAgent.admissionController.mutateUnlabelled` to true for all the others that say nothing.
{{- end }}
{{- if and $s.sessions (not $s.clusterAgent) }}
- Users of sessions are asked for, but `clusterAgent.enabled` is false: no session is instrumented.
{{- end }}
{{- $given := ((.Values.clusterAgent).admissionController).certificate | default (dict) }}
{{- if and $s.sessions $given.caBundle (not (or $given.crt $given.secretName)) }}
- `clusterAgent.admissionController.certificate.caBundle` vouches for no certificate that the chart makes, so that the API server cannot reach the webhook: set `crt` and `key`, or `secretName`, or leave it out.
{{- end }}
{{- if and $s.sessions $given.secretName (not (or $given.crt $given.caBundle)) }}
- `clusterAgent.admissionController.certificate.secretName` is set without `caBundle`, so that the API server cannot reach the webhook: set `caBundle` to the authority of its certificate.
{{- end }}
{{- end -}}

{{- define "agent.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "agent.repository" -}}
{{- $image := (.Values.agents).image | default (dict) -}}
{{- if $image.repository }}{{ $image.repository }}
{{- else }}{{ with .Values.registry }}{{ . }}/{{ end }}{{ $image.name | default "security-agent" }}
{{- end -}}
{{- end -}}

{{- define "agent.tag" -}}
{{ ((.Values.agents).image).tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "agent.image" -}}
{{ include "agent.repository" . }}
{{- with ((.Values.agents).image).digest }}@{{ . }}
{{- else }}:{{ include "agent.tag" . }}
{{- end -}}
{{- end -}}

{{/* Environment of a container. Of the same name, env wins over envDict, that over common, and that over what the chart says (texts, sources); no name stands twice. */}}
{{- define "agent.env" -}}
{{- $texts := .texts -}}
{{- $sources := .sources -}}
{{- $own := dict -}}
{{- range .common }}{{ $_ := unset $texts .name }}{{ $_ = unset $sources .name }}{{ end -}}
{{- range $name, $value := .envDict }}{{ $_ := set $texts $name $value }}{{ $_ = set $own $name true }}{{ $_ = unset $sources $name }}{{ end -}}
{{- range .env }}{{ $_ := unset $texts .name }}{{ $_ = set $own .name true }}{{ $_ = unset $sources .name }}{{ end -}}
{{- range $name, $value := $texts }}
- name: {{ $name }}
  value: {{ toString $value | quote }}
{{- end }}
{{- range $name, $value := $sources }}
- name: {{ $name }}
  valueFrom: {{ toYaml $value | nindent 4 }}
{{- end }}
{{- range .common }}
{{- if not (hasKey $own .name) }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- range .env }}
- {{ toYaml . | nindent 2 | trim }}
{{- end }}
{{- end -}}

{{/* Variables of both containers of a node, by name. */}}
{{- define "agent.variables" -}}
{{- $s := include "agent.settings" .root | fromYaml -}}
DD_RUNTIME_SECURITY_CONFIG_ENABLED: {{ $s.enabled | quote }}
DD_RUNTIME_SECURITY_CONFIG_FIM_ENABLED: {{ $s.fim | quote }}
{{- /* It is on by itself, and this name of the setting wins over the one that files use now. */}}
{{- if not $s.network }}
DD_RUNTIME_SECURITY_CONFIG_NETWORK_ENABLED: "false"
{{- end }}
DD_RUNTIME_SECURITY_CONFIG_ENFORCEMENT_ENABLED: {{ $s.enforcement | quote }}
DD_RUNTIME_SECURITY_CONFIG_USE_SECRUNTIME_TRACK: {{ $s.track | quote }}
DD_RUNTIME_SECURITY_CONFIG_POLICIES_DIR: /etc/datadog-agent/runtime-security.d
DD_RUNTIME_SECURITY_CONFIG_SOCKET: /var/run/sysprobe/runtime-security.sock
DD_SITE: {{ $s.site | quote }}
DD_LOG_LEVEL: {{ .container.logLevel | default $s.logLevel | quote }}
HOST_ROOT: /host/root
{{- if .probe }}
HOST_PROC: /host/proc
{{- end }}
{{- with $s.include }}
DD_RUNTIME_SECURITY_CONFIG_CONTAINER_INCLUDE: {{ . | quote }}
{{- end }}
{{- with $s.exclude }}
DD_RUNTIME_SECURITY_CONFIG_CONTAINER_EXCLUDE: {{ . | quote }}
{{- end }}
{{- with (.root.Values.datadog).tags }}
DD_TAGS: {{ join " " . | quote }}
{{- end }}
{{- end -}}

{{/* Variables whose values Kubernetes knows. */}}
{{- define "agent.sources" -}}
{{- $s := include "agent.settings" . | fromYaml -}}
DD_HOSTNAME: {fieldRef: {fieldPath: spec.nodeName}}
{{- if or $s.apiKeySecret $s.apiKey }}
DD_API_KEY:
  secretKeyRef:
    {{- if $s.apiKeySecret }}
    name: {{ $s.apiKeySecret | quote }}
    key: {{ $s.apiKeySecretKey | quote }}
    {{- else }}
    name: {{ include "agent.name" . }}-api-key
    key: api-key
    {{- end }}
{{- end }}
{{- end -}}

{{/* Variables of the webhook, by name. */}}
{{- define "agent.admission" -}}
{{- $s := include "agent.settings" . | fromYaml -}}
DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_ENABLED: {{ $s.sessions | quote }}
DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_MODE: {{ $s.mode | quote }}
DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_MUTATE_UNLABELLED: {{ $s.unlabelled | quote }}
DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_IMAGE_NAME: {{ include "agent.repository" . | quote }}
DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_IMAGE_TAG: {{ ((.Values.agents).image).digest | default (include "agent.tag" .) | quote }}
{{- /* A second less than the API server waits. */}}
DD_ADMISSION_CONTROLLER_CWS_INSTRUMENTATION_TIMEOUT: {{ max 1 (sub (((.Values.clusterAgent).admissionController).timeoutSeconds | default 3) 1) }}s
{{- if $s.sessions }}
DD_ADMISSION_CONTROLLER_CERTIFICATE_DIRECTORY: /etc/certificate
{{- end }}
DD_LOG_LEVEL: {{ $s.logLevel | quote }}
{{- end -}}

{{/* Who the webhook itself is: its own sessions are left alone. */}}
{{- define "agent.admissionSources" -}}
DD_CLUSTER_AGENT_SERVICE_ACCOUNT_NAME: {fieldRef: {fieldPath: spec.serviceAccountName}}
DD_KUBE_RESOURCES_NAMESPACE: {fieldRef: {fieldPath: metadata.namespace}}
{{- end -}}

{{/* Nodes to run on, from what users say of them. */}}
{{- define "agent.nodeSelector" -}}
{{- $given := . | default (dict) -}}
{{- if not (hasKey $given "kubernetes.io/os") }}
kubernetes.io/os: linux
{{- end }}
{{- with $given }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "agent.certificateName" -}}
{{- $given := ((.Values.clusterAgent).admissionController).certificate | default (dict) -}}
{{- if $given.secretName }}{{ $given.secretName }}{{ else }}{{ include "agent.name" . }}-webhook{{ end -}}
{{- end -}}
