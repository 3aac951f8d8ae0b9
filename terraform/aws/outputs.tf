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
      homes = { kind = var.home_storage, fileSystemId = var.home_storage == "efs" ? aws_efs_file_system.homes[0].id : "" }
    }, var.registry ? { images = { registry = local.image_registry } } : {})
    jupyterhub = { singleuser = merge(
      { storage = { type = var.home_storage == "efs" ? "static" : "dynamic" } },
      var.registry ? { image = { name = "${local.image_registry}/notebook" } } : {},
    ) }
  })
}

output "buckets" {
  description = "Names of the scratch and the data bucket."
  value       = { for key, bucket in aws_s3_bucket.this : key => bucket.id }
}
