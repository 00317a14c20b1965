{{/* Parts of pods. Everywhere: (dict root component values). */}}

{{- define "eddy.podMeta" -}}
labels:
  {{- include "eddy.selectorLabels" (list .root .component) | nindent 2 }}
  app.kubernetes.io/part-of: eddy
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .root.Values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A Service called eddy-ingest would put EDDY_INGEST_PORT=tcp://… into every pod (enableServiceLinks), which is the
     name of a setting. No pod asks Kubernetes for anything, so none gets a token. */}}
{{- define "eddy.podSpec" -}}
{{- $v := .root.Values -}}
enableServiceLinks: false
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with $v.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* For what a click passes. */}}
{{- define "eddy.serving" -}}
{{- $v := .root.Values -}}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if $v.topologySpread.enabled }}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: {{ $v.topologySpread.whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "eddy.selectorLabels" (list $.root $.component) | nindent 8 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "eddy.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  privileged: false
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- end -}}

{{/* The process answers /healthz once its imports are done, long before it is ready: 2 min are for slow nodes. A busy
     process is no dead one, so it has a minute to answer. What it waits for is told by /readyz. */}}
{{- define "eddy.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 2
  failureThreshold: 60
  timeoutSeconds: 2
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  failureThreshold: 6
  timeoutSeconds: 5
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 2
  failureThreshold: 2
  timeoutSeconds: 2
{{- end -}}

{{- define "eddy.mounts" -}}
volumeMounts:
  - {name: data, mountPath: /var/lib/eddy}
  - {name: tmp, mountPath: /tmp}
  {{- if .root.Values.kafka.caSecret }}
  - {name: kafka-ca, mountPath: /etc/eddy/kafka, readOnly: true}
  {{- end }}
  {{- if and (has .component (list "recommender" "trainer")) .root.Values.modelStore.existingClaim }}
  - {name: model-store, mountPath: /var/lib/eddy/models{{ if eq .component "recommender" }}, readOnly: true{{ end }}}
  {{- end }}
  {{- if and (eq .component "embedder") .root.Values.embedder.modelsClaim }}
  - {name: hub-models, mountPath: /var/lib/eddy/huggingface}
  {{- end }}
{{- end -}}

{{/* `data` is left out where a StatefulSet claims it. */}}
{{- define "eddy.volumes" -}}
volumes:
  {{- if not .claimed }}
  - name: data
    emptyDir: {}
  {{- end }}
  - name: tmp
    emptyDir: {}
  {{- if .root.Values.kafka.caSecret }}
  - name: kafka-ca
    secret:
      secretName: {{ .root.Values.kafka.caSecret }}
      items: [{key: {{ .root.Values.kafka.caKey }}, path: ca.crt}]
  {{- end }}
  {{- if and (has .component (list "recommender" "trainer")) .root.Values.modelStore.existingClaim }}
  - name: model-store
    persistentVolumeClaim:
      claimName: {{ .root.Values.modelStore.existingClaim }}
  {{- end }}
  {{- if and (eq .component "embedder") .root.Values.embedder.modelsClaim }}
  - name: hub-models
    persistentVolumeClaim:
      claimName: {{ .root.Values.embedder.modelsClaim }}
  {{- end }}
{{- end -}}

{{- define "eddy.claims" -}}
volumeClaimTemplates:
  - metadata:
      name: data
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .values.persistence.storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources:
        requests: {storage: {{ .values.persistence.size }}}
{{- end -}}

{{/* A service whose pod has to be out of all load balancers before it ends. Until `preStop` is over nothing has changed;
     then SIGTERM: EDDY_STOP_DELAY_S of answering on, 5 s for requests under way, and 10 s more before it is killed. */}}
{{- define "eddy.leaves" -}}
lifecycle:
  preStop:
    sleep: {seconds: {{ int .values.preStopSeconds }}}
{{- end -}}

{{- define "eddy.grace" -}}
{{- add (int (.values.preStopSeconds | default 0)) (include "eddy.stopDelay" .) 15 -}}
{{- end -}}

{{- define "eddy.ports" }}
ports:
  {{- range . }}
  - {protocol: TCP, port: {{ int . }}}
  {{- end }}
{{- end }}
