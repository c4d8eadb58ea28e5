// The scenario of @azure/batch for JavaScript, which NODE_PATH leads to.
"use strict";

const assert = require("node:assert");
const { BatchServiceClient, BatchSharedKeyCredentials } = require("@azure/batch");

const { AZURE_BATCH_ACCOUNT, AZURE_BATCH_ACCESS_KEY, AZURE_BATCH_ENDPOINT } = process.env;
const credentials = new BatchSharedKeyCredentials(AZURE_BATCH_ACCOUNT, AZURE_BATCH_ACCESS_KEY);
const client = new BatchServiceClient(credentials, AZURE_BATCH_ENDPOINT);
const LIMIT = 60_000;

async function main() {
  await client.pool.add({
    id: "linux",
    vmSize: "standard_d2s_v5",
    targetDedicatedNodes: 1,
    virtualMachineConfiguration: {
      imageReference: { publisher: "canonical", offer: "ubuntu-24_04-lts", sku: "server" },
      nodeAgentSKUId: "batch.node.ubuntu 24.04",
    },
  });
  await eventually(async () => (await states()).join() === "idle");
  await client.job.add({ id: "job", poolInfo: { poolId: "linux" } });
  await client.task.add("job", { id: "task", commandLine: "/bin/echo hello" });
  await eventually(async () => (await client.task.get("job", "task")).state === "completed");
  const file = await client.file.getFromTask("job", "task", "stdout.txt");
  assert.strictEqual(await text(file.readableStreamBody), "hello\n");

  const [node] = await client.computeNode.list("linux");
  await client.computeNode.addUser("linux", node.id, { name: "etl", password: "s3cret-Pw" });
  await client.computeNode.deleteUser("linux", node.id, "etl");
  await client.computeNode.reboot("linux", node.id);
  await eventually(async () => (await states()).join() === "idle");
  await client.pool.resize("linux", { targetDedicatedNodes: 0 });
  await eventually(async () => (await states()).length === 0);
  await assert.rejects(client.pool.get("missing"), (error) => error.body.code === "PoolNotFound");

  await client.job.deleteMethod("job");
  await client.pool.deleteMethod("linux");
  await eventually(async () => (await client.pool.list()).length + (await client.job.list()).length === 0);
}

async function states() {
  return (await client.computeNode.list("linux")).map((node) => node.state);
}

async function text(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
}

async function eventually(holds) {
  const deadline = Date.now() + LIMIT;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `Not so after ${LIMIT / 1000} s.`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
