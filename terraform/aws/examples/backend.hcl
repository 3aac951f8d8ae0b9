# From `terraform -chdir=terraform/aws/bootstrap output -raw backend`; the account number is yours.
bucket       = "vadose-terraform-123456789012"
key          = "vadose/terraform.tfstate"
region       = "us-west-2"
encrypt      = true
use_lockfile = true
