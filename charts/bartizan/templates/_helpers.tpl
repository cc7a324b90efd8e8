{{/* The chart's labels, and the user's. */}}
{{- define "bartizan.labels" -}}
app.kubernetes.io/name: bartizan
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The image by digest: oci://repository@sha256:... */}}
{{- define "bartizan.url" -}}
{{- if eq .Values.image.digest "sha256:0000000000000000000000000000000000000000000000000000000000000000" -}}
{{- fail "image.digest is not set: push the image (make image) and give its manifest's digest" -}}
{{- end -}}
{{- printf "oci://%s@%s" .Values.image.repository .Values.image.digest -}}
{{- end -}}

{{/* For an oci:// URL Istio compares sha256 with the manifest's digest. */}}
{{- define "bartizan.sha256" -}}
{{- trimPrefix "sha256:" .Values.image.digest -}}
{{- end -}}

{{/* One guard's policy: the common one, its own keys over it, the name, the mode. Takes (dict "root" $ "name" n "guard" g). */}}
{{- define "bartizan.policy" -}}
{{- $policy := mergeOverwrite (deepCopy .root.Values.policy) (deepCopy (default dict .guard.policy)) -}}
{{- if not $policy.name -}}
{{- $_ := set $policy "name" .name -}}
{{- end -}}
{{- $_ := set $policy "holdHeaders" (eq .root.Values.mode "EnvoyFilter") -}}
{{- if not $policy.authn -}}
{{- fail (printf "guard %s: policy.authn is empty: name your issuers" .name) -}}
{{- end -}}
{{- toJson $policy -}}
{{- end -}}

{{/* Istio's words for a place. A gateway is CLIENT to Istio; a waypoint is SERVER and knows no port. */}}
{{- define "bartizan.match" -}}
{{- $gateway := eq .place "gateway" -}}
- mode: {{ ternary "CLIENT" "SERVER" $gateway }}
{{- if ne .place "waypoint" }}
  ports:
  {{- range required "ports: name the ports that carry the model's traffic" .ports }}
  - number: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* EnvoyFilter's word for a place. */}}
{{- define "bartizan.context" -}}
{{- ternary "GATEWAY" "SIDECAR_INBOUND" (eq .place "gateway") -}}
{{- end -}}

{{/* The workloads of a guard, for kinds that select by label. */}}
{{- define "bartizan.target" -}}
{{- if .selector -}}
selector:
  matchLabels: {{- toYaml .selector | nindent 4 }}
{{- else -}}
targetRefs: {{- required "selector or targetRefs: say which workloads" .targetRefs | toYaml | nindent 2 }}
{{- end }}
{{- end -}}
