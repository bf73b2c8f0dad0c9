// Holds every exchange that the fake logged against Microsoft's own description of the API, by Microsoft's own
// validator of live traffic (oav).
//
//   node validate.js SPEC DUMPS
//
// SPEC is the folder with networkSecurityGroup.json; DUMPS holds what fakes left behind for FAKE_ARM_DUMP. An answer must
// always fit; a request must fit if it was taken. Then exchanges are broken on purpose: each must be caught.
'use strict';

const fs = require('fs');
const os = require('os');
const path = require('path');
const oav = require('oav');

const VERSION = '2024-03-01';

// What the validator may object to.
const TOLERATED = [
  // Kubernetes' cloud provider sends the group as it read it, `etag` and all, and Azure takes it (recorded). So does a
  // test that puts what it read.
  { in: 'request', code: 'READONLY_PROPERTY_NOT_ALLOWED_IN_REQUEST' },
  // The words of an enum are taken in any case, and shown in Microsoft's.
  { in: 'request', code: 'ENUM_CASE_MISMATCH' },
  // Fields that tests make up: what a newer version of the API may add must survive being read and put.
  { code: 'OBJECT_ADDITIONAL_PROPERTIES', path: /fieldOfTomorrow|someday/ },
];

// The validator finds a version by the folders above it, so the description is laid out as in Microsoft's repository.
function layOut(spec) {
  const repository = fs.mkdtempSync(path.join(os.tmpdir(), 'oav-'));
  const folder = path.join(repository, 'specification/network/resource-manager/Microsoft.Network/stable', VERSION);
  fs.cpSync(spec, folder, { recursive: true });
  return repository;
}

async function validator(repository) {
  const pattern = name => `specification/**/resource-manager/**/${name}.json`;
  const live = new oav.LiveValidator({
    git: { shouldClone: false },
    directory: repository,
    swaggerPathsPattern: [pattern('networkSecurityGroup'), pattern('serviceTags')],
    isPathCaseSensitive: false,
    isArmCall: true,
  });
  await live.initialize();
  return live;
}

const lower = pairs => Object.fromEntries(pairs.map(([name, value]) => [name.toLowerCase(), value]));

// Every version that the fake answers is held against the one description that is here.
function pair(exchange) {
  const query = Object.fromEntries(new URLSearchParams(exchange.query));
  for (const name of Object.keys(query)) if (name.toLowerCase() === 'api-version') delete query[name];
  query['api-version'] = VERSION;
  return {
    liveRequest: {
      url: `https://management.azure.com${exchange.path}?${new URLSearchParams(query)}`,
      method: exchange.method,
      headers: lower(exchange.request_headers),
      body: exchange.request_body ?? undefined,
      query,
    },
    liveResponse: {
      statusCode: String(exchange.status),
      headers: lower(exchange.response_headers),
      body: exchange.response_body ?? {},
    },
  };
}

function objections(side, result) {
  if (result.isSuccessful === true) return [];
  if (result.runtimeException) return [`${result.runtimeException.code}: ${result.runtimeException.message}`];
  const tolerated = error => TOLERATED.some(one =>
    (one.in ?? side) === side && one.code === error.code &&
    (!one.path || one.path.test(JSON.stringify([error.pathsInPayload, error.params, error.message]))));
  return result.errors.filter(error => !tolerated(error))
    .map(error => `${side}: ${error.code}: ${error.message} at ${error.pathsInPayload}`);
}

// Polls are not in the description's paths, only their body's shape is in its definitions.
function objectionsToPoll(definitions, exchange) {
  const body = exchange.response_body;
  const { status, error, ...more } = body ?? {};
  const found = Object.keys(more).map(name => `poll: ${name} is unknown`);
  if (!definitions.AzureAsyncOperationResult.properties.status.enum.includes(status)) found.push(`poll: status ${status}`);
  if ((status === 'Failed') !== (error !== undefined)) found.push('poll: an error stands beside Failed, and only there');
  for (const one of error ? [error, ...(error.details ?? [])] : []) {
    if (typeof one.code !== 'string' || typeof one.message !== 'string') found.push('poll: an error has code and message');
  }
  return found;
}

