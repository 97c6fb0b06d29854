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
{{- if and .Values.kafka.embedded.enabled (ne .Values.kafka.security.protocol "PLAINTEXT") -}}
{{- fail (printf "kafka.security.protocol is %s, and the embedded broker speaks PLAINTEXT only; leave it, or name your own brokers in kafka.bootstrapServers" .Values.kafka.security.protocol) -}}
{{- end -}}
{{- if and (or .Values.kafka.security.caSecret .Values.kafka.security.certificateSecret) (not (hasSuffix "SSL" .Values.kafka.security.protocol)) -}}
{{- fail (printf "kafka.security.caSecret and certificateSecret are for TLS, and kafka.security.protocol is %s; set it to SSL or SASL_SSL" .Values.kafka.security.protocol) -}}
{{- end -}}
{{- if and (or .Values.kafka.security.mechanism .Values.kafka.security.existingSecret) (not (hasPrefix "SASL" .Values.kafka.security.protocol)) -}}
{{- fail (printf "kafka.security.mechanism and existingSecret are for SASL, and kafka.security.protocol is %s; set it to SASL_SSL or SASL_PLAINTEXT" .Values.kafka.security.protocol) -}}
{{- end -}}
{{- if .Values.kafka.embedded.enabled -}}
{{ .Release.Name }}-kafka.{{ .Release.Namespace }}.svc:9092
{{- else -}}
{{ required "kafka.bootstrapServers must name the user's brokers, or kafka.embedded.enabled must be true" .Values.kafka.bootstrapServers }}
{{- end -}}
{{- end }}

{{- define "switchyard.pod" -}}
{{- $scope := . -}}
enableServiceLinks: false
securityContext: {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: {{ $scope.root.Values.topologySpread.whenUnsatisfiable }}
  labelSelector:
    matchLabels: {{- include "switchyard.selector" $scope | nindent 6 }}
{{- end }}
{{- end }}

{{- define "switchyard.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels: {{- include "switchyard.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "switchyard.selector" . | nindent 6 }}
{{- end }}

{{- define "switchyard.kafka.env" -}}
{{- $security := .root.Values.kafka.security -}}
- {name: {{ .prefix }}_KAFKA_SERVERS, value: {{ include "switchyard.kafka" .root | quote }}}
- {name: {{ .prefix }}_KAFKA_TOPIC_PREFIX, value: {{ .root.Values.kafka.topics.prefix | quote }}}
{{- if ne $security.protocol "PLAINTEXT" }}
- {name: {{ .prefix }}_KAFKA_SECURITY, value: {{ $security.protocol }}}
{{- end }}
{{- if hasPrefix "SASL" $security.protocol }}
- {name: {{ .prefix }}_KAFKA_SASL_MECHANISM, value: {{ required "kafka.security.mechanism must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 when kafka.security.protocol is SASL_…" $security.mechanism }}}
- {name: {{ .prefix }}_KAFKA_USERNAME, valueFrom: {secretKeyRef: {name: {{ required "kafka.security.existingSecret must name a Secret with the keys username and password when kafka.security.protocol is SASL_…" $security.existingSecret }}, key: username}}}
- {name: {{ .prefix }}_KAFKA_PASSWORD_FILE, value: /etc/switchyard/kafka/login/password}
{{- end }}
{{- if $security.caSecret }}
- {name: {{ .prefix }}_KAFKA_CA_FILE, value: /etc/switchyard/kafka/ca/ca.crt}
{{- end }}
{{- if $security.certificateSecret }}
- {name: {{ .prefix }}_KAFKA_CERTIFICATE_FILE, value: /etc/switchyard/kafka/own/tls.crt}
- {name: {{ .prefix }}_KAFKA_KEY_FILE, value: /etc/switchyard/kafka/own/tls.key}
{{- end }}
{{- end }}

{{- define "switchyard.kafka.mounts" -}}
{{- $security := .Values.kafka.security -}}
{{- if hasPrefix "SASL" $security.protocol }}
- {name: kafka-login, mountPath: /etc/switchyard/kafka/login, readOnly: true}
{{- end }}
{{- if $security.caSecret }}
- {name: kafka-ca, mountPath: /etc/switchyard/kafka/ca, readOnly: true}
{{- end }}
{{- if $security.certificateSecret }}
- {name: kafka-own, mountPath: /etc/switchyard/kafka/own, readOnly: true}
{{- end }}
{{- end }}

{{- define "switchyard.kafka.volumes" -}}
{{- $security := .Values.kafka.security -}}
{{- if hasPrefix "SASL" $security.protocol }}
- {name: kafka-login, secret: {secretName: {{ $security.existingSecret }}, items: [{key: password, path: password}]}}
{{- end }}
{{- if $security.caSecret }}
- {name: kafka-ca, secret: {secretName: {{ $security.caSecret }}, items: [{key: ca.crt, path: ca.crt}]}}
{{- end }}
{{- if $security.certificateSecret }}
- {name: kafka-own, secret: {secretName: {{ $security.certificateSecret }}}}
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

{{- /* What a part may do with the API: everywhere by a ClusterRole, or by a Role in each namespace that is named. */ -}}
{{- define "switchyard.roles" -}}
{{- $name := printf "%s-%s-%s" .root.Release.Namespace .root.Release.Name .component -}}
{{- $call := . -}}
{{- $places := .root.Values.watchNamespaces | default (list "") -}}
{{- range $index, $namespace := $places }}
{{- $kind := ternary "Role" "ClusterRole" (ne $namespace "") }}
{{- if $index }}
---
{{ end -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "switchyard.labels" $call | nindent 4 }}
rules: {{- toYaml $call.rules | nindent 0 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ $name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels: {{- include "switchyard.labels" $call | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ $kind }}, name: {{ $name }}}
subjects:
- {kind: ServiceAccount, name: {{ $call.root.Release.Name }}-{{ $call.component }}, namespace: {{ $call.root.Release.Namespace }}}
{{- end }}
{{- end }}

{{- /* Who is told of rollouts, as the operator reads it; what it would refuse when it starts is refused here. */ -}}
{{- define "switchyard.receivers" -}}
{{- $names := dict -}}
{{- range .Values.notifications.receivers -}}
{{- if hasKey $names .name -}}
{{- fail (printf "notifications.receivers: %q is there twice; their names must differ" .name) -}}
{{- end -}}
{{- $_ := set $names .name true -}}
{{- if eq (hasKey . "webhook") (hasKey . "kafka") -}}
{{- fail (printf "notifications.receivers: %q must have exactly one of webhook and kafka" .name) -}}
{{- end -}}
{{- if and (hasKey . "webhook") (not .webhook.url) (not .webhook.secret) -}}
{{- fail (printf "notifications.receivers: %q needs webhook.url, or webhook.secret with the key url" .name) -}}
{{- end -}}
{{- end -}}
{{- .Values.notifications.receivers | toJson -}}
{{- end }}
