{{/* The labels that select the pods of one role: a list of the release and the role. */}}
{{- define "imgserve.selector" -}}
app.kubernetes.io/name: imgserve
app.kubernetes.io/instance: {{ index . 0 }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "imgserve.labels" -}}
{{ include "imgserve.selector" (list .Release.Name .role) }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* The Deployment of one role. The context is the chart's, with `role` and `node`, the role's own values. */}}
{{- define "imgserve.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-{{ .role }}
  labels: {{- include "imgserve.labels" . | nindent 4 }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .node) }}
  replicas: {{ .node.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "imgserve.selector" (list .Release.Name .role) | nindent 6 }}
  strategy:
    rollingUpdate: {maxSurge: 1, maxUnavailable: 0}
  template:
    metadata:
      labels: {{- include "imgserve.labels" . | nindent 8 }}
      annotations:
        checksum/settings: {{ .Values.settings | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 8602
        runAsGroup: 8602
        fsGroup: 8602
        seccompProfile: {type: RuntimeDefault}
      # drain_s, the pause before it, and 20 s for what a shutdown does besides.
      terminationGracePeriodSeconds: {{ add .Values.drainSeconds 25 }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "imgserve.selector" (list .Release.Name .role) | nindent 14 }}
      containers:
        - name: imgserve
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
          imagePullPolicy: {{ .Values.image.pullPolicy }}
          args: [start, --foreground, --config, /etc/imgserve/imgserve.toml, --role, {{ .role }}]
          env:
            - name: IMGSERVE_QUEUE
              value: {{ .Values.queue.url | quote }}
            {{- with .Values.queue.direct }}
            - name: IMGSERVE_QUEUE_DIRECT
              value: {{ . | quote }}
            {{- end }}
            - name: IMGSERVE_QUEUE_PASSWORD_FILE
              value: /run/secrets/queue/password
            - name: IMGSERVE_API_KEY_FILE
              value: /run/secrets/keys/keys
            - name: IMGSERVE_DRAIN_S
              value: {{ .Values.drainSeconds | quote }}
            - name: IMGSERVE_LOG_FORMAT
              value: json
            # The node's CPUs, which imgserve counts itself, are not the container's.
            - name: IMGSERVE_WORKERS
              valueFrom:
                resourceFieldRef: {resource: limits.cpu}
          ports:
            - {name: http, containerPort: 8602}
          resources: {{- toYaml .node.resources | nindent 12 }}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          # A first start makes the schema, or migrates it, and may wait for another node that does.
          startupProbe:
            httpGet: {path: /health/live, port: http}
            periodSeconds: 2
            failureThreshold: 150
          # Without the database a pod takes no jobs, but a restart would not mend that.
          readinessProbe:
            httpGet: {path: /health, port: http}
            periodSeconds: 5
            timeoutSeconds: 5
          livenessProbe:
            httpGet: {path: /health/live, port: http}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          # Until the Service's rules lead no more clients here.
          lifecycle:
            preStop:
              exec: {command: [sleep, "5"]}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: settings, mountPath: /etc/imgserve, readOnly: true}
            - {name: queue, mountPath: /run/secrets/queue, readOnly: true}
            - {name: keys, mountPath: /run/secrets/keys, readOnly: true}
            {{- if .Values.queue.caSecret }}
            - {name: queue-ca, mountPath: /run/secrets/queue-ca, readOnly: true}
            {{- end }}
            {{- range .Values.secrets }}
            - {name: secret-{{ . }}, mountPath: /run/secrets/{{ . }}, readOnly: true}
            {{- end }}
      volumes:
        # The pid file, the control socket and the queue's lock: nothing that must outlive the pod.
        - name: data
          emptyDir: {}
        - name: settings
          configMap: {name: {{ .Release.Name }}}
        - name: queue
          secret: {secretName: {{ .Values.queue.passwordSecret }}, defaultMode: 0440}
        - name: keys
          secret: {secretName: {{ .Values.keysSecret }}, defaultMode: 0440}
        {{- with .Values.queue.caSecret }}
        - name: queue-ca
          secret: {secretName: {{ . }}, defaultMode: 0440}
        {{- end }}
        {{- range .Values.secrets }}
        - name: secret-{{ . }}
          secret: {secretName: {{ . }}, defaultMode: 0440}
        {{- end }}
      {{- with .Values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .Release.Name }}-{{ .role }}
  labels: {{- include "imgserve.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "imgserve.selector" (list .Release.Name .role) | nindent 6 }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Release.Name }}-{{ .role }}
  labels: {{- include "imgserve.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "imgserve.selector" (list .Release.Name .role) | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: {{- concat (eq .role "api" | ternary .Values.network.clients list) .Values.network.monitoring | toYaml | nindent 8 }}
      ports: [{port: http}]
  egress:
    - to: {{- toYaml .Values.network.dns | nindent 8 }}
      ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    - to: {{- toYaml .Values.network.database | nindent 8 }}
      ports: {{- range .Values.network.databasePorts }}
        - port: {{ . }}
        {{- end }}
    - to: {{- toYaml .Values.network.transfers | nindent 8 }}
      ports: {{- range .Values.network.transferPorts }}
        - port: {{ . }}
        {{- end }}
{{- end }}
