{{/* What the services see: `env` of each component. */}}

{{/* Values as the settings read them. YAML's numbers are floats here, and 20000000 would become 2e+07. */}}
{{- define "eddy.text" -}}
{{- if kindIs "float64" . -}}
{{- if eq . (float64 (int64 .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- else if kindIs "map" . -}}
{{- toJson . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* What the chart itself sets, by component. Names that are here are no `settings`: infra/helm/settings.py. */}}
{{- define "eddy.own" -}}
{{- $root := .root -}}{{- $v := $root.Values -}}
EDDY_KAFKA_BOOTSTRAP: {{ required "kafka.bootstrap: name the brokers, such as kafka-bootstrap.kafka:9092" $v.kafka.bootstrap | quote }}
EDDY_KAFKA_SECURITY_PROTOCOL: {{ $v.kafka.securityProtocol }}
EDDY_KAFKA_SASL_MECHANISM: {{ $v.kafka.saslMechanism }}
{{- if $v.kafka.caSecret }}
EDDY_KAFKA_CA_FILE: /etc/eddy/kafka/ca.crt
{{- end }}
EDDY_TOPIC_PREFIX: {{ $v.topicPrefix | quote }}
{{- if and $v.qdrant.url (has .component (list "recommender" "embedder" "ops")) }}
EDDY_QDRANT_URL: {{ $v.qdrant.url | quote }}
{{- end }}
{{- if has .component (list "recommender" "trainer") }}
EDDY_MODEL_STORE: {{ default "/var/lib/eddy/models" $v.modelStore.url | quote }}
{{- end }}
OPENBLAS_NUM_THREADS: "1"
{{- if eq .component "ingest" }}
EDDY_HOST: 0.0.0.0
EDDY_INGEST_PORT: "8001"
{{- else if eq .component "recommender" }}
EDDY_HOST: 0.0.0.0
EDDY_RECOMMENDER_PORT: "8002"
EDDY_RECOMMENDER_WORKERS: "1"
EDDY_RECOMMENDER_DATADIR: /var/lib/eddy/recommender
EDDY_RECOMMENDER_MODELS: /var/lib/eddy/fetched-models
EDDY_EMBEDDER_URL: {{ if $v.embedder.enabled }}http://{{ include "eddy.name" (list $root "embedder") }}:8004{{ else }}{{ $v.embedder.url | quote }}{{ end }}
{{- else if eq .component "session-processor" }}
EDDY_SESSION_PROCESSOR_HOST: 0.0.0.0
EDDY_SESSION_PROCESSOR_PORT: "8003"
EDDY_SESSION_PROCESSOR_DATADIR: /var/lib/eddy/session-processor
EDDY_REPLICATION_FACTOR: {{ int $v.kafka.replication | quote }}
{{- else if eq .component "embedder" }}
EDDY_EMBEDDER_HOST: 0.0.0.0
EDDY_EMBEDDER_PORT: "8004"
HF_HOME: /var/lib/eddy/huggingface
{{- else if eq .component "trainer" }}
EDDY_TRAINER_DATADIR: /var/lib/eddy/trainer
{{- else if eq .component "ops" }}
EDDY_OPS_DATADIR: /var/lib/eddy/ops
EDDY_INGEST_URL: http://{{ include "eddy.name" (list $root "ingest") }}:8001
EDDY_RECOMMENDER_URL: http://{{ include "eddy.name" (list $root "recommender") }}:8002
{{- end }}
{{- end -}}

{{/* EDDY_ name → (list secret key optional), by component; nobody gets a key that it does not read. */}}
{{- define "eddy.secrets" -}}
{{- $v := .root.Values -}}
{{- $secret := $v.secrets.existingSecret -}}
{{- if has .component (list "ingest" "recommender") }}
{{- $_ := required "secrets.existingSecret: name a Secret with the shop's keys (README of the chart)" $secret }}
EDDY_TOKEN_SECRET: [{{ $secret }}, {{ $v.secrets.tokenSecretKey }}, false]
EDDY_API_KEY: [{{ $secret }}, {{ $v.secrets.apiKeyKey }}, false]
EDDY_ADMIN_KEY: [{{ $secret }}, {{ $v.secrets.adminKeyKey }}, true]
EDDY_TOKEN_SECRET_ALSO: [{{ $secret }}, {{ $v.secrets.tokenSecretAlsoKey }}, true]
EDDY_API_KEY_ALSO: [{{ $secret }}, {{ $v.secrets.apiKeyAlsoKey }}, true]
EDDY_ADMIN_KEY_ALSO: [{{ $secret }}, {{ $v.secrets.adminKeyAlsoKey }}, true]
{{- end }}
{{- if eq .component "ingest" }}
EDDY_WRITE_KEY: [{{ $secret }}, {{ $v.secrets.writeKeyKey }}, true]
EDDY_IDENTITY_KEY: [{{ $secret }}, {{ $v.secrets.identityKeyKey }}, true]
EDDY_WRITE_KEY_ALSO: [{{ $secret }}, {{ $v.secrets.writeKeyAlsoKey }}, true]
EDDY_IDENTITY_KEY_ALSO: [{{ $secret }}, {{ $v.secrets.identityKeyAlsoKey }}, true]
{{- end }}
{{- if eq .component "recommender" }}
EDDY_NLQ_KEY: [{{ $secret }}, {{ $v.secrets.nlqKeyKey }}, true]
{{- end }}
{{- if and $v.qdrant.existingSecret (has .component (list "recommender" "embedder")) }}
EDDY_QDRANT_API_KEY: [{{ $v.qdrant.existingSecret }}, {{ $v.qdrant.apiKeyKey }}, false]
{{- end }}
{{- if hasPrefix "SASL" $v.kafka.securityProtocol }}
{{- $_ := required "kafka.existingSecret: a SASL protocol needs a Secret with user and password" $v.kafka.existingSecret }}
EDDY_KAFKA_USERNAME: [{{ $v.kafka.existingSecret }}, {{ $v.kafka.usernameKey }}, false]
EDDY_KAFKA_PASSWORD: [{{ $v.kafka.existingSecret }}, {{ $v.kafka.passwordKey }}, false]
{{- end }}
{{- end -}}

{{/* (dict root component values) → the container's `env` and `envFrom` */}}
{{- define "eddy.env" -}}
{{- $settings := merge (dict) (.values.settings | default dict) .root.Values.settings -}}
{{- $plain := dict -}}
{{- range $name, $value := $settings -}}
{{- $_ := set $plain $name (include "eddy.text" $value) -}}
{{- end -}}
{{- /* A pod that an autoscaler takes away does not come back: the others have its partitions at once. */ -}}
{{- if and (eq .component "session-processor") .values.autoscaling.enabled (not (hasKey $plain "EDDY_SESSION_PROCESSOR_LEAVES")) -}}
{{- $_ := set $plain "EDDY_SESSION_PROCESSOR_LEAVES" "true" -}}
{{- end -}}
{{- $plain = merge (include "eddy.own" . | fromYaml) $plain -}}
env:
{{- range $name, $value := $plain }}
  - name: {{ $name }}
    value: {{ toString $value | quote }}
{{- end }}
{{- range $name, $from := (include "eddy.secrets" . | fromYaml) }}
  - name: {{ $name }}
    valueFrom:
      secretKeyRef:
        name: {{ index $from 0 }}
        key: {{ index $from 1 }}
        {{- if index $from 2 }}
        optional: true
        {{- end }}
{{- end }}
{{- with .root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.extraEnvFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Seconds from SIGTERM to the end: EDDY_STOP_DELAY_S of this component, whole ones */}}
{{- define "eddy.stopDelay" -}}
{{- $settings := merge (dict) (.values.settings | default dict) .root.Values.settings -}}
{{- if hasKey $settings "EDDY_STOP_DELAY_S" -}}{{ ceil (float64 $settings.EDDY_STOP_DELAY_S) | int }}{{- else -}}2{{- end -}}
{{- end -}}
