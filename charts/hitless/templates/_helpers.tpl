{{/* Base of all names: the release's, with the chart's in it. */}}
{{- define "hitless.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hitless.operator" -}}{{ include "hitless.fullname" . }}-operator{{- end -}}
{{- define "hitless.origin" -}}{{ include "hitless.fullname" . }}-origin{{- end -}}

{{- define "hitless.webhook" -}}{{ include "hitless.fullname" . }}-evictions{{- end -}}

{{/* The Secret that holds the webhook's certificate. */}}
{{- define "hitless.webhookSecret" -}}
{{- if .Values.evictionWebhook.existingSecret -}}
{{- .Values.evictionWebhook.existingSecret -}}
{{- else if .Values.evictionWebhook.certManager.enabled -}}
{{- include "hitless.webhook" . }}-cert-manager
{{- else -}}
{{- include "hitless.webhook" . }}-tls
{{- end -}}
{{- end -}}

{{- define "hitless.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "hitless.operator" .) -}}
{{- end -}}

{{/* What a Deployment selects its pods by; takes (list context component). */}}
{{- define "hitless.selector" -}}
app.kubernetes.io/name: hitless-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{/* Labels of objects; pod templates carry the selector only, so that a new chart version does not
     restart them. Takes (list context component). */}}
{{- define "hitless.labels" -}}
{{ include "hitless.selector" . }}
app.kubernetes.io/part-of: hitless
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* An object's annotations, with those of all objects; nothing when there are none. Takes
     (list context annotations). */}}
{{- define "hitless.annotations" -}}
{{- with merge (dict) (index . 1) (index . 0).Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* What a pod template has beside its selector's labels. Takes (list context values). */}}
{{- define "hitless.podMetadata" -}}
{{- with (index . 1).podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where a pod goes. Takes (list context values). */}}
{{- define "hitless.placement" -}}
{{- with (index . 1).nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with (index . 1).topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "hitless.encoderPriorityClass" -}}
{{- if .Values.encoder.priorityClass.create -}}
{{- .Values.encoder.priorityClass.name | default (printf "%s-encoder" (include "hitless.fullname" .)) -}}
{{- else -}}
{{- .Values.encoder.priorityClass.name -}}
{{- end -}}
{{- end -}}

{{/* Labels that the operator gives to encoder pods (manifests.py). */}}
{{- define "hitless.encoderSelector" -}}
app.kubernetes.io/name: hitless-encoder
app.kubernetes.io/managed-by: hitless-operator
{{- end -}}

{{/* Namespaces whose encoders get a NetworkPolicy, as JSON. */}}
{{- define "hitless.encoderNamespaces" -}}
{{- .Values.networkPolicy.encoder.namespaces | default .Values.watchNamespaces | toJson -}}
{{- end -}}

{{/* The port in origin.url. */}}
{{- define "hitless.originUrlPort" -}}
{{- $url := urlParse .Values.origin.url -}}
{{- regexFind "[0-9]+$" (regexFind ":[0-9]+$" $url.host) | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* Takes (list context image). */}}
{{- define "hitless.image" -}}
{{ (index . 1).repository }}:{{ (index . 1).tag | default (index . 0).Chart.AppVersion }}
{{- end -}}

{{- define "hitless.originUrl" -}}
{{- if .Values.origin.url -}}
{{- .Values.origin.url | trimSuffix "/" -}}
{{- else -}}
{{- printf "http://%s.%s.svc:%v" (include "hitless.origin" .) .Release.Namespace .Values.origin.service.port -}}
{{- end -}}
{{- end -}}

{{/* nginx before the origin: the file that stands alone too, with what the values say. */}}
{{- define "hitless.frontText" -}}
{{- $front := .Values.origin.front -}}
{{- .Files.Get "files/nginx.conf"
  | replace "worker_processes auto" (printf "worker_processes %v" $front.workers)
  | replace "max_size=8g" (printf "max_size=%vg" $front.cacheGigabytes) -}}
{{- end -}}

{{- define "hitless.frontConfig" -}}
{{ include "hitless.origin" . }}-front-{{ include "hitless.frontText" . | sha256sum | trunc 8 }}
{{- end -}}

{{- define "hitless.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "hitless.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "hitless.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The keys of the channels' tokens, in operator and origin. */}}
{{- define "hitless.ingestKeysMount" -}}
{{- if .Values.origin.ingestAuth.secretName -}}
- name: ingest-keys
  mountPath: /etc/hitless/ingest-keys
  readOnly: true
{{- end -}}
{{- end -}}

{{- define "hitless.ingestKeysVolume" -}}
{{- with .Values.origin.ingestAuth.secretName -}}
- name: ingest-keys
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: keys, path: keys}
{{- end -}}
{{- end -}}

{{/* All that the operator may do. No finalizers; channels are patched for an EncoderUpdate only. */}}
{{- define "hitless.rules" -}}
- apiGroups: [hitless.video]
  resources: [encoderdeployments]
  verbs: [get, list, watch, patch]
- apiGroups: [hitless.video]
  resources: [encoderupdates]
  verbs: [list, watch]
- apiGroups: [hitless.video]
  resources: [encoderdeployments/status, encoderupdates/status]
  verbs: [update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [pods]
  {{- if .Values.evictionWebhook.enabled }}
  # Marks those whose eviction was asked for.
  verbs: [get, list, watch, create, delete, patch]
  {{- else }}
  verbs: [get, list, watch, create, delete]
  {{- end }}
{{- if .Values.origin.ingestAuth.secretName }}
# Writes each channel's token, and reads no Secret.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, update]
{{- end }}
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if or .Values.evictionWebhook.enabled (not .Values.watchNamespaces) }}
# Encoders are kept from eviction where somebody will hand them over instead.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get]
{{- end }}
{{- end -}}
