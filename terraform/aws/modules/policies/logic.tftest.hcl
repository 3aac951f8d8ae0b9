variables {
  scratch_bucket = "vadose-scratch-1"
  data_bucket    = "vadose-data-1"
  namespace      = "vadose"
  cluster_name   = "vadose"
  account        = "123456789012"
  region         = "us-west-2"
}

run "users_write_objects_in_scratch_only" {
  command = plan
  assert {
    condition = alltrue([for s in jsondecode(output.user).Statement :
    s.Resource == ["arn:aws:s3:::vadose-scratch-1/*"] if length(setintersection(s.Action, ["s3:PutObject", "s3:DeleteObject"])) > 0])
    error_message = "write actions beyond the scratch bucket"
  }
  assert {
    condition     = !strcontains(output.user, "s3:*") && !strcontains(output.user, "\"*\"") && !strcontains(output.user, "s3:PutBucket") && !strcontains(output.user, "s3:PutLifecycle")
    error_message = "a user must not be able to change a bucket itself"
  }
}

run "trust_names_cluster_namespace_and_account" {
  command = plan
  assert {
    condition = jsondecode(output.trust["user-sa"]).Statement[0].Condition.StringEquals == {
      "aws:RequestTag/kubernetes-namespace"       = "vadose"
      "aws:RequestTag/kubernetes-service-account" = "user-sa"
      "aws:RequestTag/eks-cluster-name"           = "vadose"
    }
    error_message = "the user role must be assumable by one service account of one cluster"
  }
}

run "backups_are_write_only" {
  command = plan
  assert {
    condition     = !strcontains(output.backup, "GetObject") && !strcontains(output.backup, "DeleteObject")
    error_message = "a stolen backup role must not read or delete"
  }
}

run "autoscaler_changes_only_its_own_groups" {
  command = plan
  assert {
    condition = alltrue([for s in jsondecode(output.autoscaler).Statement :
    can(s.Condition.StringEquals["aws:ResourceTag/k8s.io/cluster-autoscaler/vadose"]) if contains(s.Action, "autoscaling:SetDesiredCapacity")])
    error_message = "scaling must be bound to this cluster's tag"
  }
}
