{{/* Names and labels. */}}

{{- define "eddy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list root component) → the component's name; Prometheus' job is "eddy-" and the component, whatever the release */}}
{{- define "eddy.name" -}}
{{- printf "%s-%s" (include "eddy.fullname" (first .)) (last .) -}}
{{- end -}}

{{- define "eddy.selectorLabels" -}}
app.kubernetes.io/name: eddy
app.kubernetes.io/instance: {{ (first .).Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end -}}

{{- define "eddy.labels" -}}
{{ include "eddy.selectorLabels" . }}
app.kubernetes.io/part-of: eddy
app.kubernetes.io/version: {{ (first .).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (first .).Release.Service }}
helm.sh/chart: {{ printf "eddy-%s" ((first .).Chart.Version | replace "+" "_") }}
{{- end -}}

{{- define "eddy.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "eddy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* (list root image) → registry/repository:tag@digest */}}
{{- define "eddy.image" -}}
{{- $root := first . -}}{{- $image := last . -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- $image.repository -}}:{{- default $root.Chart.AppVersion $image.tag -}}
{{- with $image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* Partitions of a topic: (list root name) */}}
{{- define "eddy.partitions" -}}
{{- $name := last . -}}
{{- $given := index (first .).Values.topics.partitions $name -}}
{{- if $given -}}
{{- int $given -}}
{{- else -}}
{{- range ((first .).Files.Get "files/topics.yaml" | fromYamlArray) -}}
{{- if eq .name $name -}}{{- int .partitions -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
