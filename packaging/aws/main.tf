# The policies of this folder as Terraform resources, of the account and partition that the provider is set up for.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "name" {
  description = "The name of the policy; the read-only one is called NAME-read-only"
  type        = string
  default     = "tagwall"
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  documents = {
    for suffix in ["", "-read-only"] : suffix => replace(
      replace(file("${path.module}/tagwall${suffix}.json"), "ACCOUNT", data.aws_caller_identity.current.account_id),
      "arn:aws:", "arn:${data.aws_partition.current.partition}:"
    )
  }
}

resource "aws_iam_policy" "tagwall" {
  name        = var.name
  description = "What tagwall needs to keep security groups and managed prefix lists"
  policy      = local.documents[""]
}

resource "aws_iam_policy" "read_only" {
  name        = "${var.name}-read-only"
  description = "What tagwall needs for a dry run"
  policy      = local.documents["-read-only"]
}

output "policy_arn" {
  value = aws_iam_policy.tagwall.arn
}

output "read_only_policy_arn" {
  value = aws_iam_policy.read_only.arn
}
