# Pod identities: a role a service account, each with the least it needs. No keys are stored anywhere.
locals {
  roles = {
    user-sa            = { namespace = var.namespace, policy = module.policies.user }
    hub-backup         = { namespace = var.namespace, policy = module.policies.backup }
    cluster-autoscaler = { namespace = "kube-system", policy = module.policies.autoscaler }
  }
  managed = merge(
    { ebs-csi-controller-sa = "service-role/AmazonEBSCSIDriverPolicy" },
    var.home_storage == "efs" ? { efs-csi-controller-sa = "service-role/AmazonEFSCSIDriverPolicy" } : {},
  )
}

resource "aws_iam_role" "pod" {
  for_each           = merge({ for name, role in local.roles : name => role.namespace }, { for name, _ in local.managed : name => "kube-system" })
  name_prefix        = "${var.name}-${substr(each.key, 0, 16)}-"
  assume_role_policy = module.policies.trust[each.key]
}

resource "aws_iam_role_policy" "pod" {
  for_each = local.roles
  name     = each.key
  role     = aws_iam_role.pod[each.key].id
  policy   = each.value.policy
}

resource "aws_iam_role_policy_attachment" "pod" {
  for_each   = local.managed
  role       = aws_iam_role.pod[each.key].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/${each.value}"
}

resource "aws_eks_pod_identity_association" "this" {
  for_each        = aws_iam_role.pod
  cluster_name    = aws_eks_cluster.this.name
  namespace       = contains(keys(local.roles), each.key) ? local.roles[each.key].namespace : "kube-system"
  service_account = each.key
  role_arn        = each.value.arn
}
