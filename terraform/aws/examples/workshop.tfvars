# A class of 70 for a day; `vadose workshop plan --users 70 --hours 6` explains the numbers.
name                = "vadose-workshop"
region              = "us-west-2"
zones               = ["us-west-2a", "us-west-2b"]
user_instance_types = { class = "r6i.4xlarge" }
user_nodes_min      = 1
user_nodes_max      = 6
dask_nodes_max      = 10
scratch_days        = 2
deletion_protection = false
monthly_budget_usd  = 300
budget_emails       = ["teacher@university.example"]
