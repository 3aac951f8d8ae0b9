# Made once, by hand, before everything else: the bucket that remembers what the rest has built.
#   terraform -chdir=terraform/aws/bootstrap init && terraform -chdir=terraform/aws/bootstrap apply -var name=vadose
terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
}

variable "name" {
  description = "The deployment's name, as in the main configuration."
  type        = string
  default     = "vadose"
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "us-west-2"
}

data "aws_caller_identity" "this" {}

resource "aws_s3_bucket" "state" {
  # checkov:skip=CKV_AWS_144: versions protect the state; a second region would not help a deployment in one
  # checkov:skip=CKV_AWS_18: CloudTrail records who touched the state
  # checkov:skip=CKV2_AWS_62: nothing listens to bucket events
  # checkov:skip=CKV2_AWS_61: every version of the state is kept; they are small
  # checkov:skip=CKV_AWS_145: the KMS key of the deployment is made by what this bucket remembers
  bucket = "${var.name}-terraform-${data.aws_caller_identity.this.account_id}"
  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_s3_bucket_versioning" "state" {
  bucket = aws_s3_bucket.state.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "state" {
  bucket = aws_s3_bucket.state.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "state" {
  bucket                  = aws_s3_bucket.state.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

output "backend" {
  description = "Write this to examples/backend.hcl."
  value       = <<-EOT
    bucket       = "${aws_s3_bucket.state.id}"
    key          = "vadose/terraform.tfstate"
    region       = "${var.region}"
    encrypt      = true
    use_lockfile = true
  EOT
}
