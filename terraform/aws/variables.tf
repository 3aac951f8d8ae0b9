variable "name" {
  description = "Short name of this deployment. It prefixes every resource and is the value of the cost tag, so two deployments in one account stay apart."
  type        = string
  default     = "vadose"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name must be 3 to 20 characters: lower-case letters, digits, dashes; it starts with a letter and ends with a letter or digit."
  }
}

variable "region" {
  description = "AWS region. us-west-2 is where NASA Earthdata lives: direct S3 reads of SMAP, GLDAS, ECOSTRESS work there and only there."
  type        = string
  default     = "us-west-2"
}

variable "tags" {
  description = "More tags for every resource. `vadose:deployment` and `vadose:purpose` are set already; activate all of them as cost allocation tags."
  type        = map(string)
  default     = {}
}

variable "vpc_cidr" {
  description = "Address range of the network. /16 leaves room for some 16,000 pods a zone (the VPC CNI gives every pod an address)."
  type        = string
  default     = "10.42.0.0/16"

  validation {
    condition     = can(cidrsubnet(var.vpc_cidr, 4, 0)) && tonumber(split("/", var.vpc_cidr)[1]) <= 18
    error_message = "vpc_cidr must be an IPv4 range of /18 or larger, for example 10.42.0.0/16."
  }
}

variable "zones" {
  description = "Availability zones, the first of which holds all CPU nodes (volumes and workers in one zone cost no transfer between zones). EKS demands at least two."
  type        = list(string)
  default     = ["us-west-2a", "us-west-2b"]

  validation {
    condition     = length(var.zones) >= 2 && length(var.zones) <= 4 && length(distinct(var.zones)) == length(var.zones)
    error_message = "zones must list two to four different availability zones of the region."
  }
}

variable "kubernetes_version" {
  description = "EKS version. The JupyterHub chart 4.x needs 1.28 or newer, the Dask Gateway chart 1.30 or newer."
  type        = string
  default     = "1.34"

  validation {
    condition     = can(regex("^1\\.(3[0-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be 1.30 or newer, written like 1.34."
  }
}

variable "api_access_cidrs" {
  description = "Address ranges that may reach the Kubernetes API over the Internet, for example your institute's. Empty (the default): the API answers inside the VPC only, and you reach it through a VPN or an SSM session."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for c in var.api_access_cidrs : can(cidrhost(c, 0)) && c != "0.0.0.0/0"])
    error_message = "api_access_cidrs must be CIDR ranges, and never 0.0.0.0/0: name the networks your operators work from."
  }
}

variable "administrators" {
  description = "ARNs of IAM roles (not users) that administer the cluster."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for a in var.administrators : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/", a))])
    error_message = "administrators must be ARNs of IAM roles, such as arn:aws:iam::123456789012:role/hub-admin."
  }
}

variable "user_instance_types" {
  description = "Instance types of the user ladder, one node group each; memory-rich types suit map-sized arrays. Keys are the words users see in the profile list."
  type        = map(string)
  default     = { small = "r6i.xlarge", large = "r6i.4xlarge" }
}

variable "user_nodes_max" {
  description = "Most nodes of each user group. The bill of a day cannot exceed this times the price of the type."
  type        = number
  default     = 20

  validation {
    condition     = var.user_nodes_max >= 1 && var.user_nodes_max <= 200
    error_message = "user_nodes_max must be between 1 and 200; ask AWS for the vCPU quota first."
  }
}

variable "user_nodes_min" {
  description = "Nodes of the first user group that always run. 0 saves money and makes the first login of the day wait about four minutes."
  type        = number
  default     = 0
}

variable "dask_instance_types" {
  description = "Types for Dask workers on spot; several of like size, so that one that AWS takes back can be replaced by another."
  type        = list(string)
  default     = ["r6i.4xlarge", "r6a.4xlarge", "r5.4xlarge"]

  validation {
    condition     = length(var.dask_instance_types) >= 2
    error_message = "dask_instance_types must list at least two types: spot capacity of a single type runs out."
  }
}

variable "dask_nodes_max" {
  description = "Most Dask worker nodes."
  type        = number
  default     = 30
}

variable "gpu_instance_type" {
  description = "GPU type, or null for no GPU group. The vCPU quota for G instances is 0 in new accounts and takes days to weeks to raise."
  type        = string
  default     = null
}

variable "gpu_nodes_max" {
  description = "Most GPU nodes."
  type        = number
  default     = 4
}

variable "home_storage" {
  description = "Where home directories live: `ebs` (one volume a user with a hard quota, one zone) or `efs` (elastic, all zones, no quota, dearer per GiB)."
  type        = string
  default     = "ebs"

  validation {
    condition     = contains(["efs", "ebs"], var.home_storage)
    error_message = "home_storage must be \"efs\" or \"ebs\"."
  }
}

variable "backup_days" {
  description = "Days a nightly backup of the homes is kept."
  type        = number
  default     = 35

  validation {
    condition     = var.backup_days >= 7
    error_message = "backup_days must be at least 7: people notice a lost file on Monday."
  }
}

variable "scratch_days" {
  description = "Days an object lives in the scratch bucket."
  type        = number
  default     = 7

  validation {
    condition     = var.scratch_days >= 1 && var.scratch_days <= 90
    error_message = "scratch_days must be between 1 and 90; what should live longer belongs into the data bucket."
  }
}

variable "registry" {
  description = "Make ECR repositories for the images (true), or pull them from a public registry (false)."
  type        = bool
  default     = true
}

variable "monthly_budget_usd" {
  description = "Budget of a month. Mails go out at 50, 80 and 100 % of real and at 100 % of forecast cost. A budget warns; it does not stop anything."
  type        = number
  default     = 1000

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be positive."
  }
}

variable "budget_emails" {
  description = "Who gets the budget mails. At least one address: an unwatched budget is none."
  type        = list(string)

  validation {
    condition     = length(var.budget_emails) > 0 && alltrue([for m in var.budget_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", m))])
    error_message = "budget_emails must hold at least one mail address."
  }
}

variable "log_days" {
  description = "Days that control-plane and network flow logs are kept."
  type        = number
  default     = 365
}

variable "deletion_protection" {
  description = "Keep backups, the data bucket and images from being destroyed by mistake. Set to false, apply, then destroy."
  type        = bool
  default     = true
}

variable "namespace" {
  description = "Kubernetes namespace that the chart is installed into; pod identities are bound to it."
  type        = string
  default     = "vadose"
}
