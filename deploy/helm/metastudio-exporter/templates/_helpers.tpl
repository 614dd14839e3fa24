{{- define "metastudio-exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/*
At most 52 characters: a StatefulSet adds a hash of eleven characters to its name, and a label has at most 63.
*/}}
{{- define "metastudio-exporter.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "metastudio-exporter.instanceLabels" -}}
app.kubernetes.io/name: {{ include "metastudio-exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
Selects the exporter's pods. The pod of `helm test` has another component, so that Prometheus does not scrape it.
*/}}
{{- define "metastudio-exporter.selectorLabels" -}}
{{ include "metastudio-exporter.instanceLabels" . }}
app.kubernetes.io/component: exporter
{{- end }}

{{- define "metastudio-exporter.chartLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "metastudio-exporter.labels" -}}
{{ include "metastudio-exporter.selectorLabels" . }}
{{ include "metastudio-exporter.chartLabels" . }}
{{- end }}

{{- define "metastudio-exporter.serviceAccountName" -}}
{{- $default := ternary "default" (include "metastudio-exporter.fullname" .) (eq ((.Values.serviceAccount).create) false) }}
{{- (.Values.serviceAccount).name | default $default }}
{{- end }}

{{/*
The defaults of values.yaml again, because a section without content, such as `service:`, deletes the defaults of its keys.
*/}}
{{- define "metastudio-exporter.port" -}}
{{- (.Values.service).port | default 19677 }}
{{- end }}

{{- define "metastudio-exporter.scheme" -}}
{{- (.Values.webConfig).scheme | default "http" }}
{{- end }}

{{- define "metastudio-exporter.image" -}}
{{- $repository := (.Values.image).repository | default "metastudio-exporter" }}
{{- if (.Values.image).digest }}
{{- printf "%s@%s" $repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" $repository ((.Values.image).tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "metastudio-exporter.pullPolicy" -}}
{{- (.Values.image).pullPolicy | default "IfNotPresent" }}
{{- end }}

{{- define "metastudio-exporter.volumes" -}}
{{- if not .Values.demo }}
- name: config
  configMap:
    name: {{ include "metastudio-exporter.fullname" . }}
{{- end }}
{{- with .Values.existingSecret }}
- name: secrets
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- with .Values.webConfig }}
{{- if .existingSecret }}
- name: web
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: {{ .existingSecret }}
      {{- with .tlsSecret }}
      - secret:
          name: {{ . }}
      {{- end }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "metastudio-exporter.volumeMounts" -}}
{{- if not .Values.demo }}
- name: config
  mountPath: /etc/metastudio-exporter
  readOnly: true
{{- end }}
{{- if .Values.existingSecret }}
- name: secrets
  mountPath: /run/secrets/metastudio
  readOnly: true
{{- end }}
{{- if (.Values.webConfig).existingSecret }}
- name: web
  mountPath: /etc/metastudio-exporter-web
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
The target of a probe.
*/}}
{{- define "metastudio-exporter.probe" -}}
{{- if (.Values.webConfig).clientCertificates }}
tcpSocket:
  port: http
{{- else }}
httpGet:
  path: {{ .path }}
  port: http
  {{- if eq (include "metastudio-exporter.scheme" .) "https" }}
  scheme: HTTPS
  {{- end }}
{{- end }}
{{- end }}

{{/*
Conditions that the schema cannot express well.
*/}}
{{- define "metastudio-exporter.validate" -}}
{{- with .Values }}
{{- if and .demo (gt (int .shards) 1) }}
{{- fail "demo: the demo is one process; set shards to 1" }}
{{- end }}
{{- if not (or .demo (.config).projects) }}
{{- fail "config.projects is empty: add the projects to poll, or set demo to true for a first look without an account" }}
{{- end }}
{{- with .webConfig }}
{{- $isHttps := eq (include "metastudio-exporter.scheme" $) "https" }}
{{- if and (not .existingSecret) (or .tlsSecret .clientCertificates $isHttps) }}
{{- fail "webConfig: set webConfig.existingSecret to the name of the Secret that holds web.yaml" }}
{{- end }}
{{- if and (not $isHttps) (or .tlsSecret .clientCertificates) }}
{{- fail "webConfig: certificates need TLS; set webConfig.scheme to https" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
