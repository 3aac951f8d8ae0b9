# Image repositories. Tags are immutable: a profile that names a tag gets the same image for ever.
resource "aws_ecr_repository" "image" {
  for_each             = var.registry ? toset(["notebook", "ml", "benchmark"]) : toset([])
  name                 = "${var.name}/${each.value}"
  image_tag_mutability = "IMMUTABLE"
  # A class's end must not stop at its images.
  force_delete = !var.deletion_protection

  image_scanning_configuration {
    scan_on_push = true
  }
  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }
}

resource "aws_ecr_lifecycle_policy" "image" {
  for_each   = aws_ecr_repository.image
  repository = each.value.name
  policy = jsonencode({ rules = [{
    rulePriority = 1
    description  = "untagged layers of interrupted pushes"
    selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
    action       = { type = "expire" }
  }] })
}
