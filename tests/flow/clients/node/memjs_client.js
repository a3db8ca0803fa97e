// memjs against a server. Arguments: host, port, protocol (always binary: it has no other).
// Prints a line for each check that held (see CHECKS in ../../test_clients.py), or what went wrong, and exits with 1.
'use strict';

const assert = require('assert');
const memjs = require('memjs');

const COUNT = 200;
const [host, port] = process.argv.slice(2);
let flags = 0; // Those of what is stored next.
const serializer = {
  serialize(opcode, value, extras) {
    if (extras.length >= 4) extras.writeUInt32BE(flags, 0);
    return { value, extras };
  },
  deserialize: (opcode, value, extras) => ({ value, extras }),
};
const client = memjs.Client.create(`${host}:${port}`,
  { timeout: 90, conntimeout: 30, retries: 1, logger: { log() {} }, serializer });

const passed = (name) => console.log(`${name}: ok`);
const value = (i) => Buffer.from(`value of k:${i}\r\nEND\r\n` + String.fromCharCode(97 + i % 26).repeat(i * 7 % 300));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const range = (count) => [...Array(count).keys()];
const get = async (key) => (await client.get(key)).value;

// One callback a server, and there is one.
function ask(method) {
  return new Promise((resolve, reject) => {
    client[method]((error, server, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function checkKeys() {
  // All at once, on one connection.
  const stored = await Promise.all(range(COUNT).map((i) => client.set(`k:${i}`, value(i), {})));
  assert.ok(stored.every((done) => done === true));
  const got = await Promise.all(range(COUNT).map((i) => get(`k:${i}`)));
  assert.deepStrictEqual(got, range(COUNT).map(value));
  assert.strictEqual(await get('none'), null);
  passed('set');
}

async function checkStores() {
  assert.strictEqual(await client.add('a', '1', {}), true);
  assert.strictEqual(await client.add('a', '2', {}), false);
  passed('add');
  assert.strictEqual(await client.replace('a', 'mid', {}), true);
  assert.strictEqual(await client.replace('none', 'x', {}), false);
  passed('replace');
  assert.strictEqual(await client.append('a', '-end'), true);
  // The server says "not stored", and the library waits for "not found".
  await assert.rejects(client.append('none', 'x'));
  passed('append');
  assert.strictEqual(String(await get('a')), 'mid-end'); // Its prepend() appends, so it is not asked.
}

async function checkChanges() {
  await client.set('n', '10', {});
  assert.strictEqual((await client.increment('n', 5, {})).value, 15);
  assert.strictEqual((await client.decrement('n', 14, {})).value, 1);
  assert.strictEqual((await client.decrement('n', 5, {})).value, 0);
  assert.strictEqual((await client.increment('new', 5, { initial: 7 })).value, 7);
  passed('count');
  assert.strictEqual(await client.delete('a'), true);
  assert.strictEqual(await client.delete('a'), false);
  assert.strictEqual(await get('a'), null);
  passed('delete');
  assert.strictEqual(await client.touch('long', 1000), true);
  assert.strictEqual(await client.touch('none', 1000), false);
  passed('touch');
}

async function checkBytes() {
  const everyByte = Buffer.from(range(256));
  for (const data of ['', '\r\n', '\r\nEND\r\n', 'VALUE k:1 0 1\r\n', everyByte]) {
    assert.strictEqual(await client.set('bytes', data, {}), true);
    assert.deepStrictEqual(await get('bytes'), Buffer.from(data));
  }
  passed('bytes');
  const large = Buffer.alloc(900000, everyByte);
  assert.strictEqual(await client.set('large', large, {}), true);
  assert.ok(large.equals(await get('large')));
  passed('large');
  for (flags of [1, 4294967295, 0]) {
    await client.set('flags', 'x', {});
    assert.strictEqual((await client.get('flags')).flags.readUInt32BE(0), flags);
  }
  passed('flags');
}

async function checkExpiry() {
  const end = Date.now() + 10000;
  while (await get('brief') !== null) {
    assert.ok(Date.now() < end, 'it does not expire');
    await pause(100);
  }
  assert.strictEqual(String(await get('long')), 'long');
  passed('expiry');
}

async function checkServer() {
  assert.ok(Number((await ask('stats')).curr_items) > COUNT);
  passed('stats');
  assert.deepStrictEqual(Object.values(await client.flush()), [true]);
  const got = await Promise.all(range(COUNT).map((i) => get(`k:${i}`)));
  assert.ok(got.every((data) => data === null));
  passed('flush');
}

async function main() {
  await client.set('brief', 'brief', { expires: 1 });
  await client.set('long', 'long', { expires: 1000 });
  await checkKeys();
  await checkStores();
  await checkChanges();
  await checkBytes();
  await checkExpiry();
  await checkServer();
  client.quit();
}

main().then(() => process.exit(0), (error) => {
  console.log(error.stack);
  process.exit(1);
});
