# The whole stack with a pretended AWS: what is planned, and what is refused.
mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
}

variables {
  budget_emails = ["costs@university.example"]
}

run "nothing_is_public_by_default" {
  command = plan
  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].endpoint_private_access
    error_message = "the Kubernetes API must not be public by default"
  }
  assert {
    condition     = alltrue([for b in aws_s3_bucket_public_access_block.this : b.block_public_acls && b.block_public_policy && b.ignore_public_acls && b.restrict_public_buckets])
    error_message = "buckets must block public access"
  }
  assert {
    condition     = alltrue([for t in aws_launch_template.node : t.metadata_options[0].http_tokens == "required" && t.metadata_options[0].http_put_response_hop_limit == 1])
    error_message = "pods must not reach the node's credentials"
  }
  assert {
    condition     = alltrue([for s in aws_subnet.public : !s.map_public_ip_on_launch])
    error_message = "nothing gets a public address by default"
  }
}

run "everything_at_rest_is_encrypted" {
  command = plan
  variables {
    home_storage = "efs"
  }
  assert {
    condition     = aws_efs_file_system.homes[0].encrypted && alltrue([for t in aws_launch_template.node : t.block_device_mappings[0].ebs[0].encrypted == "true"])
    error_message = "disks must be encrypted"
  }
  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].resources == toset(["secrets"]) && aws_kms_key.this.enable_key_rotation
    error_message = "Kubernetes secrets must be encrypted with a rotating key"
  }
}

run "scratch_forgets_and_data_remembers" {
  command = plan
  assert {
    condition     = aws_s3_bucket_lifecycle_configuration.scratch.rule[0].expiration[0].days == 7
    error_message = "scratch should forget after a week"
  }
  assert {
    condition     = aws_s3_bucket_versioning.data.versioning_configuration[0].status == "Enabled" && !aws_s3_bucket.this["data"].force_destroy
    error_message = "the data bucket keeps versions and cannot be destroyed by mistake"
  }
}

run "a_class_can_be_taken_away" {
  command = plan
  variables {
    deletion_protection = false
  }
  assert {
    condition     = alltrue([for r in aws_ecr_repository.image : r.force_delete]) && alltrue([for b in aws_s3_bucket.this : b.force_destroy]) && aws_backup_vault.homes.force_destroy
    error_message = "terraform destroy would stop at what is not empty"
  }
}

run "the_budget_warns_four_times" {
  command = plan
  assert {
    condition     = length(aws_budgets_budget.month.notification) == 4
    error_message = "50, 80, 100 % of real and 100 % of forecast cost"
  }
}

run "homes_on_a_file_system_belong_to_the_image_s_user" {
  command = plan
  variables {
    home_storage = "efs"
  }
  assert {
    condition     = aws_efs_access_point.homes[0].posix_user[0].uid == 1000 && aws_efs_access_point.homes[0].root_directory[0].creation_info[0].owner_uid == 1000
    error_message = "a new home on the file system must belong to user 1000"
  }
}

run "who_starts_nodes_may_use_the_key_and_nobody_from_elsewhere" {
  command = plan
  assert {
    condition = alltrue([for s in data.aws_iam_policy_document.key.statement :
    length(setsubtract(["kms:CallerAccount", "kms:ViaService"], [for c in s.condition : c.variable])) == 0 if anytrue([for p in s.principals : contains(p.identifiers, "*")])])
    error_message = "a statement for everybody must be bound to this account and to EC2"
  }
  assert {
    condition     = anytrue([for s in data.aws_iam_policy_document.key.statement : contains(s.actions, "kms:CreateGrant") && anytrue([for p in s.principals : contains(p.identifiers, "*")])])
    error_message = "the service role of Auto Scaling has no KMS rights of its own: the key must grant them"
  }
}

run "homes_on_volumes" {
  command = plan
  assert {
    condition     = length(aws_efs_file_system.homes) == 0 && !contains(keys(aws_eks_addon.this), "aws-efs-csi-driver")
    error_message = "no file system is paid for when homes are volumes"
  }
}

run "named_networks_may_reach_the_api" {
  command = plan
  variables {
    api_access_cidrs = ["192.0.2.0/24"]
  }
  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access && aws_eks_cluster.this.vpc_config[0].public_access_cidrs == toset(["192.0.2.0/24"])
    error_message = "the public endpoint is limited to the named networks"
  }
}

run "the_world_may_not" {
  command = plan
  variables {
    api_access_cidrs = ["0.0.0.0/0"]
  }
  expect_failures = [var.api_access_cidrs]
}

run "an_unwatched_budget_is_refused" {
  command = plan
  variables {
    budget_emails = []
  }
  expect_failures = [var.budget_emails]
}

run "a_single_spot_type_is_refused" {
  command = plan
  variables {
    dask_instance_types = ["r6i.4xlarge"]
  }
  expect_failures = [var.dask_instance_types]
}
