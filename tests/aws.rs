//! The program against an emulator of AWS, which runs on the test's own host: `providers/aws/rig`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tagwall_provider::PrefixSet;

use crate::support::{Addresses, EDGE, Run, World, many, strs, with_namespaces};

const REGION: &str = "eu-west-1";

/// An emulator on a world's host. It ends with this value.
pub(crate) struct Aws<'a> {
    world: &'a World,
    process: Child,
    address: String,
}

impl<'a> Aws<'a> {
    pub(crate) fn start(world: &'a World) -> Self {
        let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("providers/aws/rig");
        let mut command = Command::new(python(&rig));
        command.args(["server.py", "--while-stdin"]).current_dir(&rig).env("AWS_EC2_METADATA_DISABLED", "true");
        let mut process = world.spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("the rig said `{line}`"));
        Self { world, process, address: address.to_owned() }
    }

    fn http(&self, path: &str, headers: &str, body: &str) -> String {
        let host = self.address.strip_prefix("http://").unwrap();
        let verb = if body.is_empty() { "GET" } else { "POST" };
        let length = body.len();
        let request = format!(
            "{verb} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        let answer = self.world.host.inside(|| {
            let mut stream = TcpStream::connect(host).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(&head[9..12], "200", "{path}: {body}");
        body.to_owned()
    }

    fn control(&self, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        serde_json::from_str(&self.http(&format!("/_rig/{path}"), "", &body)).unwrap()
    }

    /// Makes a security group by somebody else's hand.
    pub(crate) fn group(&self, name: &str) -> String {
        let xml = self.by_hand(&format!("Action=CreateSecurityGroup&GroupName={name}&GroupDescription={name}"));
        let (_, rest) = xml.split_once("<groupId>").unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    }

    /// Who may reach port 8443 through a group.
    pub(crate) fn admitted(&self, group: &str) -> PrefixSet {
        let state = self.control("state", &Value::Null);
        let rules = state.as_array().unwrap().iter().flat_map(|region| region["rules"].as_array().unwrap());
        let ours = rules.filter(|rule| rule["groupId"] == group && rule["isEgress"] != true && rule["toPort"] == 8443);
        let prefix = |rule: &Value| Some(rule["cidrIpv4"].as_str().or(rule["cidrIpv6"].as_str())?.parse().unwrap());
        ours.filter_map(prefix).collect::<Vec<tagwall_provider::IpNet>>().into_iter().collect()
    }

    /// Somebody else's call on EC2.
    fn by_hand(&self, form: &str) -> String {
        let form = format!("{form}&Version=2016-11-15&Hand=true");
        let headers = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=AKIAHAND/20260101/{REGION}/ec2/aws4_request, SignedHeaders=host, Signature=0\r\n"
        );
        self.http("/", &headers, &form)
    }

    /// The prefix lists that are there.
    fn lists(&self) -> Vec<Value> {
        let state = self.control("state", &Value::Null);
        state.as_array().unwrap().iter().flat_map(|region| region["lists"].as_array().unwrap().clone()).collect()
    }

    /// What all prefix lists hold.
    fn listed(&self) -> PrefixSet {
        let lists = self.lists();
        let entries = lists.iter().flat_map(|list| list["entries"].as_object().unwrap().keys());
        entries.map(|prefix| prefix.parse::<tagwall_provider::IpNet>().unwrap()).collect()
    }

    /// How many calls that write were made so far, but for those of the test itself.
    fn written(&self) -> usize {
        let log = self.control("log", &Value::Null);
        let ours = |call: &&Value| call["writes"] == true && call["parameters"]["Hand"].is_null();
        log.as_array().unwrap().iter().filter(ours).count()
    }

    /// Gives a command credentials for this AWS.
    pub(crate) fn credentials(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL", &self.address)
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
            .env("AWS_EC2_METADATA_DISABLED", "true");
    }

    /// Runs the program with credentials for this AWS, expecting this exit status.
    #[track_caller]
    fn expect(&self, status: i32, arguments: &str) -> Run {
        let mut command = self.world.command(arguments);
        self.credentials(&mut command);
        let run = self.world.finish(&mut command);
        assert_eq!(run.status, status, "tagwall {arguments}: {}", self.world.telling(&run));
        assert!(!format!("{}{}", run.stdout, run.stderr).contains("secret-of-the-test"));
        run
    }
}

impl Drop for Aws<'_> {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The interpreter of the rig's environment, which `scripts/aws_rig.sh` makes.
fn python(rig: &Path) -> PathBuf {
    if let Some(given) = std::env::var_os("aws_rig_python") {
        return given.into();
    }
    let sum = Command::new("sha256sum").arg(rig.join("requirements.txt")).output().unwrap();
    let hash = String::from_utf8(sum.stdout).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join(format!("aws-rig-{}", &hash[..16]));
    assert!(folder.join("complete").is_file(), "the AWS rig is not installed: run `./dev test aws_rig` once");
    folder.join("bin/python")
}

