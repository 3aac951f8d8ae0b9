# What runs where: node groups with the labels and taints that the JupyterHub and Dask Gateway charts look for.
# No provider: labels, taints, autoscaler tags and the memory ladder are plain data, tested as such.
variable "user_instance_types" {
  description = "Ladder step to instance type."
  type        = map(string)
}

variable "dask_instance_types" {
  description = "Spot types of the workers."
  type        = list(string)
}

variable "gpu_instance_type" {
  description = "GPU type or null."
  type        = string
  default     = null
}

variable "limits" {
  description = "Fewest and most nodes: user_min, user_max, dask_max, gpu_max."
  type        = object({ user_min = number, user_max = number, dask_max = number, gpu_max = number })
}

variable "memory_gib" {
  description = "Memory of an instance type in GiB where the table below does not know it."
  type        = map(number)
  default     = {}
}

locals {
  # GiB a type, from its published size; a type that is missing is refused by name rather than guessed.
  known_memory = merge({
    "m6i.large"   = 8, "m6i.xlarge" = 16, "m6i.2xlarge" = 32, "m6i.4xlarge" = 64
    "r5.large"    = 16, "r5.xlarge" = 32, "r5.2xlarge" = 64, "r5.4xlarge" = 128
    "r6i.large"   = 16, "r6i.xlarge" = 32, "r6i.2xlarge" = 64, "r6i.4xlarge" = 128, "r6i.8xlarge" = 256
    "r6a.xlarge"  = 32, "r6a.4xlarge" = 128, "r7i.xlarge" = 32, "r7i.2xlarge" = 64, "r7i.4xlarge" = 128
    "g4dn.xlarge" = 16, "g5.xlarge" = 16, "g6.xlarge" = 16
  }, var.memory_gib)

  known_cpus = {
    "m6i.large"   = 2, "m6i.xlarge" = 4, "m6i.2xlarge" = 8, "m6i.4xlarge" = 16
    "r5.large"    = 2, "r5.xlarge" = 4, "r5.2xlarge" = 8, "r5.4xlarge" = 16
    "r6i.large"   = 2, "r6i.xlarge" = 4, "r6i.2xlarge" = 8, "r6i.4xlarge" = 16, "r6i.8xlarge" = 32
    "r6a.xlarge"  = 4, "r6a.4xlarge" = 16, "r7i.xlarge" = 4, "r7i.2xlarge" = 8, "r7i.4xlarge" = 16
    "g4dn.xlarge" = 4, "g5.xlarge" = 4, "g6.xlarge" = 4
  }

  # Kubelet and system keep about 7 % of a node plus 1 GiB; daemonsets (CNI, CSI, logs) another half GiB.
  allocatable = { for step, type in var.user_instance_types : step => lookup(local.known_memory, type, 0) * 0.93 - 1.5 }

  first_step = sort(keys(var.user_instance_types))[length(var.user_instance_types) - 1]

  user_taints = [
    # Both spellings: the slash form is what Kubernetes writes, the underscore form what clouds that refuse slashes get.
    { key = "hub.jupyter.org/dedicated", value = "user", effect = "NO_SCHEDULE" },
    { key = "hub.jupyter.org_dedicated", value = "user", effect = "NO_SCHEDULE" },
  ]

  core = { core = {
    types  = ["m6i.xlarge"], spot = false, min = 1, max = 3, purpose = "core", zones = "first", gpu = false
    labels = { "hub.jupyter.org/node-purpose" = "core", "k8s.dask.org/node-purpose" = "core" }
    taints = []
  } }

  users = { for step, type in var.user_instance_types : "user-${step}" => {
    types = [type], spot = false, purpose = "user", zones = "first", gpu = false
    min   = step == local.first_step ? var.limits.user_min : 0
    max   = var.limits.user_max
    # Dask schedulers run on user nodes: a scheduler lost to spot loses the whole computation.
    labels = { "hub.jupyter.org/node-purpose" = "user", "k8s.dask.org/node-purpose" = "scheduler", "vadose.org/ladder" = step }
    taints = local.user_taints
  } }

  dask = { dask = {
    types  = var.dask_instance_types, spot = true, min = 0, max = var.limits.dask_max, purpose = "dask", zones = "first", gpu = false
    labels = { "k8s.dask.org/node-purpose" = "worker" }
    taints = [
      { key = "k8s.dask.org/dedicated", value = "worker", effect = "NO_SCHEDULE" },
      { key = "k8s.dask.org_dedicated", value = "worker", effect = "NO_SCHEDULE" },
    ]
  } }

  gpu = var.gpu_instance_type == null ? {} : { gpu = {
    # All zones: GPU capacity is scarce.
    types  = [var.gpu_instance_type], spot = false, min = 0, max = var.limits.gpu_max, purpose = "gpu", zones = "all", gpu = true
    labels = { "hub.jupyter.org/node-purpose" = "user", "k8s.amazonaws.com/accelerator" = "nvidia", "vadose.org/ladder" = "gpu" }
    taints = concat(local.user_taints, [{ key = "nvidia.com/gpu", value = "present", effect = "NO_SCHEDULE" }])
  } }

  groups = merge(local.core, local.users, local.dask, local.gpu)
}

output "groups" {
  description = "Node groups by name."
  value       = local.groups

  precondition {
    condition     = alltrue([for type in concat(values(var.user_instance_types), var.gpu_instance_type == null ? [] : [var.gpu_instance_type]) : contains(keys(local.known_memory), type)])
    error_message = "An instance type is not in the memory table: add it with memory_gib = { \"type\" = GiB }. Known: ${join(", ", sort(keys(local.known_memory)))}."
  }
}

output "autoscaler_tags" {
  description = "Group to the tags that let the cluster autoscaler start a group from zero nodes."
  value = { for name, group in local.groups : name => merge(
    { for key, value in group.labels : "k8s.io/cluster-autoscaler/node-template/label/${key}" => value },
    { for taint in group.taints : "k8s.io/cluster-autoscaler/node-template/taint/${taint.key}" => "${taint.value}:NoSchedule" },
    group.gpu ? { "k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu" = "1" } : {},
  ) }
}

output "ladder" {
  description = "Profiles: from all of a node down by halves, memory guarantee equal to limit, processors in proportion, in the form that the chart's `profiles.ladder` takes."
  value = flatten([for step, type in var.user_instance_types : [for share in [1, 2, 4, 8] : {
    name        = "${step}-${share}"
    step        = step
    memory_gib  = floor(local.allocatable[step] / share * 10) / 10
    cpu         = max(0.05, floor(lookup(local.known_cpus, type, 0) / share * 0.95 * 100) / 100)
    cpu_limit   = lookup(local.known_cpus, type, 0)
    node_labels = { "vadose.org/ladder" = step }
  } if local.allocatable[step] / share >= 1.5]])
}

output "default_step" {
  description = "Ladder step that is chosen when nobody chooses: the smallest of the first type that gives at least 6 GiB, else its largest."
  value = try([
    for share in [8, 4, 2, 1] : "${local.first_step}-${share}" if local.allocatable[local.first_step] / share >= 6
  ][0], "${local.first_step}-1")
}
