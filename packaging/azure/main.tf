# The roles of this folder as Terraform resources, of the subscription that the provider is set up for.

terraform {
  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
    }
  }
}

variable "name" {
  description = "What the names of the roles begin with"
  type        = string
  default     = "tagwall"
}

data "azurerm_subscription" "current" {}

locals {
  # Read from the files, so that what is here cannot be another thing than what is there.
  roles = { for role in ["tagwall", "tagwall-read-only", "tagwall-source"] : role => jsondecode(file("${path.module}/${role}.json")) }
}

resource "azurerm_role_definition" "tagwall" {
  for_each          = local.roles
  name              = replace(each.value.Name, "tagwall", var.name)
  description       = each.value.Description
  scope             = data.azurerm_subscription.current.id
  assignable_scopes = [data.azurerm_subscription.current.id]

  permissions {
    actions          = each.value.Actions
    not_actions      = each.value.NotActions
    data_actions     = each.value.DataActions
    not_data_actions = each.value.NotDataActions
  }
}

output "role_ids" {
  value = { for name, role in azurerm_role_definition.tagwall : name => role.role_definition_resource_id }
}
