# Two buckets: scratch forgets by itself, data remembers.
locals {
  buckets = {
    scratch = { name = local.scratch_bucket, versions = false }
    data    = { name = local.data_bucket, versions = true }
  }
}

resource "aws_s3_bucket" "this" {
  # checkov:skip=CKV_AWS_21: scratch keeps no versions, for it is meant to forget; data does
  # checkov:skip=CKV_AWS_144: one region; data that must outlive the project is archived with a repository (vadose archive)
  # checkov:skip=CKV2_AWS_62: nothing listens to bucket events
  # checkov:skip=CKV_AWS_18: who read what is recorded by CloudTrail data events where an institution needs it; access logs would hold user names
  for_each      = local.buckets
  bucket        = each.value.name
  force_destroy = each.key == "scratch" || !var.deletion_protection
  tags          = { "vadose:purpose" = each.key }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# SSE-S3, not the KMS key: workers read millions of chunks, and each would be a billed KMS request.
resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  # checkov:skip=CKV_AWS_145: see above
  for_each = aws_s3_bucket.this
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.this["data"].id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "scratch" {
  bucket = aws_s3_bucket.this["scratch"].id
  rule {
    id     = "forget"
    status = "Enabled"
    filter {}
    expiration {
      days = var.scratch_days
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket     = aws_s3_bucket.this["data"].id
  depends_on = [aws_s3_bucket_versioning.data]
  rule {
    id     = "thin-old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = 90
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }
  rule {
    id     = "hub-backups"
    status = "Enabled"
    filter {
      prefix = "hub-backups/"
    }
    expiration {
      days = var.backup_days
    }
  }
}

resource "aws_s3_bucket_policy" "tls_only" {
  for_each   = local.buckets
  bucket     = aws_s3_bucket.this[each.key].id
  policy     = module.policies.tls_only[each.value.name]
  depends_on = [aws_s3_bucket_public_access_block.this]
}
