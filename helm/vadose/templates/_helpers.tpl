{{/* Labels that every object of this chart carries. */}}
{{- define "vadose.labels" -}}
app.kubernetes.io/part-of: vadose
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The one image: notebook, scheduler, worker, catalog, jobs. */}}
{{- define "vadose.image" -}}
{{ .Values.jupyterhub.singleuser.image.name }}:{{ .Values.jupyterhub.singleuser.image.tag }}
{{- end }}

{{/* The name that the Dask Gateway chart gives its objects; its rule, repeated because a parent cannot ask a child. */}}
{{- define "vadose.gatewayName" -}}
{{- $over := dig "fullnameOverride" "" (index .Values "dask-gateway") -}}
{{- if $over -}}{{ $over | trunc 63 | trimSuffix "-" }}
{{- else if contains "dask-gateway" .Release.Name -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-dask-gateway" .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "vadose.traefik" -}}
{{ include "vadose.gatewayName" . | printf "traefik-%s" | trunc 63 | trimSuffix "-" }}.{{ .Release.Namespace }}
{{- end }}

{{/* "yes" where this chart makes the storage class for volumes of AWS: homes, the hub's database or both are asked to live on it. */}}
{{- define "vadose.ownClass" -}}
{{- $homes := and (eq .Values.vadose.homes.kind "ebs") (eq (dig "dynamic" "storageClass" "" .Values.jupyterhub.singleuser.storage | default "") "vadose-home") -}}
{{- if or $homes (eq (dig "db" "pvc" "storageClassName" "" .Values.jupyterhub.hub | default "") "vadose-home") -}}yes{{- end -}}
{{- end }}

{{/* Claims of this chart's own services: encrypted, tagged and backed up as homes are. Elsewhere the cluster's default class; EKS has none. */}}
{{- define "vadose.claimClass" -}}
{{- if include "vadose.ownClass" . }}
storageClassName: vadose-home
{{- end }}
{{- end }}

{{/* Nobody's root, nothing more than the process needs. */}}
{{- define "vadose.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
seccompProfile: { type: RuntimeDefault }
{{- end }}

{{- define "vadose.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "vadose.onCore" -}}
{{- if eq (dig "scheduling" "corePods" "nodeAffinity" "matchNodePurpose" "prefer" .Values.jupyterhub) "require" }}
nodeSelector: { hub.jupyter.org/node-purpose: core }
{{- end }}
{{- end }}

{{/* What the hub's file reads. No secret is in it. */}}
{{- define "vadose.hubSettings" -}}
{{- $v := .Values.vadose -}}
{{- $services := dict "dask-gateway" (printf "http://%s" (include "vadose.traefik" .)) -}}
{{- $environment := dict -}}
{{- if $v.catalog.enabled -}}
{{- $_ := set $services "stac" (printf "http://vadose-catalog.%s:8080" .Release.Namespace) -}}
{{- $_ := set $environment "VADOSE_CATALOG" (printf "http://vadose-catalog.%s:8080/services/stac" .Release.Namespace) -}}
{{- end -}}
{{- if $v.citizen.enabled -}}
{{- $_ := set $services "citizen" (printf "http://vadose-citizen.%s:8080" .Release.Namespace) -}}
{{- end -}}
{{- $image := pick .Values.jupyterhub.singleuser.image "name" "tag" -}}
{{- dict "kind" "kubernetes"
  "image" $image
  "images" $v.images
  "ladder" $v.profiles.ladder
  "default_step" $v.profiles.default
  "gpu" $v.profiles.gpu
  "cloud" $v.cloud
  "runtime_outside_home" $v.homes.runtimeOutsideHome
  "login" $v.login
  "login_notice" (ternary "A class: the password was given to you by the teacher." "" $v.workshop.enabled)
  "default_url" .Values.jupyterhub.singleuser.defaultUrl
  "citizen" $v.citizen.enabled
  "gateway" (dict "address" (printf "http://%s/services/dask-gateway" (include "vadose.traefik" .)) "proxy_address" (printf "gateway://%s:80" (include "vadose.traefik" .)))
  "services" $services
  "environment" $environment | toPrettyJson }}
{{- end }}

{{/* What the gateway's file reads. */}}
{{- define "vadose.gatewaySettings" -}}
{{- $v := .Values.vadose -}}
{{- $d := $v.dask -}}
{{- $workers := list -}}
{{- range $d.workers }}{{ $workers = append $workers (dict "cores" .cores "memory_gib" .memoryGiB) }}{{ end -}}
{{- $registry := $v.images.registry | trimSuffix "/" -}}
{{- $images := list -}}
{{- range $title, $spec := $v.images.choices -}}
{{- $images = append $images (ternary $spec (printf "%s/%s" $registry $spec) (or (contains "/" $spec) (eq $registry ""))) -}}
{{- end -}}
{{- dict "kind" "kubernetes"
  "image" (include "vadose.image" .)
  "images" $images
  "any_image" $v.images.bringYourOwn
  "idle_minutes" $d.idleMinutes
  "caps" (dict "workers" $d.maxWorkersPerCluster "cores" $d.maxCoresPerCluster "memory_gib" $d.maxMemoryGiBPerCluster "clusters_per_user" $d.maxClustersPerUser)
  "workers" $workers
  "scheduler" (dict "cores" $d.scheduler.cores "cores_limit" $d.scheduler.coresLimit "memory_gib" $d.scheduler.memoryGiB)
  "service_account" .Values.jupyterhub.singleuser.serviceAccountName
  "worker_node_selector" ($d.workerNodeSelector | default dict)
  "scheduler_node_selector" ($d.schedulerNodeSelector | default dict)
  "cloud" $v.cloud
  "log_level" (index .Values "dask-gateway" "gateway" "loglevel") | toPrettyJson }}
{{- end }}

{{/* Names, the pod-identity agent, and the Internet without any private network: not other pods, not nodes, not the metadata service. */}}
{{- define "vadose.egressToTheWorld" -}}
- to:
    - namespaceSelector:
        matchLabels: { kubernetes.io/metadata.name: kube-system }
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
- to:
    - ipBlock: { cidr: 169.254.170.23/32 }
  ports:
    - { port: 80, protocol: TCP }
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 169.254.0.0/16]
{{- end }}
