{{/* How quickly each service may grow and shrink: `behavior` of an autoscaler. */}}
{{- define "eddy.pauses" -}}
{{- if eq . "session-processor" -}}
# Each change of the group is a rebalance: nobody folds until the partitions are dealt out anew and their sessions are
# read again, and a pod that goes without coming back is missed for EDDY_SESSION_TIMEOUT_S (10 s) first. The lag that
# this makes must not be answered by the next change, also not where a pod was taken away: whoever scales up has
# asked for it for two minutes, and the query looks one back. One step, then three minutes in which it is worked off.
# Down slower: what is saved is little, what it costs is another such pause.
scaleUp:
  stabilizationWindowSeconds: 120
  selectPolicy: Max
  policies:
    - {type: Pods, value: 2, periodSeconds: 180}
scaleDown:
  stabilizationWindowSeconds: 1800
  selectPolicy: Max
  policies:
    - {type: Pods, value: 1, periodSeconds: 900}
{{- else if eq . "embedder" -}}
# A consumer group, too, whose new member has to load its models; a catalogue is loaded once and then done.
scaleUp:
  stabilizationWindowSeconds: 60
  policies:
    - {type: Pods, value: 1, periodSeconds: 180}
scaleDown:
  stabilizationWindowSeconds: 1800
  policies:
    - {type: Pods, value: 1, periodSeconds: 600}
{{- else if eq . "recommender" -}}
# A pod reads all topics before it helps (38 s with 100,000 products, 5 s from its disk). One that goes sends its pages
# to the others, each of which makes all their rows at once: few, and rarely.
scaleUp:
  stabilizationWindowSeconds: 30
  policies:
    - {type: Pods, value: 2, periodSeconds: 120}
scaleDown:
  stabilizationWindowSeconds: 1800
  policies:
    - {type: Pods, value: 1, periodSeconds: 600}
{{- else -}}
# It keeps nothing, and is ready in seconds.
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 30}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end -}}
{{- end }}
