terraform {
  # 1.7: mock_provider in terraform test; 1.10: S3 state locking without a DynamoDB table.
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.80, < 7.0"
    }
  }

  # Partial on purpose: `terraform init -backend-config=examples/backend.hcl` names the bucket that bootstrap/ made.
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    tags = local.tags
  }
}
