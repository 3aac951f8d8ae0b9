# The shape of one deployment. Resources live in one file a topic; what can be computed without AWS lives in modules/.
data "aws_caller_identity" "this" {}
data "aws_partition" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  partition = data.aws_partition.this.partition
  tags      = merge({ "vadose:deployment" = var.name, "managed-by" = "terraform" }, var.tags)

  # Bucket names are global: the account number makes them ours.
  scratch_bucket = "${var.name}-scratch-${local.account}"
  data_bucket    = "${var.name}-data-${local.account}"
  image_registry = "${local.account}.dkr.ecr.${var.region}.amazonaws.com/${var.name}"
}

module "subnets" {
  source = "./modules/subnets"
  cidr   = var.vpc_cidr
  zones  = var.zones
}

module "nodes" {
  source              = "./modules/nodes"
  user_instance_types = var.user_instance_types
  dask_instance_types = var.dask_instance_types
  gpu_instance_type   = var.gpu_instance_type
  limits              = { user_min = var.user_nodes_min, user_max = var.user_nodes_max, dask_max = var.dask_nodes_max, gpu_max = var.gpu_nodes_max }
}

module "policies" {
  source         = "./modules/policies"
  partition      = local.partition
  account        = local.account
  region         = var.region
  scratch_bucket = local.scratch_bucket
  data_bucket    = local.data_bucket
  namespace      = var.namespace
  cluster_name   = var.name
}
