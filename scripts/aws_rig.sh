# shellcheck shell=bash
# The rig of the AWS provider's tests (providers/aws/rig): a Python environment of its own, pinned with hashes.
# Sourced by scripts/test.sh, after scripts/install.sh.

# Sets `aws_rig_python` to the interpreter that runs the rig. The environment is kept beside the build, a new one for
# each state of the requirements.
need_aws_rig() {
    wants "have python3" python3 python3 "runs the AWS rig"
    # Debian splits what `venv` needs off from Python itself.
    wants "have python3 && python3 -c 'import ensurepip, venv'" python3-venv python3 "makes the AWS rig's environment"
    install_wanted
    local requirements=providers/aws/rig/requirements.txt hash folder
    hash=$(sha256sum "$requirements" | cut -c1-16)
    folder=${CARGO_TARGET_DIR:-target}/aws-rig-$hash
    if [[ ! -f $folder/complete ]]; then
        say "making the AWS rig's environment in $folder (moto, boto3; about 140 MB)"
        rm -rf "$folder"
        python3 -m venv "$folder"
        "$folder/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$requirements" ||
            die "pip could not install the AWS rig" "it takes PyPI or a mirror of it: PIP_INDEX_URL"
        # A half-made one is made anew.
        touch "$folder/complete"
    fi
    aws_rig_python=$(realpath --no-symlinks "$folder/bin/python")
    export aws_rig_python
}
