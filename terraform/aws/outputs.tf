output "kubeconfig_command" {
  description = "Run this to talk to the cluster."
  value       = "aws eks update-kubeconfig --region ${var.region} --name ${aws_eks_cluster.this.name}"
}

output "chart_values" {
  description = "What the chart must know about this deployment: `terraform output -raw chart_values > from-terraform.yaml`, then `helm upgrade --install ... -f from-terraform.yaml`."
  value = yamlencode({
    vadose = merge({
      cloud = {
        deployment    = var.name
        region        = var.region
        scratchBucket = local.scratch_bucket
        scratchDays   = var.scratch_days
        dataBucket    = local.data_bucket
      }
      profiles = {
        ladder = [for p in module.nodes.ladder : {
          name = p.name, memoryGiB = p.memory_gib, cpu = p.cpu, cpuLimit = p.cpu_limit, nodeSelector = p.node_labels
        }]
        default = module.nodes.default_step
        gpu     = { enabled = var.gpu_instance_type != null }
      }
      homes = {
        kind          = var.home_storage
        fileSystemId  = var.home_storage == "efs" ? aws_efs_file_system.homes[0].id : ""
        accessPointId = var.home_storage == "efs" ? aws_efs_access_point.homes[0].id : ""
      }
    }, var.registry ? { images = { registry = local.image_registry } } : {})
    jupyterhub = { singleuser = merge(
      { storage = { type = var.home_storage == "efs" ? "static" : "dynamic" } },
      var.registry ? { image = { name = "${local.image_registry}/notebook" } } : {},
    ) }
  })
}

output "autoscaler_command" {
  description = "Run this once: node groups start from zero, and nothing else on the cluster starts or stops nodes. Its role is bound to this service account."
  value = join(" ", [
    "helm upgrade --install cluster-autoscaler cluster-autoscaler --repo https://kubernetes.github.io/autoscaler --namespace kube-system",
    "--set cloudProvider=aws --set awsRegion=${var.region} --set autoDiscovery.clusterName=${var.name}",
    "--set rbac.serviceAccount.name=cluster-autoscaler",
    # A node that it may take away is no place for it.
    "--set nodeSelector.hub\\.jupyter\\.org/node-purpose=core",
  ])
}

output "buckets" {
  description = "Names of the scratch and the data bucket."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.id }
}