pub(crate) fn set(prefixes: &[String]) -> PrefixSet {
    prefixes.iter().map(|prefix| prefix.parse::<tagwall_provider::IpNet>().unwrap()).collect()
}

/// A target `api` of these groups, with these further keys.
pub(crate) fn api(groups: &[&str], more: &str) -> String {
    let groups = groups.iter().map(|group| format!("\"{group}\"")).collect::<Vec<_>>().join(", ");
    format!(
        "[targets.api]\nlists = [\"entra\"]\naws-security-groups = {{ region = \"{REGION}\", groups = [{groups}]{more} }}\n"
    )
}

#[test]
fn one_configuration_keeps_a_host_and_its_groups() {
    with_namespaces(|| {
        let prefixes = many(32);
        let world = World::edge(&strs(&prefixes));
        let aws = Aws::start(&world);
        let groups = [aws.group("one"), aws.group("two")];
        let both = api(&[&groups[0], &groups[1]], ", quota = 20");
        world.config(&format!("{EDGE}{both}"));

        let run = aws.expect(2, "sync --dry-run");
        assert!(run.stdout.contains("edge") && run.stdout.contains("AWS eu-west-1 sg-"), "{}", run.stdout);
        assert_eq!(aws.written(), 0, "a dry run wrote");
        assert!(aws.admitted(&groups[0]).is_empty());

        aws.expect(0, "sync");
        let [one, two] = [0, 1].map(|index| aws.admitted(&groups[index]));
        assert_eq!(one.union(&two), set(&prefixes));
        assert!(!one.is_empty() && !two.is_empty() && one.intersection(&two).is_empty());
        assert_eq!(world.admitted("edge"), Addresses::of(strs(&prefixes)));

        let before = aws.written();
        aws.expect(0, "sync");
        aws.expect(0, "status");
        assert_eq!(aws.written(), before, "a pass with nothing to do wrote");

        // A group that is dropped from a target leaves rules, too.
        world.config(&format!("{EDGE}{}", api(&[&groups[0]], "")));
        let run = aws.expect(0, "sync");
        assert!(run.stdout.contains(&groups[1]), "{}", run.stdout);
        aws.expect(0, "withdraw --orphans --yes");
        assert!(aws.admitted(&groups[1]).is_empty());
        assert_eq!(aws.admitted(&groups[0]), set(&prefixes));
        let one = aws.admitted(&groups[0]);

        // A target that is gone from the configuration leaves rules, and they are told and can be removed.
        let other = aws.group("other");
        world.config(&format!("{EDGE}{}", api(&[&other], "").replace("targets.api", "targets.gate")));
        let run = aws.expect(0, "sync");
        assert!(run.stdout.contains("test/api"), "{}", run.stdout);
        assert_eq!(aws.admitted(&groups[0]), one, "an orphan was touched");
        aws.expect(0, "withdraw --orphans --yes");
        assert!(aws.admitted(&groups[0]).is_empty() && aws.admitted(&groups[1]).is_empty());
        assert_eq!(aws.admitted(&other), set(&prefixes));

        aws.expect(0, "withdraw --yes");
        assert!(aws.admitted(&other).is_empty());
        assert!(!world.ruleset().contains("edge"), "{}", world.ruleset());
    });
}

#[test]
fn a_group_that_fails_stops_nothing_else() {
    with_namespaces(|| {
        let prefixes = many(8);
        let world = World::edge(&strs(&prefixes));
        let aws = Aws::start(&world);
        let group = aws.group("one");
        world.config(&format!("{EDGE}{}", api(&[&group], "")));
        aws.control(
            "faults",
            &json!({ "kind": "denied", "action": "AuthorizeSecurityGroupIngress", "nth": 1, "times": 1 }),
        );
        let run = aws.expect(1, "sync --format json");
        let report = run.json();
        let outcomes: Vec<_> = report["targets"].as_array().unwrap().iter().map(|target| &target["outcome"]).collect();
        assert_eq!(outcomes, ["failed", "applied"], "{report}");
        let error = &report["targets"][0]["error"];
        assert_eq!(error["class"], "denied");
        assert!(error["hint"].as_str().unwrap().contains("ec2:AuthorizeSecurityGroupIngress"), "{error}");
        assert_eq!(world.admitted("edge"), Addresses::of(strs(&prefixes)));
        // Without leave to write at all, a dry run still plans and `check` says what is missing.
        aws.control(
            "settings",
            &json!({ "allow": [
            "ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeManagedPrefixLists",
            "sts:GetCallerIdentity",
        ] }),
        );
        aws.expect(2, "sync --dry-run");
        let run = aws.expect(1, "check");
        assert!(run.stderr.contains("ec2:AuthorizeSecurityGroupIngress"), "{}", run.stderr);
        aws.control("settings", &json!({ "allow": null }));
        let run = aws.expect(0, "check");
        assert!(!run.stderr.contains("ec2:"), "{}", run.stderr);
        assert!(run.stdout.contains("api: sg-") && run.stdout.contains("a quota of 60 rules"), "{}", run.stdout);
        aws.control("faults", &json!({ "kind": "throttle", "action": "*", "nth": 1, "times": 1 }));
        aws.expect(0, "sync");
        assert_eq!(aws.admitted(&group), set(&prefixes));
    });
}

