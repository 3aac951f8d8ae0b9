# Homes: volumes made by the EBS driver (home_storage = "ebs"), or one elastic file system ("efs"). Both have nightly backups.
resource "aws_efs_file_system" "homes" {
  count            = var.home_storage == "efs" ? 1 : 0
  encrypted        = true
  kms_key_id       = aws_kms_key.this.arn
  performance_mode = "generalPurpose"
  throughput_mode  = "elastic"
  tags             = { Name = "${var.name}-homes", "vadose:purpose" = "homes" }

  lifecycle_policy {
    transition_to_ia = "AFTER_30_DAYS"
  }
  lifecycle_policy {
    transition_to_primary_storage_class = "AFTER_1_ACCESS"
  }
  protection {
    replication_overwrite = "ENABLED"
  }
}

# Everything that comes through it is user 1000, the image's own: on the bare file system the folder that Kubernetes makes for a new
# home would be root's, and nobody could write there.
resource "aws_efs_access_point" "homes" {
  count          = var.home_storage == "efs" ? 1 : 0
  file_system_id = aws_efs_file_system.homes[0].id
  tags           = { Name = "${var.name}-homes", "vadose:purpose" = "homes" }

  posix_user {
    uid = 1000
    gid = 1000
  }
  root_directory {
    path = "/${var.namespace}"
    creation_info {
      owner_uid   = 1000
      owner_gid   = 1000
      permissions = "0755"
    }
  }
}

resource "aws_security_group" "efs" {
  count       = var.home_storage == "efs" ? 1 : 0
  name_prefix = "${var.name}-efs-"
  description = "NFS from the nodes of the cluster and from nowhere else"
  vpc_id      = aws_vpc.this.id

  ingress {
    description     = "NFS from the cluster"
    from_port       = 2049
    to_port         = 2049
    protocol        = "tcp"
    security_groups = [aws_eks_cluster.this.vpc_config[0].cluster_security_group_id]
  }
}

resource "aws_efs_mount_target" "homes" {
  for_each        = var.home_storage == "efs" ? aws_subnet.private : {}
  file_system_id  = aws_efs_file_system.homes[0].id
  subnet_id       = each.value.id
  security_groups = [aws_security_group.efs[0].id]
}

resource "aws_iam_role" "backup" {
  name_prefix = "${var.name}-backup-"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "backup.amazonaws.com" }, Action = ["sts:AssumeRole"] }]
  })
}

resource "aws_iam_role_policy_attachment" "backup" {
  for_each   = toset(["AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForRestores"])
  role       = aws_iam_role.backup.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/${each.value}"
}

resource "aws_backup_vault" "homes" {
  name          = "${var.name}-homes"
  kms_key_arn   = aws_kms_key.this.arn
  force_destroy = !var.deletion_protection
}

resource "aws_backup_plan" "homes" {
  name = "${var.name}-homes"
  rule {
    rule_name         = "nightly"
    target_vault_name = aws_backup_vault.homes.name
    schedule          = "cron(0 10 * * ? *)" # 10:00 UTC: night on the US west coast
    start_window      = 60
    completion_window = 360
    lifecycle {
      delete_after = var.backup_days
    }
  }
}

# By tag, so that it covers the file system and the volumes that the EBS driver makes for users and the hub database.
resource "aws_backup_selection" "homes" {
  name         = "${var.name}-homes"
  iam_role_arn = aws_iam_role.backup.arn
  plan_id      = aws_backup_plan.homes.id
  resources    = ["*"]

  condition {
    string_equals {
      key   = "aws:ResourceTag/vadose:deployment"
      value = var.name
    }
    string_equals {
      key   = "aws:ResourceTag/vadose:purpose"
      value = "homes"
    }
  }
}
