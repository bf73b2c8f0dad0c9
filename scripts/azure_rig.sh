# shellcheck shell=bash
# The witnesses of the fake Azure Resource Manager (providers/azure/fake/witness): Microsoft's validator of API traffic,
# and a Python environment with its client. Sourced by scripts/test.sh, after scripts/install.sh.

azure_witness=providers/azure/fake/witness

# need_azure_rig: sets `azure_rig_python` to the interpreter and `azure_rig_node` to the folder of the validator. Both
# are kept beside the build, new for each state of what they are pinned by.
need_azure_rig() {
    wants "have node" nodejs nodejs "runs Microsoft's validator of API traffic"
    wants "have npm" npm npm "installs Microsoft's validator of API traffic"
    install_wanted
    local hash folder
    need_python azure-rig-python "$azure_witness/requirements.txt" "Microsoft's Python client; about 65 MB"
    # shellcheck disable=SC2154 # need_python sets it
    azure_rig_python=$python_of_its_own
    hash=$(cat "$azure_witness"/package*.json | sha256sum | cut -c1-16)
    folder=${CARGO_TARGET_DIR:-target}/azure-rig-node-$hash
    if [[ ! -f $folder/complete ]]; then
        say "installing oav in $folder (Microsoft's validator of API traffic; about 65 MB)"
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$azure_witness"/package*.json "$folder"
        # Nothing that comes from there runs while it is installed.
        (cd "$folder" && npm ci --silent --ignore-scripts --no-audit --no-fund) ||
            die "npm could not install the Azure rig" "it takes npm's registry or a mirror of it: npm_config_registry"
        touch "$folder/complete"
    fi
    azure_rig_node=$(realpath "$folder")
}

# run_azure_rig FAKE_ARM DUMPS: the recordings and Microsoft's client against the program; then everything that it and
# the tests left in the folder of dumps is held against Microsoft's description of the API.
run_azure_rig() {
    local program=$1 dumps=$2 data=${TAGWALL_DATA:-$PWD/../shared/data}
    FAKE_ARM=$program TAGWALL_DATA=$data FAKE_ARM_DUMP=$dumps PYTHONDONTWRITEBYTECODE=1 \
        "$azure_rig_python" -m unittest discover -q -s "$azure_witness"
    local description=$data/azure/spec-2024-03-01-for-oav
    if [[ ! -d $description ]]; then
        skip "Microsoft's description of the Azure API is not in $data"
        return
    fi
    # Node looks for the validator beside the script.
    cp "$azure_witness/validate.js" "$azure_rig_node"
    node "$azure_rig_node/validate.js" "$description" "$dumps"
}
