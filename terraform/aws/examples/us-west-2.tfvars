# A university hub beside NASA Earthdata.
name               = "vadose"
region             = "us-west-2"
zones              = ["us-west-2a", "us-west-2b"]
budget_emails      = ["hub-costs@university.example"]
monthly_budget_usd = 1500
administrators     = ["arn:aws:iam::123456789012:role/hub-admin"]
api_access_cidrs   = ["192.0.2.0/24"] # your institute's network
