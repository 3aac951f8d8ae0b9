# IAM policy documents as plain JSON, so that tests assert on what is evaluated, not on how it was written.
variable "partition" {
  description = "aws, aws-cn or aws-us-gov."
  type        = string
  default     = "aws"
}

variable "scratch_bucket" {
  description = "Name of the scratch bucket."
  type        = string
}

variable "data_bucket" {
  description = "Name of the data bucket."
  type        = string
}

variable "namespace" {
  description = "Namespace that pod identities are bound to."
  type        = string
}

variable "cluster_name" {
  description = "Name of the EKS cluster."
  type        = string
}

variable "account" {
  description = "AWS account number."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

locals {
  arn = "arn:${var.partition}:s3:::"
  # Objects only: nobody on the hub can change a bucket's policy, lifecycle, encryption or versions.
  object_write = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]

  trust = { for account in ["user-sa", "cluster-autoscaler", "ebs-csi-controller-sa", "efs-csi-controller-sa", "hub-backup"] : account => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = { StringEquals = {
        "aws:RequestTag/kubernetes-namespace"       = contains(["user-sa", "hub-backup"], account) ? var.namespace : "kube-system"
        "aws:RequestTag/kubernetes-service-account" = account
        "aws:RequestTag/eks-cluster-name"           = var.cluster_name
      } }
    }]
  }) }
}

output "trust" {
  description = "Service account to the trust policy of its role: one cluster, one namespace, one account."
  value       = local.trust
}

output "user" {
  description = "What a notebook and its Dask workers may do: own objects in scratch, read the data bucket, nothing else."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "ListBuckets", Effect = "Allow", Action = ["s3:ListBucket", "s3:GetBucketLocation"], Resource = ["${local.arn}${var.scratch_bucket}", "${local.arn}${var.data_bucket}"] },
      { Sid = "Scratch", Effect = "Allow", Action = local.object_write, Resource = ["${local.arn}${var.scratch_bucket}/*"] },
      { Sid = "ReadData", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${local.arn}${var.data_bucket}/*"] },
    ]
  })
}

output "backup" {
  description = "What the nightly copy of the hub database may do: write under one prefix, never read or delete."
  value = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Sid = "PutBackups", Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = ["${local.arn}${var.data_bucket}/hub-backups/*"] }]
  })
}

output "autoscaler" {
  description = "Cluster autoscaler: looks at all groups, changes only those that carry this cluster's tag."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid = "Look", Effect = "Allow", Resource = ["*"]
        Action = [
          "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeLaunchConfigurations",
          "autoscaling:DescribeScalingActivities", "ec2:DescribeImages", "ec2:DescribeInstanceTypes", "ec2:DescribeLaunchTemplateVersions",
          "ec2:GetInstanceTypesFromInstanceRequirements", "eks:DescribeNodegroup",
        ]
      },
      {
        Sid       = "Scale", Effect = "Allow"
        Action    = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
        Resource  = ["arn:${var.partition}:autoscaling:${var.region}:${var.account}:autoScalingGroup:*:autoScalingGroupName/*"]
        Condition = { StringEquals = { "aws:ResourceTag/k8s.io/cluster-autoscaler/${var.cluster_name}" = "owned" } }
      },
    ]
  })
}

output "tls_only" {
  description = "Bucket to a policy that refuses plain HTTP."
  value = { for bucket in [var.scratch_bucket, var.data_bucket] : bucket => jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TLSOnly", Effect = "Deny", Principal = "*", Action = "s3:*"
      Resource  = ["${local.arn}${bucket}", "${local.arn}${bucket}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  }) }
}
