{{- define "vagn.labels" -}}
app.kubernetes.io/name: vagn
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "vagn.own" -}}
app.kubernetes.io/name: vagn
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end -}}

{{- define "vagn.probe" -}}
exec:
  command: [vagn, status, --for, {{ . }}]
timeoutSeconds: 5
{{- end -}}
