// memjs with SASL PLAIN. Arguments: host, port, user, password. Prints "in" when a value could be set and read back,
// "refused" when the server did not let it.
'use strict';

const memjs = require('memjs');

const [host, port, username, password] = process.argv.slice(2);
const client = memjs.Client.create(`${host}:${port}`,
  { username, password, timeout: 90, conntimeout: 30, retries: 1, logger: { log: console.error } });

async function main() {
  await client.set('sasl:k', 'value', {});
  const { value } = await client.get('sasl:k');
  console.log(String(value) === 'value' ? 'in' : 'a wrong value');
}

main().catch((error) => {
  console.error(error);
  console.log('refused');
}).finally(() => process.exit(0));
