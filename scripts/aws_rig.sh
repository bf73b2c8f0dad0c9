# shellcheck shell=bash
# The rig of the AWS provider's tests (providers/aws/rig): a Python environment of its own, pinned with hashes.
# Sourced by scripts/test.sh, after scripts/install.sh.

# Sets `aws_rig_python` to the interpreter that runs the rig.
need_aws_rig() {
    need_python aws-rig providers/aws/rig/requirements.txt "moto, boto3; about 140 MB"
    # shellcheck disable=SC2154 # need_python sets it
    aws_rig_python=$python_of_its_own
    export aws_rig_python
}