#[test]
fn what_does_not_fit_is_refused_with_choices_and_widening_is_shown() {
    with_namespaces(|| {
        let prefixes = many(48);
        let world = World::edge(&strs(&prefixes));
        let aws = Aws::start(&world);
        let group = aws.group("one");
        let target = api(&[&group], ", quota = 40");
        let list = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n";
        world.config(&format!("{list}{target}"));
        let run = aws.expect(3, "sync");
        assert!(run.stdout.contains("refused capacity"), "{}", run.stdout);
        assert!(run.stdout.contains("more security group") && run.stdout.contains("`widen`"), "{}", run.stdout);
        assert!(aws.admitted(&group).is_empty());
        assert_eq!(aws.written(), 0);

        world.config(&format!("{list}{target}widen = {{ v4 = 40, most-extra = \"100%\" }}\n"));
        let run = aws.expect(2, "sync --dry-run");
        assert!(run.stdout.contains("widened: "), "{}", run.stdout);
        let run = aws.expect(0, "sync --format json");
        let admitted = aws.admitted(&group);
        assert!(admitted.is_superset(&set(&prefixes)) && admitted.prefixes().count() <= 42, "{admitted}");
        let told = run.json()["targets"][0]["widened"]["ipv4"].as_str().unwrap().parse::<u64>().unwrap();
        let beyond = admitted.difference(&set(&prefixes)).addresses(tagwall_provider::Family::V4);
        assert_eq!((told, told > 0), (beyond.to_string().parse().unwrap(), true));
        aws.expect(0, "status");
        // What no such number of prefixes can do within the bounds is refused, and what stands stays.
        world.config(&format!("{list}{target}widen = {{ v4 = 2, most-extra = \"1%\" }}\n"));
        let run = aws.expect(3, "sync");
        assert!(run.stdout.contains("48 prefixes cannot become 2"), "{}", run.stdout);
        assert_eq!(aws.admitted(&group), admitted);
    });
}

/// A target `api` of lists that tagwall makes.
const LISTS: &str = "[targets.api]\nlists = [\"entra\"]\n\
                     aws-prefix-lists = { region = \"eu-west-1\", v4 = \"entra-v4\", v6 = \"entra-v6\" }\n";
const ENTRA: &str = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n[lists.entra.limits]\nloss = \"90%\"\n";

/// A plan that is saved, something of ours that is changed by hand, and `apply`: refused, for this target; as it was
/// planned, it is done and comes out as planned.
fn only_as_planned(aws: &Aws<'_>, world: &World, admitted: &dyn Fn() -> PrefixSet, change: &dyn Fn() -> String) {
    let (old, new) = (many(16), many(20).split_off(4));
    world.feed(10, &[("AzureActiveDirectory", &strs(&old))]);
    aws.expect(0, "sync");
    assert_eq!(admitted(), set(&old));
    world.feed(11, &[("AzureActiveDirectory", &strs(&new))]);
    aws.expect(2, "plan -o plan.json");
    let named = change();
    let (changed, written) = (admitted(), aws.written());
    let run = aws.expect(3, "apply plan.json");
    let said = format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("stale-plan") && said.contains(&format!("target `api`: {named}")), "{said}");
    assert_eq!((admitted(), aws.written()), (changed, written), "refused, and changed");
    // The control: it was for that change alone.
    aws.expect(2, "plan -o plan.json");
    aws.expect(0, "apply plan.json");
    assert_eq!(admitted(), set(&new));
    aws.expect(0, "sync --dry-run");
}

