"""vadose beside its peers: the same job, the same data, alternating in one run. A developers' tool, not shipped."""
