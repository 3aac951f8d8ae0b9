# One key for node disks, Kubernetes' secrets, logs, the file system of homes, backups and images. (Buckets use the store's own key,
# buckets.tf; volumes that the EBS driver makes use the account's key for volumes.) Rotated yearly by AWS; deleting it would lose the data,
# hence the longest waiting time.
data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_283: "*" is everybody of this account who comes through EC2, as the last statement's conditions say
  # checkov:skip=CKV_AWS_109: a key policy speaks only of its own key; "*" is the key itself
  # checkov:skip=CKV_AWS_111: as above
  # checkov:skip=CKV_AWS_356: as above
  statement {
    sid       = "AccountAdministersTheKey"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "LogsUseTheKey"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnLike"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${var.region}:${local.account}:*"]
    }
  }

  statement {
    # The role that starts nodes (AWSServiceRoleForAutoScaling) has no KMS rights of its own, so naming the account is not enough for it:
    # nodes would end with Client.InternalError. It cannot be named here either, for a new account has it only after its first node group.
    # These are the words that AWS's own key for volumes has.
    sid       = "NodesUseTheKeyForTheirDisks"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["*"]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:CallerAccount"
      values   = [local.account]
    }
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["ec2.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "${var.name}: everything at rest"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