#[test]
fn groups_that_moved_since_a_plan_are_refused() {
    with_namespaces(|| {
        let world = World::empty();
        let aws = Aws::start(&world);
        let group = aws.group("one");
        world.config(&format!("{ENTRA}{}", api(&[&group], "")));
        only_as_planned(&aws, &world, &|| aws.admitted(&group), &|| {
            let state = aws.control("state", &Value::Null);
            let rules = state.as_array().unwrap().iter().flat_map(|region| region["rules"].as_array().unwrap());
            let rule = rules.clone().find(|rule| rule["cidrIpv4"].is_string()).unwrap();
            let (id, prefix) = (rule["securityGroupRuleId"].as_str().unwrap(), rule["cidrIpv4"].as_str().unwrap());
            aws.by_hand(&format!("Action=RevokeSecurityGroupIngress&GroupId={group}&SecurityGroupRuleId.1={id}"));
            format!("{prefix} went since")
        });
    });
}

#[test]
fn lists_that_moved_since_a_plan_are_refused() {
    with_namespaces(|| {
        let world = World::empty();
        let aws = Aws::start(&world);
        world.config(&format!("{ENTRA}{LISTS}"));
        only_as_planned(&aws, &world, &|| aws.listed(), &|| {
            let list = aws.lists().into_iter().find(|list| list["addressFamily"] == "IPv4").unwrap();
            let (id, version) = (list["prefixListId"].as_str().unwrap(), &list["version"]);
            let prefix = list["entries"].as_object().unwrap().keys().next().unwrap().clone();
            aws.by_hand(&format!(
                "Action=ModifyManagedPrefixList&PrefixListId={id}&CurrentVersion={version}&RemoveEntry.1.Cidr={prefix}"
            ));
            format!("{prefix} went since")
        });
    });
}

/// Renamed, what rules name goes on being filled; and nobody's rules are taken away before others stand for them.
#[test]
fn a_target_that_is_renamed_shuts_nobody_out() {
    with_namespaces(|| {
        let prefixes = many(16);
        let world = World::edge(&strs(&prefixes));
        let aws = Aws::start(&world);
        let group = aws.group("one");
        let both = format!("{ENTRA}{LISTS}{}", api(&[&group], "").replace("targets.api", "targets.rules"));
        world.config(&both);
        aws.expect(0, "sync");
        let list = aws.lists().into_iter().find(|list| list["addressFamily"] == "IPv4").unwrap();
        let named = format!(
            "Action=AuthorizeSecurityGroupIngress&GroupId={group}&IpPermissions.1.IpProtocol=tcp&\
             IpPermissions.1.FromPort=9443&IpPermissions.1.ToPort=9443&IpPermissions.1.PrefixListIds.1.PrefixListId={}",
            list["prefixListId"].as_str().unwrap()
        );
        aws.by_hand(&named);
        let renamed = both.replace("targets.api", "targets.hub").replace("targets.rules", "targets.gate");
        world.config(&renamed);
        // Before anything was taken over.
        let run = aws.expect(3, "withdraw --orphans --yes");
        let said = format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("target `gate` may be to admit") && said.contains("`tagwall sync` takes over"), "{said}");
        assert!(
            said.contains(&format!(
                "looked at nftables on this host; AWS eu-west-1 {group}; AWS eu-west-1 entra-v4 entra-v6; AWS eu-west-1: "
            )),
            "{said}"
        );
        assert_eq!((aws.admitted(&group), aws.listed()), (set(&prefixes), set(&prefixes)));

        let run = aws.expect(2, "sync --dry-run --format json");
        let targets = run.json()["targets"].as_array().unwrap().clone();
        for target in &targets {
            let told = target["skeleton"].as_array().unwrap();
            assert!(
                !told.is_empty() && told.iter().all(|line| line.as_str().unwrap().starts_with("takes over")),
                "{told:?}"
            );
            assert_eq!(target["addresses"]["gained"], json!({ "ipv4": "0", "ipv6": "0" }), "{target}");
        }
        aws.expect(0, "sync");
        assert_eq!(aws.lists().len(), 2, "a second list of the same name");
        let run = aws.expect(0, "withdraw --orphans --yes");
        assert!(run.stdout.contains("no orphans"), "{}", run.stdout);
        assert_eq!((aws.admitted(&group), aws.listed()), (set(&prefixes), set(&prefixes)));

        // An orphan that a rule names is left as it is, and what nobody names goes.
        let alone = renamed.replace(LISTS.lines().last().unwrap(), "nftables = {}");
        world.config(&alone);
        let run = aws.expect(1, "withdraw --orphans --yes");
        let said = format!("{} {}", run.stdout, run.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(&format!("is left as it is: {group} name it")), "{said}");
        assert!(said.contains(&format!("named by {group}")), "{said}");
        assert!(aws.lists().len() == 1 && !aws.listed().is_empty());
    });
}
