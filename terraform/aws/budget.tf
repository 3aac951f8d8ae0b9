# What it costs, and who hears of it.
resource "aws_budgets_budget" "month" {
  account_id   = local.account
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:vadose:deployment$${var.name}"]
  }

  dynamic "notification" {
    for_each = [{ percent = 50, kind = "ACTUAL" }, { percent = 80, kind = "ACTUAL" }, { percent = 100, kind = "ACTUAL" }, { percent = 100, kind = "FORECASTED" }]
    content {
      comparison_operator        = "GREATER_THAN"
      threshold                  = notification.value.percent
      threshold_type             = "PERCENTAGE"
      notification_type          = notification.value.kind
      subscriber_email_addresses = var.budget_emails
    }
  }
}