// `polls` and `described` are looked at, the others cannot be.
function kind(exchange) {
  if (exchange.status === null) return 'unanswered';
  const at = exchange.path.toLowerCase();
  // Described elsewhere.
  if (at.endsWith('/providers/microsoft.authorization/permissions')) return 'outside';
  if (/\/locations\/[^/]+\/operations\//.test(at)) return exchange.status === 200 ? 'polls' : 'outside';
  const described = at.startsWith('/subscriptions/') &&
    /\/providers\/microsoft\.network\/(networksecuritygroups|locations\/[^/]+\/servicetag)/.test(at);
  // What the description does not know is answered by 404 and 405 with these codes.
  const code = exchange.response_body?.error?.code;
  if (!described || ['InvalidResourceType', 'HttpMethodNotSupported'].includes(code)) return 'outside';
  // A gateway's HTML, or nothing at all, came by a fault.
  const bare = exchange.status >= 400 && (exchange.response_body === null || typeof exchange.response_body !== 'object');
  return bare ? 'outside' : 'described';
}

async function judge(live, definitions, exchange) {
  switch (kind(exchange)) {
    case 'polls': return objectionsToPoll(definitions, exchange);
    case 'described': {
      const result = await live.validateLiveRequestResponse(pair(exchange));
      const request = exchange.status < 300 ? objections('request', result.requestValidationResult) : [];
      return [...request, ...objections('response', result.responseValidationResult)];
    }
    default: return [];
  }
}

// Each takes a good exchange and breaks it in one place.
const BROKEN = {
  'a request without a protocol': ['rule', one => delete one.request_body.properties.protocol],
  'a request whose priority is a string': ['rule', one => { one.request_body.properties.priority = '200'; }],
  'a request with a mistyped field': ['rule', one => { one.request_body.properties.sourceAdressPrefixes = []; }],
  'a request with a string for a list': ['rule', one => { one.request_body.properties.sourceAddressPrefixes = '192.0.2.0/24'; }],
  'an answer whose priority is a string': ['rule', one => { one.response_body.properties.priority = '200'; }],
  'an answer without a protocol': ['rule', one => delete one.response_body.properties.protocol],
  'an answer with a mistyped field': ['rule', one => { one.response_body.properties.adressPrefix = '*'; }],
  'an answer with a string for a list': ['rule', one => { one.response_body.properties.sourceAddressPrefixes = '*'; }],
  'an answer of a status that is not described': ['rule', one => { one.status = 299; }],
  'a list that is no list': ['list', one => { one.response_body.value = {}; }],
  'a rule within a group that is broken': ['group', one => delete one.response_body.properties.defaultSecurityRules[0].properties.access],
  'a change number that is a number': ['tags', one => { one.response_body.changeNumber = 63; }],
  'a tag whose prefixes are a string': ['tags', one => { one.response_body.values[0].properties.addressPrefixes = '*'; }],
  'an error whose code is a number': ['error', one => { one.response_body.error.code = 409; }],
  'a poll with a state of its own': ['poll', one => { one.response_body.status = 'Running'; }],
  'a poll that succeeded with an error': ['poll', one => { one.response_body.error = { code: 'x', message: 'y' }; }],
};

const ok = one => one.status >= 200 && one.status < 300;
const GOOD = {
  rule: one => one.method === 'PUT' && ok(one) && /\/securityRules\/[^/]+$/.test(one.path) && !/fieldOfTomorrow|someday/.test(JSON.stringify(one)),
  list: one => one.method === 'GET' && ok(one) && /\/securityRules$/.test(one.path),
  group: one => one.method === 'GET' && ok(one) && /\/networkSecurityGroups\/[^/]+$/.test(one.path),
  tags: one => one.method === 'GET' && ok(one) && /\/serviceTags$/.test(one.path),
  error: one => one.status === 400 && kind(one) === 'described',
  poll: one => kind(one) === 'polls' && one.response_body.status === 'Succeeded',
};

async function main([spec, dumps]) {
  const definitions = JSON.parse(fs.readFileSync(path.join(spec, 'network.json'), 'utf8')).definitions;
  const files = fs.readdirSync(dumps).filter(name => name.endsWith('.json'));
  const exchanges = files.flatMap(name => JSON.parse(fs.readFileSync(path.join(dumps, name), 'utf8')));
  const repository = layOut(spec);
  const counts = { described: 0, polls: 0, outside: 0, unanswered: 0 };
  let bad = 0;
  try {
    const live = await validator(repository);
    for (const exchange of exchanges) {
      counts[kind(exchange)] += 1;
      for (const objection of await judge(live, definitions, exchange)) {
        bad += 1;
        console.error(`${exchange.method} ${exchange.path} ${exchange.status}: ${objection}`);
      }
    }
    for (const [what, [wanted, breakIt]] of Object.entries(BROKEN)) {
      const found = exchanges.find(one => GOOD[wanted](one));
      if (!found) throw new Error(`no exchange is there to make ${what} of`);
      const broken = structuredClone(found);
      breakIt(broken);
      if ((await judge(live, definitions, broken)).length === 0) {
        bad += 1;
        console.error(`the validator did not catch ${what}`);
      }
    }
  } finally {
    fs.rmSync(repository, { recursive: true });
  }
  console.log(`${exchanges.length} exchanges of ${files.length} fakes: ${counts.described} held against Microsoft's description, ` +
    `${counts.polls} polls against its definition, ${counts.outside} of what it does not describe, ${counts.unanswered} without an answer; ` +
    `${Object.keys(BROKEN).length} broken on purpose and caught`);
  // A rig that looked at nothing would be content with anything.
  if (counts.described < 100 || counts.polls < 20) throw new Error('too few exchanges were looked at');
  if (bad > 0) throw new Error(`${bad} objections`);
}

main(process.argv.slice(2)).catch(error => {
  console.error(`validate.js: ${error.message}`);
  process.exitCode = 1;
});
