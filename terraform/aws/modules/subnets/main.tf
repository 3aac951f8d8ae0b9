# Address ranges of the network, computed from one. No provider: `terraform test` checks it anywhere.
variable "cidr" {
  description = "Range of the whole network."
  type        = string
}

variable "zones" {
  description = "Availability zones in order."
  type        = list(string)
}

locals {
  # The first half is cut into four private ranges (pods live there), the last sixteenth into small public ones (NAT and load balancers).
  private = { for i, zone in var.zones : zone => cidrsubnet(var.cidr, 3, i) }
  public  = { for i, zone in var.zones : zone => cidrsubnet(cidrsubnet(var.cidr, 4, 15), 4, i) }
}

output "private" {
  description = "Zone to private range."
  value       = local.private
}

output "public" {
  description = "Zone to public range."
  value       = local.public
}
