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
  {{- if eq . "copies" }}
  command: [vagn, cluster, status, --whole, --data-dir, /var/lib/vagn/data]
  {{- else }}
  command: [vagn, status, --for, {{ . }}]
  {{- end }}
timeoutSeconds: 5
{{- end -}}
