// memcached, the node client, against a server. Arguments: host, port, protocol (always ascii).
// Prints a line for each check that held (see CHECKS in ../../test_clients.py), or what went wrong, and exits with 1.
'use strict';
process.noDeprecation = true; // The library makes its buffers in an old way.

const assert = require('assert');
const Memcached = require('memcached');

const COUNT = 200;
const [host, port] = process.argv.slice(2);
const client = new Memcached(`${host}:${port}`, { timeout: 90000, retries: 0, failures: 1000000, idle: 90000 });

const passed = (name) => console.log(`${name}: ok`);
const value = (i) => `value of k:${i}\r\nEND\r\n` + String.fromCharCode(97 + i % 26).repeat(i * 7 % 300);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const range = (count) => [...Array(count).keys()];

// A method of the client as a promise. What was not stored is false, as other refusals are.
function ask(method, ...args) {
  return new Promise((resolve, reject) => {
    client[method](...args, (error, data) => {
      if (error && !error.notStored) reject(error instanceof Error ? error : new Error(String(error)));
      else resolve(data);
    });
  });
}

async function checkKeys() {
  for (const i of range(COUNT)) assert.strictEqual(await ask('set', `k:${i}`, value(i), 0), true);
  // All at once, over several connections.
  const got = await Promise.all(range(COUNT).map((i) => ask('get', `k:${i}`)));
  assert.deepStrictEqual(got, range(COUNT).map(value));
  assert.strictEqual(await ask('get', 'none'), undefined);
  passed('set');
  const several = await ask('getMulti', range(2 * COUNT).map((i) => `k:${i}`));
  assert.deepStrictEqual(several, Object.fromEntries(range(COUNT).map((i) => [`k:${i}`, value(i)])));
  passed('multi');
}

async function checkStores() {
  assert.strictEqual(await ask('add', 'a', '1', 0), true);
  assert.strictEqual(await ask('add', 'a', '2', 0), false);
  passed('add');
  assert.strictEqual(await ask('replace', 'a', 'mid', 0), true);
  assert.strictEqual(await ask('replace', 'none', 'x', 0), false);
  passed('replace');
  assert.strictEqual(await ask('append', 'a', '-end'), true);
  assert.strictEqual(await ask('append', 'none', 'x'), false);
  passed('append');
  assert.strictEqual(await ask('prepend', 'a', 'start-'), true);
  assert.strictEqual(await ask('get', 'a'), 'start-mid-end');
  passed('prepend');
  await ask('set', 'c', 'one', 0);
  const { c, cas } = await ask('gets', 'c');
  assert.strictEqual(c, 'one');
  assert.strictEqual(await ask('cas', 'c', 'two', cas, 0), true);
  assert.strictEqual(await ask('cas', 'c', 'three', cas, 0), false);
  assert.strictEqual(await ask('get', 'c'), 'two');
  passed('cas');
}

async function checkChanges() {
  await ask('set', 'n', 10, 0);
  assert.strictEqual(await ask('incr', 'n', 5), 15);
  assert.strictEqual(await ask('decr', 'n', 14), 1);
  assert.strictEqual(await ask('decr', 'n', 5), 0);
  assert.strictEqual(await ask('incr', 'none', 1), false);
  passed('count');
  assert.strictEqual(await ask('del', 'a'), true);
  assert.strictEqual(await ask('del', 'a'), false);
  assert.strictEqual(await ask('get', 'a'), undefined);
  passed('delete');
  assert.strictEqual(await ask('touch', 'c', 1000), true);
  assert.strictEqual(await ask('touch', 'none', 1000), false);
  passed('touch');
}

async function checkBytes() {
  const everyByte = Buffer.from(range(256));
  for (const data of ['', '\r\n', '\r\nEND\r\n', 'VALUE k:1 0 1\r\n', everyByte]) {
    assert.strictEqual(await ask('set', 'bytes', data, 0), true);
    assert.deepStrictEqual(await ask('get', 'bytes'), data);
  }
  passed('bytes');
  const large = Buffer.alloc(600000, everyByte); // Half of its bytes take two on the wire.
  assert.strictEqual(await ask('set', 'large', large, 0), true);
  assert.ok(large.equals(await ask('get', 'large')));
  passed('large');
  for (const typed of [42, 1.5, { a: [1, null, 't\u00e4xt'] }]) {
    assert.strictEqual(await ask('set', 'typed', typed, 0), true);
    assert.deepStrictEqual(await ask('get', 'typed'), typed);
  }
  passed('flags');
}

async function checkExpiry() {
  const end = Date.now() + 10000;
  while (await ask('get', 'brief') !== undefined) {
    assert.ok(Date.now() < end, 'it does not expire');
    await pause(100);
  }
  assert.strictEqual(await ask('get', 'long'), 'long');
  passed('expiry');
}

async function checkServer() {
  const [version] = await ask('version');
  assert.match(version.version, /^1\.\d+\.\d+$/);
  passed('version');
  const [stats] = await ask('stats');
  assert.ok(stats.curr_items > COUNT);
  passed('stats');
  assert.deepStrictEqual(await ask('flush'), [true]);
  assert.deepStrictEqual(await ask('getMulti', range(COUNT).map((i) => `k:${i}`)), {});
  passed('flush');
}

async function main() {
  await ask('set', 'brief', 'brief', 1);
  await ask('set', 'long', 'long', 1000);
  await checkKeys();
  await checkStores();
  await checkChanges();
  await checkBytes();
  await checkExpiry();
  await checkServer();
  client.end();
}

main().then(() => process.exit(0), (error) => {
  console.log(error.stack);
  process.exit(1);
});
