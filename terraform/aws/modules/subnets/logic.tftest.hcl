variables {
  cidr  = "10.42.0.0/16"
  zones = ["us-west-2a", "us-west-2b"]
}

# 10.42.0.0/16 cut by 3 bits: /19 of 8192 addresses at .0, .32; the last /20 (.240) cut by 4 bits: /24.
run "ranges_are_as_computed_by_hand" {
  command = plan
  assert {
    condition     = output.private == { "us-west-2a" = "10.42.0.0/19", "us-west-2b" = "10.42.32.0/19" }
    error_message = "private ranges"
  }
  assert {
    condition     = output.public == { "us-west-2a" = "10.42.240.0/24", "us-west-2b" = "10.42.241.0/24" }
    error_message = "public ranges"
  }
}

run "no_range_twice" {
  command = plan
  variables {
    zones = ["a", "b", "c", "d"]
  }
  assert {
    condition     = length(distinct(concat(values(output.private), values(output.public)))) == 8
    error_message = "ranges collide"
  }
}
