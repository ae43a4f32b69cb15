/** How the client reaches a server: retries, TLS, tokens. Against a server that does what the test tells it to. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";

import { create, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { SERVICE_CONFIG } from "../src/connection.js";
import { CheckPrescriptionResponseSchema, MedsafetyClient, MedsafetyError } from "../src/index.js";
import { PYTHON, ROOT } from "./server.js";

const PATH = "/medsafety.v1.MedicationSafetyService/CheckPrescription";
const ANSWER = Buffer.from(toBinary(CheckPrescriptionResponseSchema, create(CheckPrescriptionResponseSchema)));

/** A key and a certificate for 127.0.0.1 that nobody else trusts. */
const MAKE_CERTIFICATE = `
import datetime, ipaddress, json
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
now = datetime.datetime.now(datetime.UTC)
made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(days=1))
    .not_valid_after(now + datetime.timedelta(days=1)).add_extension(x509.BasicConstraints(True, None), True)
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    .sign(key, hashes.SHA256()))
pem = serialization.Encoding.PEM
secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
print(json.dumps({"key": secret.decode(), "certificate": made.public_bytes(pem).decode()}))
`;

let attempts: grpc.Metadata[] = [];
let answers: (attempt: number) => grpc.status = () => grpc.status.OK;

const made = spawnSync(PYTHON, ["-c", MAKE_CERTIFICATE], { encoding: "utf8" });
assert.equal(made.status, 0, made.stderr);
const pair = JSON.parse(made.stdout) as { key: string; certificate: string };
const [key, root] = [Buffer.from(pair.key), Buffer.from(pair.certificate)];

const server = new grpc.Server();
const handler: grpc.handleUnaryCall<Buffer, Buffer> = (call, done) => {
  attempts.push(call.metadata);
  const code = answers(attempts.length);
  if (code === grpc.status.OK) done(null, ANSWER);
  else done({ code, details: "as told" });
};
server.register(PATH, handler, (data) => data, (data) => data, "unary");
const plain = await bound(grpc.ServerCredentials.createInsecure());
const secured = await bound(grpc.ServerCredentials.createSsl(root, [{ private_key: key, cert_chain: root }], true));

function bound(credentials: grpc.ServerCredentials): Promise<string> {
  return new Promise((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, port) =>
      error ? reject(error) : resolve(`127.0.0.1:${port}`),
    ),
  );
}

after(() => server.forceShutdown());

async function asking(client: MedsafetyClient, work: () => Promise<unknown>): Promise<MedsafetyError | undefined> {
  attempts = [];
  try {
    await work();
    return undefined;
  } catch (error) {
    assert(error instanceof MedsafetyError, String(error));
    return error;
  } finally {
    client.close();
  }
}

function mutual(): grpc.ChannelCredentials {
  return grpc.credentials.createSsl(root, key, root);
}

test("the retry policy is the one that all clients share", () => {
  assert.equal(SERVICE_CONFIG, readFileSync(new URL("clients/retry-policy.json", ROOT), "utf8"));
});

test("a call that finds the server UNAVAILABLE is sent again", async () => {
  answers = (attempt) => (attempt < 3 ? grpc.status.UNAVAILABLE : grpc.status.OK);
  const client = new MedsafetyClient(plain, { timeoutMs: 20_000 });
  assert.equal(await asking(client, () => client.check({})), undefined);
  assert.equal(attempts.length, 3);
});

test("it is sent at most four times", async () => {
  answers = () => grpc.status.UNAVAILABLE;
  const client = new MedsafetyClient(plain, { timeoutMs: 20_000 });
  const failed = await asking(client, () => client.check({}));
  assert.equal(failed?.code, grpc.status.UNAVAILABLE);
  assert.equal(failed.text, "as told");
  assert.equal(attempts.length, 4);
});

test("no other failure is asked again", async () => {
  for (const code of [grpc.status.INTERNAL, grpc.status.RESOURCE_EXHAUSTED, grpc.status.UNAUTHENTICATED]) {
    answers = () => code;
    const client = new MedsafetyClient(plain, { timeoutMs: 20_000 });
    assert.equal((await asking(client, () => client.check({})))?.code, code);
    assert.equal(attempts.length, 1);
  }
});

test("over TLS a token goes with every call, asked for anew", async () => {
  answers = () => grpc.status.OK;
  let asked = 0;
  const token = async () => `t${(asked += 1)}`;
  const client = new MedsafetyClient(secured, { credentials: mutual(), token, timeoutMs: 20_000 });
  const failed = await asking(client, async () => {
    await client.check({});
    await client.check({});
  });
  assert.equal(failed, undefined);
  assert.deepEqual(attempts.map((each) => each.get("authorization")), [["Bearer t1"], ["Bearer t2"]]);
});

test("without TLS a token stays on this machine", async () => {
  answers = () => grpc.status.OK;
  const client = new MedsafetyClient(plain, { token: "secret", timeoutMs: 20_000 });
  assert.equal(await asking(client, () => client.check({})), undefined);
  assert.deepEqual(attempts[0]?.get("authorization"), ["Bearer secret"]);
  for (const local of ["localhost:1", "[::1]:1", "dns:///127.0.0.2:1", "unix:/run/medsafety.sock"]) {
    new MedsafetyClient(local, { token: "secret" }).close();
  }
  for (const far of ["medsafety.example:443", "10.0.0.1:1", "127.0.0.1.example:1", "127.example:1", "localhost"]) {
    assert.throws(() => new MedsafetyClient(far, { token: "secret" }), TypeError, far);
  }
});

test("a call whose token cannot be had is not sent", async () => {
  const token = () => Promise.reject(new Error("the vault is shut"));
  const client = new MedsafetyClient(secured, { credentials: mutual(), token, timeoutMs: 20_000 });
  attempts = [];
  await assert.rejects(client.check({}), /the vault is shut/);
  await assert.rejects(client.checkStream([{}]).next(), /the vault is shut/);
  client.close();
  assert.equal(attempts.length, 0);
});

test("a server that we do not trust, or that does not trust us, is not talked to", async () => {
  for (const credentials of [grpc.credentials.createSsl(), grpc.credentials.createSsl(root)]) {
    const client = new MedsafetyClient(secured, { credentials, timeoutMs: 20_000 });
    assert.equal((await asking(client, () => client.check({})))?.code, grpc.status.UNAVAILABLE);
    assert.equal(attempts.length, 0);
  }
});
