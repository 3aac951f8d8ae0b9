# A class's own deployment, what only you know: copy it to terraform/aws/workshop.tfvars. How many nodes of which type, and the budget, are
# in class.tfvars, which `vadose workshop plan --write terraform/aws` makes and which is given after this file (docs/workshop.md).
region           = "us-west-2"
zones            = ["us-west-2a", "us-west-2b"]
budget_emails    = ["teacher@university.example"]
administrators   = ["arn:aws:iam::123456789012:role/hub-admin"]
api_access_cidrs = ["192.0.2.0/24"] # your institute's network
