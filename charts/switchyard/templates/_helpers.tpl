{{- define "switchyard.labels" -}}
app.kubernetes.io/name: switchyard
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- define "switchyard.selector" -}}
app.kubernetes.io/name: switchyard
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "switchyard.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "switchyard.kafka" -}}
{{- if and .Values.kafka.embedded.enabled .Values.kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers names brokers and kafka.embedded.enabled is true; leave one of them out" -}}
{{- end -}}
{{- if .Values.kafka.embedded.enabled -}}
{{ .Release.Name }}-kafka.{{ .Release.Namespace }}.svc:9092
{{- else -}}
{{ required "kafka.bootstrapServers must name the user's brokers, or kafka.embedded.enabled must be true" .Values.kafka.bootstrapServers }}
{{- end -}}
{{- end }}

{{- define "switchyard.pod" -}}
enableServiceLinks: false
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "switchyard.env" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ $value | toString | quote }}}
{{- end }}
{{- end }}

{{- define "switchyard.tokens" -}}
{{- $list := list -}}
{{- range . -}}
{{- if lt (len (.token | default "")) 16 -}}
{{- fail (printf "the token of %q has %d characters; use a long random one, such as `openssl rand -hex 24` prints" .name (len (.token | default ""))) -}}
{{- end -}}
{{- $list = append $list (dict "name" .name "sha256" (.token | sha256sum) "deployments" .deployments) -}}
{{- end -}}
{{- $list | toJson -}}
{{- end }}
