variables {
  user_instance_types = { small = "r6i.xlarge", large = "r6i.4xlarge" }
  dask_instance_types = ["r6i.4xlarge", "r5.4xlarge"]
  limits              = { user_min = 0, user_max = 20, dask_max = 30, gpu_max = 4 }
}

run "workers_are_spot_and_schedulers_are_not" {
  command = plan
  assert {
    condition     = output.groups["dask"].spot && alltrue([for name, g in output.groups : !g.spot if name != "dask"])
    error_message = "only Dask workers may run on spot"
  }
  assert {
    condition     = alltrue([for name, g in output.groups : g.labels["k8s.dask.org/node-purpose"] == "scheduler" if startswith(name, "user-")])
    error_message = "schedulers belong on user nodes"
  }
}

run "every_user_node_refuses_other_pods" {
  command = plan
  assert {
    condition     = alltrue([for name, g in output.groups : contains([for t in g.taints : "${t.key}=${t.value}"], "hub.jupyter.org/dedicated=user") if startswith(name, "user-")])
    error_message = "user nodes need the dedicated=user taint"
  }
  assert {
    condition     = length(output.groups["core"].taints) == 0 && output.groups["core"].min >= 1
    error_message = "core must always run and accept every system pod"
  }
}

run "no_gpu_unless_asked" {
  command = plan
  assert {
    condition     = !contains(keys(output.groups), "gpu")
    error_message = "a GPU group appeared without being asked for"
  }
}

run "gpu_starts_from_zero" {
  command = plan
  variables {
    gpu_instance_type = "g4dn.xlarge"
  }
  assert {
    condition     = output.autoscaler_tags["gpu"]["k8s.io/cluster-autoscaler/node-template/resources/nvidia.com/gpu"] == "1"
    error_message = "without the resource tag the autoscaler never starts a GPU node from zero"
  }
  assert {
    condition     = output.groups["gpu"].zones == "all" && output.groups["gpu"].min == 0
    error_message = "GPU nodes span zones and start from zero"
  }
}

run "every_label_and_taint_has_an_autoscaler_tag" {
  command = plan
  assert {
    condition     = alltrue([for name, g in output.groups : length(output.autoscaler_tags[name]) == length(g.labels) + length(g.taints)])
    error_message = "a label or taint has no autoscaler tag"
  }
}

# r6i.xlarge: 32 GiB * 0.93 - 1.5 = 28.26; halves 14.13, 7.065, 3.5325 -> 28.2, 14.1, 7.0, 3.5
run "ladder_halves_what_a_node_can_give" {
  command = plan
  assert {
    condition     = [for p in output.ladder : p.memory_gib if p.step == "small"] == [28.2, 14.1, 7, 3.5]
    error_message = "ladder of r6i.xlarge should be 28.2, 14.1, 7, 3.5 GiB"
  }
  assert {
    condition     = alltrue([for p in output.ladder : p.cpu > 0 && p.cpu <= p.cpu_limit])
    error_message = "a processor guarantee of 0 lets even print() hang"
  }
}

run "unknown_type_is_refused_by_name" {
  command = plan
  variables {
    user_instance_types = { odd = "z9.mega" }
  }
  expect_failures = [output.groups]
}

run "the_default_step_is_one_of_the_ladder_and_gives_six_gib" {
  command = plan
  assert {
    condition     = one([for p in output.ladder : p.memory_gib if p.name == output.default_step]) >= 6
    error_message = "the step that nobody chooses must carry a notebook"
  }
}
